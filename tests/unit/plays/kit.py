"""Building blocks for the tests of plays: playbooks, triggers, events, and one partition in memory."""

from typing import Any

from schemas.event import Event, from_microseconds, rfc3339
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.trigger import Position, Trigger, TriggerEvent
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.memory_holds import MemoryHolds
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.model import Play
from services.actions.plays.processor import PlaysPartition
from services.actions.policy.rules import SendingPolicy

SECOND = 1_000_000
DAY = 86_400 * SECOND
T0 = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
TEMPLATES = [TemplateIn(name=name, subject="s", markdown="m") for name in ("hello", "final")]


def book(name: str = "book", **fields: Any) -> PlaybookIn:
    plain = {"name": name, "steps": [{"task": {"title": "Call"}}], "limit": None}
    return PlaybookIn.model_validate(plain | fields)


def event(type_: str, at: int, account: str = "acme", **fields: Any) -> Event:
    fields.setdefault("id", f"{type_}-{at}-{account}")
    return Event(type=type_, account=account, time=from_microseconds(at), source="test", **fields)


def account(at: int = T0, name: str = "acme", **data: Any) -> Event:
    base: dict[str, Any] = {
        "name": name.title(),
        "owner": {"name": "Jo", "email": "jo@us.test"},
        "contacts": [
            {"id": "bob", "email": "bob@acme.test"},
            {"id": "ann", "email": "ann@acme.test", "roles": ["admin"]},
        ],
    }
    return event("account.updated", at, name, id=f"update-{at}-{name}", data=base | data)


def trigger(at: int, place: int = 0, **fields: Any) -> Trigger:
    base: dict[str, Any] = {
        "id": "_".join(str(part) for part in ("trg", at, place, *fields.values())),
        "rule": "rule",
        "rule_version": 1,
        "account": "acme",
        "tier": "low",
        "at": rfc3339(at),
        "reason": "threshold_reached",
        "playbook": "book",
        "position": Position(0, place),
        "event": TriggerEvent(id="e", source="test", type="it", time=rfc3339(at), data={"invoice": "88"}),
    }
    return Trigger(**(base | fields))


class World:
    """One partition in memory. `say` and `fire` append to the two topics and apply the records that can be applied."""

    def __init__(
        self,
        *playbooks: PlaybookIn,
        mode: Any = "log",
        templates: Any = TEMPLATES,
        renderer: Any = None,
        policy: SendingPolicy | None = None,
    ) -> None:
        self.holds = MemoryHolds()
        self.store = MemoryStore(renderer, self.holds, policy)
        self.library = MemoryLibrary(playbooks, templates)
        self.partition = PlaysPartition(
            0, mode=mode, store=self.store, library=self.library, holds=self.holds
        )
        self.events = 0
        self.triggers = 0

    def say(self, *events: Event, timestamp: int | None = None) -> None:
        """Append events that rules has passed already."""
        for one in events:
            assert one.time is not None
            stamp = round(one.time.timestamp() * SECOND) if timestamp is None else timestamp
            self.partition.merge.offer_events([EventItem(self.events, stamp, one)])
            self.events += 1
            self.partition.merge.offer_progress(self._place(), self.events)
        self.run()

    def fire(self, at: int, **fields: Any) -> Play | None:
        """Append a trigger decided at the last event; returns the play that it started, if any."""
        fields.setdefault("place", self.events - 1)
        made = trigger(at, **fields)
        self.partition.merge.offer_trigger(TriggerItem(self._place(), made))
        self.run()
        return next((play for play in self.store.plays.values() if play.trigger_id == made.id), None)

    def clock(self, at: int) -> None:
        """Move the clock to `at`."""
        self.say(Event(type="touchline.clock", time=from_microseconds(at), id=f"clock-{at}"))

    def run(self) -> None:
        while self.partition.step():
            pass

    def catch_up(self) -> None:
        """Let what was released, or stood still, go on."""
        while self.partition.catch_up():
            pass

    def acts(self) -> list[tuple[str, str | None, str, str | None]]:
        """(channel, recipient, status, reason) of every action, in order."""
        return [(a.channel, a.recipient, a.status, a.reason) for a in self.store.actions.values()]

    def told(self) -> list[str]:
        """The types of Touchline's own events so far."""
        return [one.type.removeprefix("touchline.") for one in self.store.events]

    def _place(self) -> int:
        self.triggers += 1
        return self.triggers - 1
