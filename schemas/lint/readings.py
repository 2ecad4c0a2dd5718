"""Finds the values that documents read as numbers or dates, so that ingest can warn of a value that is neither."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from schemas.conditions.model import Condition, plain
from schemas.playbook import EventMatch, PlaybookIn, WaitDate, WaitEvent
from schemas.playbook_texts import steps_of
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger_kinds.base import KindWords

Kind = Literal["number", "date"]
_COMPARED = ("eq", "ne", "gt", "gte", "lt", "lte")
_LISTED = ("in", "not_in")
_TRIGGERS = "trigger.event."


class ReadPath(msgspec.Struct, frozen=True, array_like=True):
    """A path that is read as a number or a date: `account.…`, `contact.…`, `data.…` in events of
    the types, `trigger.event.data.…`."""

    path: str
    kind: Kind
    types: list[str] = []


def reads_of_rule(rule: RuleIn) -> list[ReadPath]:
    """What a rule reads."""
    return _once(_rule(rule))


def reads_of_playbook(body: PlaybookIn) -> list[ReadPath]:
    """What a playbook's waits, branches, exits and goal read."""
    return _once(_playbook(body))


def reads_of_tiers(doc: TiersDoc) -> list[ReadPath]:
    """What the tier policy reads."""
    return _once(one for entry in doc.tiers for one in _condition(entry.where, []))


def types_of(rule: RuleIn) -> list[str]:
    """The types at which a rule may fire."""
    bodies = [member.body for member in rule.when.members]
    return sorted({type_ for body in bodies for type_ in _types(body)})


def _rule(rule: RuleIn) -> Iterator[ReadPath]:
    for member in rule.when.members:
        yield from _kind(member.body)
    if rule.unless is not None:
        yield from _kind(rule.unless.threshold)
    yield from _condition(rule.where, types_of(rule))


def _kind(body: KindWords) -> Iterator[ReadPath]:
    types = _types(body)
    for path in body.numbers:
        yield ReadPath(path, "number", types if path.startswith("data.") else [])
    for path in body.dates:
        yield ReadPath(path, "date")
    for condition in body.conditions:
        yield from _condition(condition, [])
    yield from _selector(body)


def _selector(body: Any) -> Iterator[ReadPath]:
    yield from _condition(getattr(body, "where", None), _types(body))
    if getattr(body, "since", None) is not None:
        yield from _selector(body.since)


def _types(body: Any) -> list[str]:
    event = getattr(body, "event", [])
    return [event] if isinstance(event, str) else list(event)


def _playbook(body: PlaybookIn) -> Iterator[ReadPath]:
    for leave in body.exits:
        if isinstance(leave, EventMatch):
            yield from _condition(leave.where, list(leave.types))
    if body.goal is not None:
        yield from _condition(body.goal.where, list(body.goal.types))
    for _, step in steps_of(body):
        if isinstance(step.wait, WaitDate):
            yield ReadPath(step.wait.until_date, "date")
        if isinstance(step.wait, WaitEvent):
            yield from _condition(step.wait.until.where, list(step.wait.until.types))
        if step.branch is not None:
            yield from _condition(step.branch.if_, [])


def _condition(condition: Condition | None, types: list[str]) -> Iterator[ReadPath]:
    """The paths of a condition that it compares with numbers, and with nothing else."""
    for path, operand in _entries(plain(condition)) if condition is not None else ():
        if _is_number(operand):
            of_event = path.startswith("data.")
            yield ReadPath(path, "number", types if of_event else [])


def _entries(condition: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in condition.items():
        if name in {"all", "any"}:
            for one in value:
                yield from _entries(one)
        elif name == "not":
            yield from _entries(value)
        else:
            yield name, value


def _is_number(operand: Any) -> bool:
    given = operand if isinstance(operand, dict) else {"eq": operand}
    values = [given[name] for name in _COMPARED if name in given]
    values += [one for name in _LISTED if name in given for one in given[name]]
    return bool(values) and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def _once(readings: Iterable[ReadPath]) -> list[ReadPath]:
    return list({(one.path, one.kind, *one.types): one for one in readings}.values())
