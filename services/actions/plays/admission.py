"""Admission: a play that is about to begin asks, in a fixed order, who holds it. Pure.

1. Its playbook is paused, or its rule is and holds its plays: it is `held`, unless somebody released it since.
2. Its account is held out: it is `held_out`, and counts for no limit.
3. It would go beyond its playbook's limit: the breaker pauses the playbook, and it is `held`. Plays that were
   released are past this.

The same answers tell which open plays stand still: those that (1) would hold.
"""

from typing import NamedTuple, Protocol

import msgspec

from schemas.play_reasons import PlayReason
from services.actions.plays.holdout import is_held_out
from services.actions.plays.model import Play, PlayStatus
from services.actions.plays.program import Playbook

# A playbook that sets no limit may begin so many plays within an hour, or this part of the accounts known.
LEAST, SHARE = 20, 5


def default_plays(accounts: int) -> int:
    """How many plays a playbook that sets no limit may begin within an hour, where so many accounts are known."""
    return max(LEAST, accounts // SHARE)


class Hold(msgspec.Struct, frozen=True):
    """Whether a playbook, or a rule, holds its plays.

    `paused`: the reason for the plays; None: it holds none. `generation`: the stamp of the last pause or resume, 0 if
    there was none. Stamps only grow, and a play with a later one was released after the pause.
    """

    paused: PlayReason | None = None
    generation: int = 0

    def covers(self, play: Play) -> bool:
        """Whether the play is held: it was not released since the pause."""
        return self.paused is not None and (play.released is None or play.released < self.generation)


class Holds(Protocol):
    """What is paused, and how many plays have begun; what a batch changes counts at once."""

    def of_playbook(self, name: str) -> Hold:
        """The hold of a playbook."""
        ...

    def of_rule(self, name: str, partition: int) -> Hold:
        """The hold of a rule in a partition."""
        ...

    def begun(self, playbook: str, after: int, before: int, most: int) -> int:
        """How many plays that count began between these moments (both exclusive) since the last resume.

        `most` stands for any greater number; below it, the answer may be too great.
        """
        ...

    def default_limit(self, *, anew: bool = False) -> int | None:
        """How many plays a playbook that sets no limit may begin within an hour; None: any number.

        `anew`: the answer decides, so it must not be an old one.
        """
        ...

    def count(self, play: Play) -> None:
        """A play that counts towards its playbook's limit begins."""
        ...

    def trip(self, playbook: str, now: int) -> None:
        """The breaker pauses a playbook."""
        ...


class NothingHeld:
    """Implements `Holds` where nothing can be paused."""

    def of_playbook(self, name: str) -> Hold:  # noqa: ARG002
        return Hold()

    def of_rule(self, name: str, partition: int) -> Hold:  # noqa: ARG002
        return Hold()

    def begun(self, playbook: str, after: int, before: int, most: int) -> int:  # noqa: ARG002
        return 0

    def default_limit(self, *, anew: bool = False) -> int | None:  # noqa: ARG002
        return None

    def count(self, play: Play) -> None:
        pass

    def trip(self, playbook: str, now: int) -> None:
        pass


class Refusal(NamedTuple):
    """A play does not begin: the status and the reason it gets instead."""

    status: PlayStatus
    reason: PlayReason


class Admission:
    """Decides whether plays begin."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    def refusal(self, play: Play, playbook: Playbook, now: int) -> Refusal | None:
        """Why a play does not begin now; None: it begins, and has been counted."""
        reason = self.standing(play)
        if reason is not None:
            return Refusal("held", reason)
        if is_held_out(play.playbook, play.account, playbook.holdout):
            return Refusal("held_out", PlayReason.HELD_OUT)
        if play.released is not None:
            return None
        if self._beyond(playbook, now):
            self._holds.trip(playbook.name, now)
            return Refusal("held", PlayReason.BREAKER)
        play.counts = True
        self._holds.count(play)
        return None

    def standing(self, play: Play) -> PlayReason | None:
        """Why a play may not begin, or go on, now; None: it may."""
        for hold in self._of(play):
            if hold.covers(play):
                return hold.paused
        return None

    def stood(self, play: Play) -> bool:
        """Whether the play may have stood still at some time."""
        return any(hold.generation for hold in self._of(play))

    def _of(self, play: Play) -> tuple[Hold, Hold]:
        return self._holds.of_playbook(play.playbook), self._holds.of_rule(play.rule, play.partition)

    def _beyond(self, playbook: Playbook, now: int) -> bool:
        """Whether one more play now would be more than the playbook's limit allows.

        Partitions have clocks of their own: what began up to `within` before or after `now` counts.
        """
        limit = playbook.limit
        if limit is None:
            return False
        if limit.plays is not None:
            return self._reached(playbook, limit.within, now, limit.plays)
        most = self._holds.default_limit()
        if most is None or not self._reached(playbook, limit.within, now, most):
            return False
        return self._reached(playbook, limit.within, now, self._holds.default_limit(anew=True) or most)

    def _reached(self, playbook: Playbook, within: int, now: int, most: int) -> bool:
        return self._holds.begun(playbook.name, now - within, now + within, most) >= most
