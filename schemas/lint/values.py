"""Finds values that a document reads as a number or a date and that are neither. They are accepted, and
warned of. Pure.

Comparing unlike types is false and never an error, so `arr: "240,000"` would be accepted and silently mean nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from schemas.dates import moment_of
from schemas.event import Event, is_reserved
from schemas.lint.outline import Outline, PlaybookOutline, RuleOutline, TiersOutline
from schemas.lint.readings import Kind

_NOUNS = {RuleOutline: "rule", PlaybookOutline: "playbook"}
_TRIGGERS = "trigger.event."
MOST_SHOWN = 60  # characters of a value
_encode = msgspec.json.Encoder().encode


class _Read(NamedTuple):
    keys: tuple[str, ...]  # below `data` of the event, or below the account or contact
    kind: Kind
    by: str  # the rule "big-accounts" and 2 others


class DoubtfulValue(NamedTuple):
    """A doubtful value: its path in the event's data, and what is wrong."""

    path: str
    message: str


class Readers:
    """Which documents read which paths, by event type."""

    def __init__(self, outlines: Iterable[Outline] = ()) -> None:
        """`outlines` of rules, playbooks and the tiers."""
        told = sorted(outlines, key=lambda one: (type(one).__name__, one.name))
        by: dict[tuple[str, str, Kind], list[str]] = {}  # type, path, kind → the documents that read it
        for outline in told:
            for reading in getattr(outline, "reads", ()):
                for type_, path in _places(reading.path, reading.types, outline, told):
                    by.setdefault((type_, path, reading.kind), []).append(_who(outline))
        self._events: dict[str, list[_Read]] = {}
        for (type_, path, kind), readers in sorted(by.items()):
            self._events.setdefault(type_, []).append(_Read(tuple(path.split(".")), kind, _all(readers)))
        self._any = self._events.pop("*", [])
        self._account, self._contact = self._events.pop("account.", []), self._events.pop("contact.", [])

    def concern(self, type_: str) -> bool:
        """Whether any document reads numbers or dates in such an event; cheap."""
        if type_ in self._events:
            return True
        if type_ == "account.updated":
            return bool(self._account or self._contact)
        return (
            bool(self._contact) if type_ == "contact.updated" else bool(self._any) and not is_reserved(type_)
        )

    def doubts(self, event: Event) -> Iterator[DoubtfulValue]:
        """The doubtful values of an event, each once, by its path in `data`."""
        data = event.data
        if not isinstance(data, dict):
            return
        reads = [*self._events.get(event.type, ()), *(() if is_reserved(event.type) else self._any)]
        seen = {one.path: one for one in _look(data, reads, "")}
        yield from seen.values()
        if event.type == "account.updated":
            yield from _look(data, self._account, "")
            contacts = data.get("contacts")
            for index, one in enumerate(contacts if isinstance(contacts, list) else ()):
                if isinstance(one, dict):
                    yield from _look(one, self._contact, f"contacts.{index}.")
        elif event.type == "contact.updated":
            yield from _look(data, self._contact, "")


def _places(
    path: str, types: list[str], outline: Outline, told: Iterable[Outline]
) -> Iterator[tuple[str, str]]:
    """The event types in whose data the value stands, and its path there; `account.` and `contact.`
    stand in updates."""
    root, _, below = path.partition(".")
    if path.startswith(_TRIGGERS) and isinstance(outline, PlaybookOutline):
        starters = (one for one in told if isinstance(one, RuleOutline) and one.playbook == outline.name)
        for rule in starters:
            yield from _places(path.removeprefix(_TRIGGERS), rule.types, outline, ())
    elif root == "data":
        yield from ((type_, below) for type_ in types)
    elif root in {"account", "contact"} and below.startswith("attributes."):
        yield f"{root}.", below


def _who(outline: Outline) -> str:
    if isinstance(outline, TiersOutline):
        return "the tier policy"
    return f'the {_NOUNS.get(type(outline), "document")} "{outline.name}"'


def _all(readers: list[str]) -> str:
    names = list(dict.fromkeys(readers))
    if len(names) == 1:
        return names[0]
    return f"{names[0]} and {len(names) - 1} other{'s' if len(names) > 2 else ''}"


def _look(data: Mapping[str, Any], reads: Iterable[_Read], at: str) -> Iterator[DoubtfulValue]:
    for keys, kind, by in reads:
        value: Any = data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and not _fits(value, kind):
            yield DoubtfulValue(at + ".".join(keys), _message(value, kind, by))


def _fits(value: Any, kind: Kind) -> bool:
    if kind == "date":
        return moment_of(value, None) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _message(value: Any, kind: Kind, by: str) -> str:
    shown = _encode(value).decode()
    shown = shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + "…"
    wanted = (
        "a number, such as 240000"
        if kind == "number"
        else "a date, such as 2026-12-31 or 2026-12-31T09:00:00Z"
    )
    return f"{shown} means nothing to {by}: should be {wanted}"
