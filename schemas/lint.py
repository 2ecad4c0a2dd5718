"""What is legal but probably wrong with a rule. Pure: what the log has shown comes in as `Facts`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

from schemas.conditions import Condition, paths_of
from schemas.duration import parse_duration
from schemas.event import DAY_US, RESERVED, is_reserved
from schemas.rule import RuleIn
from schemas.tiered import TIERS, TierMap, for_tier
from schemas.when import Threshold, Trend


class Doubt(TypedDict):
    """One doubtful field, and why it is doubtful."""

    field: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What the log has shown so far. Nothing at all means that nothing can be said."""

    paths: dict[str, frozenset[str]] = field(default_factory=dict)  # event type to the names in its data
    tiers: frozenset[str] = frozenset()  # tiers that some account has


def lint_rule(rule: RuleIn, facts: Facts, others: Iterable[RuleIn] = ()) -> list[Doubt]:
    """All that is doubtful about a rule; `others` are the rules beside it."""
    found = [*_parts(rule, facts), *_tiers(rule, facts), *_competing(rule, others)]
    return list({(one["field"], one["message"]): one for one in found}.values())


def covered(rule: RuleIn) -> set[str]:
    """The tiers in which the rule can fire."""
    return {tier for tier in TIERS if all(_covers(member.body, tier) for member in rule.when.members)}


def _covers(body: Any, tier: str) -> bool:
    tiered = [getattr(body, name, None) for name in (*_TIERED, "for_")]
    given = [value for value in tiered if value is not None]
    return all(for_tier(value, tier) is not None for value in given)


_TIERED = ("at_least", "above", "at_most", "below", "falls_by", "rises_by", "before", "after")


def _parts(rule: RuleIn, facts: Facts) -> Iterator[Doubt]:
    """Warnings about the members of `when`, and about `unless`."""
    single = len(rule.when.members) == 1 and rule.when.all_of is None
    for place, member in enumerate(rule.when.members):
        where = f"when.{member.kind}" if single else f"when.all_of.of.{place}.{member.kind}"
        yield from _selector(member.body, where, facts, rule.by)
        if isinstance(member.body, Threshold):
            yield from _impossible(member.body, where)
        if isinstance(member.body, Trend):
            yield from _impossible_trend(member.body, where)
    if rule.unless is not None:
        yield from _selector(rule.unless.threshold, "unless.threshold", facts, None)
        yield from _impossible(rule.unless.threshold, "unless.threshold")


def _selector(body: Any, where: str, facts: Facts, by: str | None) -> Iterator[Doubt]:
    if not hasattr(body, "event"):
        return
    types = body.event if isinstance(body.event, list) else [body.event]
    for type_ in types:
        if facts.paths and type_ != "*" and not is_reserved(type_) and type_ not in facts.paths:
            yield _warning(f"{where}.event", f"no event of type {type_} has been seen in the log so far")
    for name, path in _data_paths(body, by):
        known = [facts.paths[type_] for type_ in types if type_ in facts.paths and type_ not in RESERVED]
        if known and not any(_first(path) in names for names in known):
            place = name if name == "by" else f"{where}.{name}"
            yield _warning(place, f"{path} has not been seen in an event of {', '.join(types)} so far")
    if getattr(body, "since", None) is not None:
        yield from _selector(body.since, f"{where}.since", facts, None)


def _data_paths(body: Any, by: str | None) -> Iterator[tuple[str, str]]:
    condition: Condition | None = getattr(body, "where", None)
    paths = [("where", path) for path in paths_of(condition)] if condition is not None else []
    for name, value in (("of", getattr(body, "of", None)), ("by", by)):
        if isinstance(value, str):
            paths.append((name, value))
    return ((name, path) for name, path in paths if path.startswith("data."))


def _first(path: str) -> str:
    return path.split(".")[1]


def _impossible(body: Threshold, where: str) -> Iterator[Doubt]:
    """Numbers that no window can reach, or that every window does."""
    most = _most(body)
    for operator in ("at_least", "above"):
        for tier, number in _numbers(getattr(body, operator)):
            place = f"{where}.{operator}{tier}"
            if most is not None and (number > most or (operator == "above" and number == most)):
                yield _warning(place, f"can never be reached: the window has at most {most} days")
            if body.aggregate in {"count", "distinct", "days"} and operator == "at_least" and number <= 0:
                yield _warning(place, "always holds: every matching event fires")
    for operator in ("at_most", "below"):
        for tier, number in _numbers(getattr(body, operator)):
            if body.aggregate in {"count", "distinct", "days"} and (
                number < 0 or (operator == "below" and number == 0)
            ):
                yield _warning(f"{where}.{operator}{tier}", "can never hold: nothing is less than none")


def _most(body: Threshold) -> int | None:
    """The most days that the window can touch, if it counts days."""
    if body.aggregate != "days":
        return None
    spans = [body.within, body.since.for_ if body.since is not None else None]
    lengths = [parse_duration(span) for span in spans if span is not None]
    return None if not lengths else -(-min(lengths) // DAY_US) + 1


def _impossible_trend(body: Trend, where: str) -> Iterator[Doubt]:
    for tier, number in _numbers(body.falls_by):
        if number > 100:
            yield _warning(f"{where}.falls_by{tier}", "can never hold: a rate falls by 100 % at most")


def _numbers(value: Any) -> list[tuple[str, float]]:
    if isinstance(value, TierMap):
        return [(f".{tier}", getattr(value, tier)) for tier in TIERS if getattr(value, tier) is not None]
    return [] if value is None else [("", value)]


def _tiers(rule: RuleIn, facts: Facts) -> Iterator[Doubt]:
    if not facts.tiers:
        return
    for place, member in enumerate(rule.when.members):
        where = f"when.{member.kind}" if rule.when.all_of is None else f"when.all_of.of.{place}.{member.kind}"
        for name in (*_TIERED, "for_"):
            value = getattr(member.body, name, None)
            for tier in TIERS if isinstance(value, TierMap) else ():
                if getattr(value, tier) is not None and tier not in facts.tiers:
                    yield _warning(
                        f"{where}.{name.rstrip('_')}.{tier}", f"no account is served in the tier {tier}"
                    )


def _competing(rule: RuleIn, others: Iterable[RuleIn]) -> Iterator[Doubt]:
    for other in others:
        same = rule.playbook is not None and other.playbook == rule.playbook and other.name != rule.name
        if same and covered(rule) & covered(other):
            yield _warning(
                "playbook",
                f"{other.name} starts {rule.playbook} too: while one of their plays is open, the other's is skipped",
            )


def _warning(where: str, message: str) -> Doubt:
    return {"field": where, "message": message}
