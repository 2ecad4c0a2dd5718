"""Which open plays stand still, for their playbook or rule is paused: in memory, and as a condition on rows."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, not_, or_

from services.actions.plays.admission import Admission, Hold, NothingHeld
from services.actions.plays.model import Play
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.holds import EVERYWHERE, Key
from services.actions.tables import plays


class Standing:
    """What a partition's store asks about the plays that stand still."""

    def __init__(self, holds: BatchHolds | None, partition: int) -> None:
        self._holds, self._partition = holds, partition
        self._admission = Admission(holds or NothingHeld())

    def still(self, play: Play) -> bool:
        """Whether an open play stands still."""
        return play.status == "open" and self._admission.standing(play) is not None

    def held_back(self, play: Play) -> bool:
        """Whether nothing of a play may be sent now, open or not."""
        return self._admission.standing(play) is not None

    def known_still(self, play: Play) -> bool:
        """The same at the end of a batch, which may not have asked: then False."""
        return self._holds is not None and self._holds.loaded and self.still(play)

    def going(self, *, ended: bool = False) -> list[ColumnElement[bool]]:
        """See `going`."""
        if self._holds is None:
            return []
        here = (EVERYWHERE, self._partition)
        paused = {key: hold for key, hold in self._holds.paused().items() if key.partition in here}
        return going(paused, ended=ended)


def going(paused: Mapping[Key, Hold], *, ended: bool = False) -> list[ColumnElement[bool]]:
    """Conditions that rows of plays meet unless they are open and stand still.

    `ended`: plays that have ended do not meet them either if nothing of them may be sent now.
    """
    return [
        not_(
            and_(
                *(() if ended else (plays.c.status == "open",)),
                plays.c.playbook == key.name if key.kind == "playbook" else _of_rule(key),
                or_(plays.c.released.is_(None), plays.c.released < hold.generation),
            )
        )
        for key, hold in paused.items()
    ]


def _of_rule(key: Key) -> ColumnElement[bool]:
    return (plays.c.rule == key.name) & (plays.c.partition == key.partition)
