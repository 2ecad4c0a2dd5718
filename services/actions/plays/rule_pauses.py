"""What a rule's pause does to its plays, at the place of its record in the merged order. Pure.

Whether a rule holds its plays is said by every save of it, so it is held from the place of one save to that of another,
each applied in a transaction of its own: what was put before is committed first, and nothing is put with it.

Nobody makes a deleted rule active again. So those of its open plays that stand still end; held ones leave after
`held_for`.

Plays end in parts, a transaction each, so that a rule with very many plays ends them in bounded memory. Each part tells
rules how many plays and mails it concerned; the last one says that it is done.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from schemas.event import RULES_CONCERNED, RULES_PAUSED, RULES_SAVED, Event
from schemas.names import is_name
from schemas.play_reasons import PlayReason
from services.actions.plays.interpreter import Interpreter
from services.actions.plays.model import ControlRecord, Play, event_id
from services.actions.plays.ports import Store

AT_ONCE = 100  # plays that end in one transaction


class RulePlays(Protocol):
    """The plays of a rule in one partition, as they are stored: nothing may be unsaved while it is asked."""

    def settled(self) -> bool:
        """Whether everything that was put so far is committed."""
        ...

    def differs(self, rule: str, revision: int, *, holds: bool) -> bool:
        """Whether it is news that the rule holds its plays from this revision on, or does not."""
        ...

    def set_hold(self, rule: str, revision: int, now: int, *, holds: bool) -> None:
        """Let the rule hold its plays, or let them go on."""
        ...

    def changing(self) -> bool:
        """Whether such a change is not committed yet: until then, nothing else may happen."""
        ...

    def live(self, rule: str, most: int) -> list[Play]:
        """Open and held plays of the rule, at most so many."""
        ...

    def standing(self, rule: str, most: int) -> list[Play]:
        """Open plays of the rule that it lets stand still, at most so many."""
        ...

    def mails(self, plays: Sequence[str]) -> int:
        """How many mails of these plays wait."""
        ...

    def count(self, rule: str) -> tuple[int, int]:
        """How many open and held plays the rule has, and how many of their mails wait."""
        ...


class RulePauses:
    """Applies the records of rules' pauses to the plays of a partition."""

    def __init__(self, plays: RulePlays, store: Store, interpreter: Interpreter, partition: int) -> None:
        self._plays, self._store, self._interpreter = plays, store, interpreter
        self._partition = partition

    @property
    def changing(self) -> bool:
        """Whether a change of what is held waits for its commit."""
        return self._plays.changing()

    def apply(self, event: Event, now: int) -> bool | None:
        """Apply a save or a pause, or a part of it. True: it is done. None: what was put before has to be committed
        first."""
        return self._saved(event, now) if event.type == RULES_SAVED else self._paused(event, now)

    def _saved(self, event: Event, now: int) -> bool | None:
        saved = save_of(event)
        if saved is None:
            return True
        revision, rule, holds, deleted = saved
        if not self._plays.differs(rule, revision, holds=holds):
            return self._forsaken(rule, now) if deleted and holds else True
        if not self._plays.settled():
            return None
        self._plays.set_hold(rule, revision, now, holds=holds)
        return True

    def _forsaken(self, rule: str, now: int) -> bool | None:
        """End the plays that stand still for a rule that is gone, or a part of them."""
        if not self._plays.settled():
            return None
        plays = self._plays.standing(rule, AT_ONCE)
        self._end(plays, now)
        return len(plays) < AT_ONCE

    def _end(self, plays: Sequence[Play], now: int) -> None:
        for play in plays:
            self._interpreter.leave(play, PlayReason.RULE_PAUSED, max(now, play.started_at))

    def _paused(self, event: Event, now: int) -> bool | None:
        asked = pause_of(event)
        if asked is None:
            return True
        if not self._plays.settled():
            return None
        pause, rule, what = asked
        if what != "exit":
            self._tell(pause, "", *self._plays.count(rule), now, done=True)
            return True
        plays = self._plays.live(rule, AT_ONCE)
        mails = self._plays.mails([play.id for play in plays])
        self._end(plays, now)
        done = len(plays) < AT_ONCE
        self._tell(pause, plays[0].id if plays else "", len(plays), mails, now, done=done)
        return done

    def _tell(self, pause: str, part: str, plays: int, mails: int, now: int, *, done: bool) -> None:
        name = event_id("rules.concerned", pause, str(self._partition), part)
        data = {"pause": pause, "plays": plays, "mails": mails, "done": done}
        self._store.do(ControlRecord(name, RULES_CONCERNED, now, data))


def save_of(event: Event) -> tuple[int, str, bool, bool] | None:
    """The revision of a save, its rule, whether that holds its plays, and whether it is gone; None for one that says
    nothing of it."""
    data: Any = event.data
    if not isinstance(data, dict):
        return None
    revision, rule, holds = (data.get(name) for name in ("revision", "rule", "holds"))
    if not isinstance(revision, int) or not isinstance(rule, str) or not isinstance(holds, bool):
        return None
    return (revision, rule, holds, data.get("deleted") is True) if is_name(rule) else None


def pause_of(event: Event) -> tuple[str, str, str] | None:
    """The id of a pause, its rule, and what becomes of the plays; None for a record that says nothing of the kind."""
    data: Any = event.data
    if event.type != RULES_PAUSED or not isinstance(data, dict):
        return None
    pause, rule, plays = (data.get(name) for name in ("pause", "rule", "plays"))
    if not isinstance(pause, str) or not isinstance(rule, str) or not isinstance(plays, str):
        return None
    return (pause, rule, plays) if is_name(pause) and is_name(rule) else None
