"""A partition in memory. Events have short times; triggers are told as `rule account[/contact][#key] time`."""

from __future__ import annotations

from typing import Any

from schemas.event import RULES_SAVED, Event, from_microseconds, microseconds
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger import Trigger
from services.rules.engine.explain import explain
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules
from services.rules.engine.state_codec import decode, encode

TECH: dict[str, Any] = {"tiers": [{"tier": "tech"}]}
DAY = 86_400_000_000


def us(short: str) -> int:
    """`01-10T09:00` of 2026 in microseconds."""
    from datetime import datetime

    return microseconds(datetime.fromisoformat(f"2026-{short}+00:00"))


def rule(when: dict[str, Any], name: str = "r", **more: Any) -> RuleRevision:
    """An active rule. `version`, `generation` and `backfill` go by name; the rest is the document."""
    meta = {key: more.pop(key) for key in ("version", "generation", "backfill") if key in more}
    status = more.get("status", "active")
    doc = RuleIn.model_validate({"name": name, "when": when, "status": status, **more})
    return RuleRevision(
        name,
        meta.get("version", 1),
        meta.get("generation", 0),
        status,
        doc,
        backfill=meta.get("backfill", False),
    )


class World:
    """An engine with its log. Time moves with the events (`log` clock) or with `now` (`wall` clock)."""

    def __init__(self, *rules: RuleRevision, tiers: dict[str, Any] | None = None, clock: str = "log") -> None:
        self.sets: dict[int, RuleSet] = {}
        self.accounts = InMemoryAccounts()
        self.log: list[Event] = []
        self.triggers: list[Trigger] = []
        self._set(1, rules, tiers)
        self.engine = PartitionEngine(
            3,
            clock_mode="wall" if clock == "wall" else "log",
            clock=0,
            revision=self.sets[1],
            accounts=self.accounts,
            rulesets=self.sets.__getitem__,
            fetch=self.log.__getitem__,
            history=lambda upto: iter([(offset, 0, event) for offset, event in enumerate(self.log[:upto])]),
        )

    def _set(self, number: int, rules: tuple[RuleRevision, ...], tiers: dict[str, Any] | None) -> None:
        self.sets[number] = compile_rules(number, rules, TiersDoc.model_validate(tiers or TECH))

    def put(self, event: Event, received: int | None = None) -> World:
        """Append and judge one event."""
        self.log.append(event)
        assert event.time is not None
        at = microseconds(event.time) if received is None else received
        self.engine.apply([(len(self.log) - 1, at, event)])
        self.triggers += self.engine.drain()
        assert self.engine.unhealthy == {}
        return self

    def ev(self, short: str, type_: str = "tick", account: str = "acme", **more: Any) -> World:
        """Put an event. id, source, contact, historical and received go by name; the rest is data."""
        meta = {key: more.pop(key) for key in ("id", "source", "contact", "historical") if key in more}
        received = us(more.pop("received")) if "received" in more else None
        meta.setdefault("id", f"e{len(self.log)}")
        time = from_microseconds(us(short))
        return self.put(Event(type=type_, time=time, account=account, data=more, **meta), received)

    def update(self, short: str, account: str = "acme", **data: Any) -> World:
        """Put an `account.updated`."""
        return self.ev(short, "account.updated", account, **data)

    def clock(self, short: str) -> World:
        """Move the clock to a time."""
        time = from_microseconds(us(short))
        return self.put(Event(type="touchline.clock", id=f"c{len(self.log)}", source="touchline", time=time))

    def save(self, short: str, *rules: RuleRevision, tiers: dict[str, Any] | None = None) -> World:
        """Put a save of all rules (and tiers) in force."""
        number = max(self.sets) + 1
        self._set(number, rules, tiers)
        time = from_microseconds(us(short))
        event = Event(type=RULES_SAVED, id=f"s{number}", source="touchline", time=time)
        event.data = {"revision": number}
        return self.put(event)

    def advance_to(self, short: str) -> World:
        """Move the wall clock to a time up to which everything has been read."""
        self.engine.advance_to(us(short), len(self.log))
        self.triggers += self.engine.drain()
        return self

    def restart(self) -> World:
        """Turn the states into bytes and back, and make a new engine."""
        old = self.engine
        states = {name: decode(encode(state)) for name, state in self.accounts.states.items()}
        self.accounts.states.clear()
        self.accounts.states.update(states)
        self.engine = PartitionEngine(
            3,
            clock_mode="log",
            clock=old.clock,
            revision=old.rules,
            accounts=self.accounts,
            rulesets=self.sets.__getitem__,
            fetch=self.log.__getitem__,
            history=lambda upto: iter([(offset, 0, event) for offset, event in enumerate(self.log[:upto])]),
            heartbeats=[Heartbeat.restored(one.stored()) for one in old.heartbeats.values()],
        )
        self.engine.schedule([(s.due, s.account) for s in states.values() if s.due is not None])
        return self

    def explain(self, short: str, name: str = "r", account: str = "acme", **who: str) -> dict[str, Any]:
        """The verdict of a rule."""
        state = self.accounts.get(account)
        about = (name, state, account, who.get("contact"), who.get("key"))
        return explain(self.engine.rules, *about, us(short), self.engine.heartbeats)

    @property
    def told(self) -> list[str]:
        """The triggers in order."""
        return [_told(trigger) for trigger in self.triggers]


def _told(trigger: Trigger) -> str:
    contact = f"/{trigger.contact}" if trigger.contact is not None else ""
    key = f"#{trigger.key}" if trigger.key is not None else ""
    at = trigger.at.removeprefix("2026-").removesuffix("Z").removesuffix(":00")
    return f"{trigger.rule} {trigger.account}{contact}{key} {at}"
