"""Sample events: those that make a rule fire at once, for a person who wants to see it happen.

    sample_of({"when": {"threshold": {"event": "ticket.opened", "at_least": 3, …}}, …}, "high")
    # Sample("ticket.opened", {"severity": "urgent"}, 3)

Only rules that count events can be made to fire so; for the others time has to pass.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.conditions.model import Scope, compile_condition, plain
from schemas.event import Event
from schemas.rule import RuleIn
from schemas.tiered import for_tier

MOST = 100  # events of one sample


class Sample(NamedTuple):
    """`times` events of one type, each with the same data."""

    event: str
    data: dict[str, Any]
    times: int


def sample_of(document: Mapping[str, Any], tier: str) -> Sample | None:
    """The events that make this rule fire for an account of the tier; None if events alone do not, or too many would
    be needed."""
    try:
        rule = RuleIn.model_validate(
            {name: document[name] for name in RuleIn.model_fields if name in document}
        )
    except ValidationError:
        return None
    threshold = rule.when.threshold
    if (
        threshold is None
        or threshold.aggregate != "count"
        or threshold.at_tick
        or threshold.since
        or threshold.per
    ):
        return None
    wanted = for_tier(getattr(threshold, threshold.operator), tier)
    if wanted is None:
        return None
    times = int(wanted) + (threshold.operator == "above")
    types = threshold.event if isinstance(threshold.event, list) else [threshold.event]
    data = _data(plain(threshold.where)) if threshold.where is not None else {}
    if rule.by is not None and rule.by.startswith("data."):
        _put(data, rule.by.split(".")[1:], "sample-1")
    found = Sample(str(types[0]), data, times)
    fits = threshold.where is None or compile_condition(threshold.where)(Scope(event=_event(found)))
    return found if fits and 1 <= times <= MOST else None


def _data(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Data that satisfies the simple parts of a condition; whether it satisfies all of it is for the caller to see."""
    data: dict[str, Any] = {}
    for path, wanted in condition.items():
        if path.startswith("data."):
            _put(data, path.split(".")[1:], _value(wanted))
        elif path == "any" and wanted:
            data |= _data(wanted[0])
        elif path == "all":
            for each in wanted:
                data |= _data(each)
    return data


def _value(wanted: Any) -> Any:
    if not isinstance(wanted, Mapping):
        return wanted
    for operator in ("eq", "gte", "lte", "contains", "starts_with"):
        if operator in wanted:
            return wanted[operator]
    if wanted.get("in"):
        return wanted["in"][0]
    if "gt" in wanted:
        return wanted["gt"] + 1 if isinstance(wanted["gt"], int | float) else wanted["gt"]
    if "lt" in wanted:
        return wanted["lt"] - 1 if isinstance(wanted["lt"], int | float) else wanted["lt"]
    return "sample"


def _put(data: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        inner = data.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        data = inner
    data[names[-1]] = value


def _event(sample: Sample) -> Event:
    return Event(id="sample", source="sample", type=sample.event, account="sample", data=sample.data)
