"""Explains why an expected trigger or action did not come: what the rule itself says of the moment that counts.

That is the expected moment or, where none is given, the one at which the rule came nearest. The end of the
run does not count: by then the window has moved on.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from schemas.event import Event, microseconds
from schemas.play_reasons import ActionReason, PlayReason
from schemas.sentences.plays import PlayCase, said
from schemas.sentences.wording import moment
from services.actions.plays.in_memory import MemoryStore
from services.cli.documents import Document
from services.cli.scenario_world import World
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.explain import Explanation, explain

MOST_TOLD = 5  # of the actions that did not go out


def of_trigger(documents: Sequence[Document], events: Iterable[Event], entry: dict[str, Any]) -> str:
    """What the rule says of a trigger that did not come; nothing if the entry does not name its account."""
    rule, account = entry.get("rule"), entry.get("account")
    if not isinstance(rule, str) or not isinstance(account, str):
        return ""
    asked = _Asked(documents, rule, account, entry)
    if asked.live is None:
        return f"there is no rule {rule} in the files"
    expected = _moment(entry.get("at"))
    try:
        at, found = asked.nearest(events) if expected is None else asked.as_of(events, expected)
    except (LookupError, ValueError) as error:
        return f"{rule} for {account}: {error}"
    came = "" if expected is not None else " came nearest"
    return f"{rule} for {account}{came} on {moment(at)}: {found['sentence']}"


class _Asked:
    """A separate run, stopped at the moment at which a rule is to be asked."""

    def __init__(self, documents: Sequence[Document], rule: str, account: str, entry: dict[str, Any]) -> None:
        self._world = World(documents, None)
        self._rule, self._account = rule, account
        self._contact, self._key = entry.get("contact"), entry.get("key")
        self.live: CompiledRule | None = self._world.ruleset.by_name.get(rule)

    def as_of(self, events: Iterable[Event], at: int) -> tuple[int, Explanation]:
        """What the rule says at a moment. A rule that is decided by timers sees only what came before it."""
        before = self.live is not None and (self.live.ticks or self.live.moments)
        for event in events:
            time = _time(event)
            if time > at or (before and time == at):
                break
            self._world.feed(event)
        return at, self._ask(at - 1 if before else at)

    def nearest(self, events: Iterable[Event]) -> tuple[int, Explanation]:
        """What the rule says after the event of the account at which it came nearest to firing; of
        several, the last."""
        best: tuple[tuple[bool, float], int, Explanation] | None = None
        for event in events:
            self._world.feed(event)
            if event.account == self._account:
                found, now = self._ask(self._world.engine.clock), self._world.engine.clock
                rank = (bool(found["fires"]), self._share(found))
                if best is None or rank >= best[0]:
                    best = rank, now, found
        if best is None:
            return self._world.engine.clock, self._ask(self._world.engine.clock)
        return best[1:]

    def _ask(self, now: int) -> Explanation:
        state = self._world.accounts.get(self._account)
        ruleset, hearts = self._world.ruleset, self._world.engine.heartbeats
        return explain(ruleset, self._rule, state, self._account, self._contact, self._key, now, hearts)

    def _share(self, found: Explanation) -> float:
        """The share of the needed value that is there; 0 where that is no number."""
        value, limit = found["value"], found["threshold"]
        if not isinstance(value, int | float) or not isinstance(limit, int | float):
            return 0.0
        body = self.live.doc.when.members[0].body if self.live is not None else None
        if getattr(body, "at_tick", False):
            return limit / value if value > 0 else limit + 1
        return value / limit if limit > 0 else 0.0


def of_action(store: MemoryStore, entry: dict[str, Any]) -> list[str]:
    """What became of the actions and plays that the entry may mean."""
    told = []
    for action in store.actions.values():
        named = {"account": action.account, "channel": action.channel, "recipient": action.recipient}
        if action.reason is None or any(entry.get(name, value) != value for name, value in named.items()):
            continue
        case = PlayCase(contact=action.contact, channel=action.channel, recipient=action.recipient)
        if text := said(ActionReason, action.reason, case):
            told.append(f"{action.channel} of {action.playbook} to {action.account}, {action.status}: {text}")
    for play in store.plays.values():
        if play.status in {"skipped", "held_out"} and entry.get("account", play.account) == play.account:
            text = said(PlayReason, play.reason, PlayCase(playbook=play.playbook, tier=play.tier))
            told.append(f"{play.playbook} for {play.account} was {play.status.replace('_', ' ')}: {text}")
    return told[:MOST_TOLD]


def _moment(value: Any) -> int | None:
    """The moment that an entry names; None: none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return microseconds(found) if isinstance(found, datetime) and found.tzinfo is not None else None


def _time(event: Event) -> int:
    return microseconds(cast("datetime", event.time))
