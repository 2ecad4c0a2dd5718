"""The kinds of a rule's `when`, one file each. A new kind: its file, its line here, its model in `schemas.when`."""

from collections.abc import Callable
from typing import Any

from schemas.rule import RuleIn
from services.rules.engine.compiled_rule import TriggerKind, slot
from services.rules.engine.kinds.absence import Absence
from services.rules.engine.kinds.all_of import AllOf
from services.rules.engine.kinds.becomes import Becomes
from services.rules.engine.kinds.date import Date
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.kinds.trend import Trend

KINDS: dict[str, Callable[..., Any]] = {
    "threshold": Threshold,
    "absence": Absence,
    "trend": Trend,
    "date": Date,
    "becomes": Becomes,
    "all_of": AllOf,
}


def build_members(doc: RuleIn, generation: int) -> tuple[list[TriggerKind], AllOf | None]:
    """The members of a rule, and what joins them where it is an `all_of`."""
    members = [
        KINDS[member.kind](member.body, slot(doc.name, generation, place))
        for place, member in enumerate(doc.when.members)
    ]
    joint = AllOf(doc.when.all_of, members) if doc.when.all_of is not None else None
    return members, joint


def build_unless(doc: RuleIn, generation: int) -> Threshold | None:
    """What holds a rule back; its state has a generation of its own."""
    if doc.unless is None:
        return None
    return Threshold(doc.unless.threshold, slot(doc.name, "unless", generation), unless=True)
