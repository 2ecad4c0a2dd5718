"""The notation of the hand-made examples: a few letters per event, one line per expected trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.oracle import History, Revision
from tests.oracle.times import SECOND, from_us, parse_time

JSON = dict[str, Any]
_ids = count(1)


@dataclass(frozen=True)
class Case:
    """A named history with its complete list of triggers (`told`)."""

    name: str
    history: History
    expect: tuple[str, ...]


def us(short: str) -> int:
    """`01-10T09:00` of 2026 in us."""
    text = short if short.count(":") == 2 else f"{short}:00"
    return parse_time(f"2026-{text}Z")


def ev(short: str, type_: str = "tick", account: str = "acme", **more: Any) -> JSON:
    """An event. `id`, `contact`, `source`, `historical` and `received` (wall clock) go by name; the rest is data."""
    text = short if short.count(":") == 2 else f"{short}:00"
    event: JSON = {"id": more.pop("id", f"e{next(_ids)}"), "type": type_, "time": f"2026-{text}Z"}
    event["account"] = account
    event["source"] = more.pop("source", "test")
    for name in ("contact", "historical", "received"):
        if name in more:
            event[name] = more.pop(name)
    event["data"] = more
    return event


def update(short: str, account: str = "acme", **data: Any) -> JSON:
    """An `account.updated`."""
    return ev(short, "account.updated", account, **data)


def rule(name: str, when: JSON, **more: Any) -> JSON:
    """An active rule."""
    return {"name": name, "when": when, "status": "active", **more}


def save(*rules: JSON, tiers: tuple[JSON, ...] = ()) -> Revision:
    """A save in the middle of a list of events."""
    return Revision(tuple(rules), tiers)


def case(
    name: str,
    rules: list[JSON],
    steps: Sequence[JSON | Revision],
    *expect: str,
    until: str | None = None,
    clock: str = "log",
    tiers: tuple[JSON, ...] = (),
) -> Case:
    """Rules from the start, then events and saves in order; `until`: where the clock ends."""
    events: list[tuple[int, int, JSON]] = []
    config: list[tuple[int, Revision]] = [(0, Revision(tuple(rules), tiers))]
    for step in steps:
        if isinstance(step, Revision):
            config.append((len(events), step))
            continue
        step = dict(step)
        receipt = us(step.pop("received")) if "received" in step else parse_time(step["time"]) + SECOND
        if events and clock == "log":
            receipt = max(receipt, events[-1][1])
        events.append((len(events), receipt, step))
    final = us(until) if until else None
    return Case(name, History(tuple(events), tuple(config), clock, final), expect)


def told(trigger: JSON) -> str:
    """`rule account[/contact of the subject][#key] 01-10T09:00[:30]`."""
    subject = trigger["account"]
    subject += f"/{trigger['contact_subject']}" if trigger["contact_subject"] is not None else ""
    subject += f"#{trigger['key']}" if trigger["key"] is not None else ""
    at = from_us(trigger["at"]).strftime("%m-%dT%H:%M:%S").removesuffix(":00")
    return f"{trigger['rule']} {subject} {at}"
