"""Which open plays stand still, for their playbook or rule is paused: in memory, and as a condition on rows."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, not_, or_

from services.actions.plays.admission import Admission, Hold, NothingHeld
from services.actions.plays.model import Play
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.holds import Key
from services.actions.tables import plays


class Standing:
    """What a partition's store asks about the plays that stand still."""

    def __init__(self, holds: BatchHolds | None) -> None:
        self._holds = holds
        self._admission = Admission(holds or NothingHeld())

    def still(self, play: Play) -> bool:
        """Whether an open play stands still."""
        return play.status == "open" and self._admission.standing(play) is not None

    def known_still(self, play: Play) -> bool:
        """The same at the end of a batch, which may not have asked: then False."""
        return self._holds is not None and self._holds.loaded and self.still(play)

    def going(self) -> list[ColumnElement[bool]]:
        """See `going`."""
        return [] if self._holds is None else going(self._holds.paused())


def going(paused: Mapping[Key, Hold]) -> list[ColumnElement[bool]]:
    """Conditions that rows of plays meet unless they are open and stand still."""
    return [
        not_(
            and_(
                plays.c.status == "open",
                (plays.c.playbook if key.kind == "playbook" else plays.c.rule) == key.name,
                or_(plays.c.released.is_(None), plays.c.released < hold.generation),
            )
        )
        for key, hold in paused.items()
    ]
