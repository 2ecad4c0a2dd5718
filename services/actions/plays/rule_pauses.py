"""What a rule's pause does to its plays, at the place of its record in the merged order. Pure.

Plays end in parts, a transaction each, so that a rule with very many plays ends them in bounded memory. Each part tells
rules how many plays and mails it concerned; the last one says that it is done.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from schemas.event import RULES_CONCERNED, RULES_PAUSED, Event
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

    def live(self, rule: str, most: int) -> list[Play]:
        """Open and held plays of the rule, at most so many."""
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

    def apply(self, event: Event, now: int) -> bool | None:
        """Apply a pause, or a part of it. True: it is done. None: what was put before has to be committed first."""
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
        for play in plays:
            self._interpreter.leave(play, PlayReason.RULE_PAUSED, max(now, play.started_at))
        done = len(plays) < AT_ONCE
        self._tell(pause, plays[0].id if plays else "", len(plays), mails, now, done=done)
        return done

    def _tell(self, pause: str, part: str, plays: int, mails: int, now: int, *, done: bool) -> None:
        name = event_id("rules.concerned", pause, str(self._partition), part)
        data = {"pause": pause, "plays": plays, "mails": mails, "done": done}
        self._store.do(ControlRecord(name, RULES_CONCERNED, now, data))


def pause_of(event: Event) -> tuple[str, str, str] | None:
    """The id of a pause, its rule, and what becomes of the plays; None for a record that says nothing of the kind."""
    data: Any = event.data
    if event.type != RULES_PAUSED or not isinstance(data, dict):
        return None
    pause, rule, plays = (data.get(name) for name in ("pause", "rule", "plays"))
    if not isinstance(pause, str) or not isinstance(rule, str) or not isinstance(plays, str):
        return None
    return (pause, rule, plays) if is_name(pause) and is_name(rule) else None
