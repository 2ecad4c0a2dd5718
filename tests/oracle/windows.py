"""Which events a rule counts, for which subjects, and the value of a window (section 6)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.oracle.conditions import exact, holds, is_number, lookup, to_millionths
from tests.oracle.history import Account, Arrived
from tests.oracle.profile import contact_view
from tests.oracle.times import DAY, span

JSON = dict[str, Any]
Subject = tuple[str | None, str | None]  # (contact or None in account scope, key or None without `by`)

RESERVED = {"account.updated", "contact.updated", "account.deleted", "contact.deleted", "account.merged"}
OPERATORS = ("at_least", "above", "at_most", "below")


def kind_of(when: JSON) -> tuple[str, JSON]:
    """The trigger kind of a `when`, and its body."""
    [(kind, body)] = when.items()
    return kind, body


def tiered(value: Any, tier: str | None) -> Any:
    """The value for the tier; None if the tier is left out."""
    return value.get(tier) if isinstance(value, dict) else value


def event_view(event: Arrived, account: JSON) -> JSON:
    """The view that a condition has of an event, with the account as it is at some place in the log."""
    return {
        "data": event.event.get("data"),
        "type": event.type,
        "source": event.source,
        "account": account,
        "contact": contact_view(account, event.contact),
    }


def of_type(wanted: str | list[str], type_: str) -> bool:
    if wanted == "*":
        return type_ not in RESERVED and not type_.startswith("touchline.")
    return type_ == wanted or (isinstance(wanted, list) and type_ in wanted)


def selected(selector: JSON, event: Arrived) -> bool:
    """Whether a selector's `event`, `where` and `of` accept the event, with the account as it was at its place."""
    if not of_type(selector["event"], event.type):
        return False
    view = event_view(event, event.account)
    if not holds(selector.get("where"), view):
        return False
    aggregate = selector.get("aggregate", "count")
    if "of" not in selector or aggregate in ("count", "days"):
        return True
    value = lookup(selector["of"], view)
    if aggregate == "distinct":
        return is_number(value) or isinstance(value, str | bool)
    return is_number(value)


def key_text(value: Any) -> str | None:
    """The `key` of a subject: a string as it is, a number or boolean as JSON text; None for any other value."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def key_of(rule: JSON, event: Arrived) -> str | None:
    """The event's key by the rule's `by`; None if either is missing."""
    if not rule.get("by"):
        return None
    return key_text(lookup(rule["by"], event_view(event, event.account)))


def subjects_of(rule: JSON, event: Arrived, *, since: bool = False) -> list[Subject]:
    """The subjects that the event counts for. A `since` event without a contact counts for every contact then known."""
    key = key_of(rule, event)
    if rule.get("by") and key is None:
        return []
    if rule.get("scope", "account") == "account":
        return [(None, key)]
    if event.contact is not None:
        return [(event.contact, key)]
    return [(contact, key) for contact in event.account.get("contacts", {})] if since else []


@dataclass(frozen=True)
class Scene:
    """A rule's member for a subject of an account, as everything stands right now."""

    account: Account
    view: JSON
    rule: JSON
    member: JSON
    subject: Subject
    start: int
    unless_start: int
    built: int

    @property
    def tier(self) -> str | None:
        tier: str | None = self.view["tier"]
        return tier

    @property
    def body(self) -> JSON:
        return kind_of(self.member)[1]

    def known_for(self, at: int, length: int) -> bool:
        return self.account.earliest is not None and self.account.earliest <= at - length


def counted(scene: Scene, selector: JSON, *, since: bool = False) -> list[Arrived]:
    """The subject's matching events so far, from the rule's start on, sorted by time and then by arrival."""
    found = [
        event
        for event in scene.account.events
        if event.seq >= scene.start
        and (not event.late or event.seq < scene.built)
        and selected(selector, event)
        and scene.subject in subjects_of(scene.rule, event, since=since)
    ]
    return sorted(found, key=lambda event: (event.time, event.seq))


def window(scene: Scene, when: JSON, end: int) -> list[Arrived]:
    """The events in the window up to and including `end` (for a moment D, pass D - 1)."""
    events = [e for e in counted(scene, when) if e.time <= end]
    if "since" in when:
        since = when["since"]
        marks = [e.time for e in counted(scene, since, since=True) if e.time <= end]
        if not marks:
            return []
        events = [e for e in events if e.time >= max(marks)]
        if "for" in since:
            events = [e for e in events if e.time <= max(marks) + span(since["for"])]
    return events


def newer_than(events: list[Arrived], start: int) -> list[Arrived]:
    """The events with a time after `start` (a window is open on the left)."""
    return [e for e in events if e.time > start]


def aggregate(when: JSON, events: list[Arrived]) -> Fraction | None:
    """The exact value of a window's events; None if they have no value."""
    kind = when.get("aggregate", "count")
    if kind == "count":
        return Fraction(len(events))
    if kind == "days":
        return Fraction(len({e.time // DAY for e in events}))
    values = [lookup(when["of"], event_view(e, e.account)) for e in events]
    if kind == "distinct":
        return Fraction(len({_scalar(value) for value in values}))
    numbers = [Fraction(to_millionths(value), 10**6) for value in values]
    if kind == "sum":
        return sum(numbers, Fraction(0))
    if not numbers:
        return None
    if kind == "avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    return min(numbers) if kind == "min" else max(numbers)


def _scalar(value: Any) -> tuple[str, Any]:
    if is_number(value):
        return ("number", exact(value))
    return (type(value).__name__, value)


def divided(when: JSON, value: Fraction | None, account: JSON) -> Fraction | None:
    """The value divided by the account attribute that `per` names; None if that is missing or not above 0."""
    if value is None or not when.get("per"):
        return value
    per = lookup(when["per"], {"account": account})
    if not is_number(per) or per <= 0:
        return None
    return value / Fraction(to_millionths(per), 10**6) if to_millionths(per) else None


def operator_of(when: JSON) -> str:
    """The name of the threshold's comparison, one of four."""
    return next(name for name in OPERATORS if name in when)


def compare(operator: str, value: Fraction, limit: float) -> bool:
    wanted = exact(limit)
    if operator == "at_least":
        return value >= wanted
    if operator == "above":
        return value > wanted
    return value <= wanted if operator == "at_most" else value < wanted
