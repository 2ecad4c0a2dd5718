"""The register of what the trigger kinds mean. A new kind is one file in this folder and one line in `KINDS`."""

from schemas import when
from schemas.rule import RuleIn
from services.rules.engine.account_state import slot
from services.rules.engine.kind_state import KindState
from services.rules.engine.kinds.absence import Absence
from services.rules.engine.kinds.all_of import AllOf
from services.rules.engine.kinds.base import TriggerKind, check_kind
from services.rules.engine.kinds.becomes import Becomes
from services.rules.engine.kinds.date import Date
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.kinds.trend import Trend
from services.rules.engine.subjects import Subjects

KINDS: dict[str, type[TriggerKind]] = {
    "threshold": Threshold,
    "absence": Absence,
    "trend": Trend,
    "date": Date,
    "becomes": Becomes,
}


def check_register(kinds: dict[str, type[TriggerKind]]) -> None:
    """Raises `TypeError` where a kind's words have no meaning, a meaning has no words, or either is incomplete."""
    if lone := kinds.keys() ^ when.KINDS.keys():
        raise TypeError(f"trigger kinds with words or a meaning only: {', '.join(sorted(lone))}")
    for name, kind in kinds.items():
        if getattr(kind, "name", None) != name:
            raise TypeError(f"trigger kind {name} is registered under another name than its own")
        check_kind(kind, when.KINDS[name])


check_register(KINDS)
STATES: dict[str, type[KindState]] = {
    AllOf.name: AllOf.state,
    **{name: kind.state for name, kind in KINDS.items() if kind.state is not None},
}


def build_members(doc: RuleIn, generation: int, subjects: Subjects) -> tuple[list[TriggerKind], AllOf | None]:
    """The members of a rule, and the `AllOf` that joins them if it is an `all_of`."""
    members = [
        KINDS[member.kind](member.body, slot(doc.name, generation, place), subjects)
        for place, member in enumerate(doc.when.members)
    ]
    joint = AllOf(doc.when.all_of, slot(doc.name, generation)) if doc.when.all_of is not None else None
    return members, joint


def build_unless(doc: RuleIn, generation: int, subjects: Subjects) -> Threshold | None:
    """The threshold that holds a rule back. Its state has a generation of its own."""
    if doc.unless is None:
        return None
    own = slot(doc.name, "unless", generation)
    return Threshold(doc.unless.threshold, own, subjects.without_key(), unless=True)
