"""Finds rules that may start themselves: a rule that fires at Touchline's own events which its playbook causes,
directly or through other rules. `depth` stops such a loop after three rounds; this warns of it before."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.lint.outline import PlaybookOutline, RuleOutline

ROUND_AT_MOST = 10  # the most rules in a loop that is looked for


def ways_round(
    rules: Iterable[RuleOutline], playbooks: Mapping[str, PlaybookOutline]
) -> Iterator[tuple[list[RuleOutline], str]]:
    """For each rule that may start itself: the shortest loop, beginning with it, and the event type
    that closes it."""
    hearing = {rule.name: rule for rule in rules if rule.hears}
    following = {
        rule.name: list(_answers(rule, playbooks.get(rule.playbook or ""), hearing.values()))
        for rule in hearing.values()
    }
    for name in hearing:
        found = _shortest(name, following)
        if found is not None:
            names, type_ = found
            yield [hearing[one] for one in names], type_


def _answers(
    rule: RuleOutline, book: PlaybookOutline | None, hearing: Iterable[RuleOutline]
) -> Iterator[tuple[str, str]]:
    """The rules that may fire at events which this one causes, each with such an event type."""
    if book is None:
        return
    for other in hearing:
        for tier in (one for one in rule.tiers if one in other.tiers):
            heard = next((type_ for type_ in book.emits.get(tier, ()) if _hears(other, type_, rule)), None)
            if heard is not None:
                yield other.name, heard
                break


def _hears(rule: RuleOutline, type_: str, sender: RuleOutline) -> bool:
    known: dict[str, Any] = {"type": type_, "source": "touchline", "data.playbook": sender.playbook}
    if type_.startswith("touchline.play."):
        known["data.rule"] = sender.name
    return any(
        type_ in one.types and all(may_hold(where, known) is not False for where in one.where)
        for one in rule.hears
    )


def _shortest(start: str, following: Mapping[str, list[tuple[str, str]]]) -> tuple[list[str], str] | None:
    ways = deque([[start]])
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        for name, type_ in following[way[-1]]:
            if name == start:
                return way, type_
            if name not in seen and len(way) < ROUND_AT_MOST:
                seen.add(name)
                ways.append([*way, name])
    return None


def may_hold(where: Mapping[str, Any], known: Mapping[str, Any]) -> bool | None:
    """Whether a condition in its plain form holds for these values; None: it may or may not."""
    return _all(_entry(name, wanted, known) for name, wanted in where.items())


def _entry(name: str, wanted: Any, known: Mapping[str, Any]) -> bool | None:
    if name == "all":
        return _all(may_hold(one, known) for one in wanted)
    if name == "any":
        return _not(_all(_not(may_hold(one, known)) for one in wanted))
    if name == "not":
        return _not(may_hold(wanted, known))
    if name not in known:
        return None
    operators = wanted if isinstance(wanted, dict) else {"eq": wanted}
    return _all(_operator(op, operand, known[name]) for op, operand in operators.items())


def _operator(op: str, operand: Any, value: Any) -> bool | None:
    match op:
        case "eq":
            return bool(value == operand)
        case "ne":
            return bool(value != operand)
        case "in":
            return value in operand
        case "not_in":
            return value not in operand
        case "exists":
            return bool(operand)
    return None


def _all(parts: Iterable[bool | None]) -> bool | None:
    found = list(parts)
    return False if False in found else None if None in found else True


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part
