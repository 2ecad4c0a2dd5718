"""Which rules share tracks, and what each of them needs to fire, per tier.

Straight rules are of the commonest form: a rising count, sum or distinct over a window, for whole accounts. Those that
want the same types are put in groups of at most 62.
"""

from collections.abc import Iterable

from schemas.event import OWN_PREFIX, is_reserved
from services.rules.engine.compiled_rule import CompiledRule, slot
from services.rules.engine.fastpath.shared_series import HEAD, RULES, Layout, SeriesGroup
from services.rules.engine.kinds.threshold import Threshold

UNREACHED = 1 << 100  # a number of events, or of millionths, that no window comes to
PLANES = 6  # of credits up to 64; a longer way is gone in pieces
COLD = 16  # rows up to which sums are simply added up


class RuleGroup(SeriesGroup):
    """A group with its rules by bit."""

    __slots__ = ("rules",)

    def __init__(self, key: int, rules: list[tuple[CompiledRule, Threshold]]) -> None:
        slots = {bit: member.slot for bit, (_, member) in enumerate(rules)}
        columns = dict.fromkeys(member.column for _, member in rules if member.column is not None)
        super().__init__(key, slots, columns, max(member.within or 0 for _, member in rules))
        self.rules = rules


class Thresholds:
    """What the rules of a group need in one tier. Lists by bit; masks say which bits are of a kind."""

    __slots__ = (
        "able", "columns", "cooldowns", "counted", "crew", "distinct", "hot", "least", "needed", "planes",
        "spans", "summed", "sums",
    )  # fmt: skip

    def __init__(self, crew: RuleGroup, tier: str) -> None:
        self.crew = crew
        members = [member for _, member in crew.rules]
        self.needed = [_needed(rule, member, tier) for rule, member in crew.rules]
        self.cooldowns = [rule.cooldowns[tier] for rule, _ in crew.rules]
        self.spans = [member.within or 0 for member in members]
        self.columns = [0 if m.column is None else HEAD + crew.columns.index(m.column) for m in members]
        able = [needed < UNREACHED for needed in self.needed]
        self.able = _mask(able)
        self.summed = self.able & _mask(member.aggregate == "sum" for member in members)
        self.distinct = self.able & _mask(member.aggregate == "distinct" for member in members)
        self.counted = self.able & ~self.summed
        # a track of fewer numbers than `hot`, and of smaller amounts than `least` altogether, fires nothing
        counts = [n for bit, n in enumerate(self.needed) if self.counted >> bit & 1]
        rows = min([*counts, COLD]) if self.able else UNREACHED
        self.hot = rows * crew.width
        self.sums = {bit: n for bit, n in enumerate(self.needed) if self.summed >> bit & 1}
        self.least = min(self.sums.values(), default=UNREACHED)
        # full credits, see there: plane i holds bit i of each
        full = [min(n, 1 << PLANES) - 1 for n in self.needed]
        self.planes = tuple(_mask(n >> i & 1 for n in full) & self.counted for i in range(PLANES))


def _mask(flags: Iterable[object]) -> int:
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def _needed(rule: CompiledRule, member: Threshold, tier: str) -> int:
    """The least that holds: a number of events, of distinct values, or of millionths."""
    least = (member.needed or {}).get(tier)
    return UNREACHED if least is None or not rule.fires else least


def straight(rule: CompiledRule) -> Threshold | None:
    """The rule's threshold, if it is of the form that tracks are kept for."""
    member = rule.members[0]
    if rule.joint is not None or rule.unless is not None or rule.per_contact or rule.doc.by is not None:
        return None
    if not isinstance(member, Threshold) or member.needed is None:
        return None
    if not (member.selector.of or "data.").startswith("data."):
        return None  # what a profile says may differ between the event's arrival and a backfill
    # Touchline's own events may come out of order among the others; updates go their own way
    other = any(type_.startswith(OWN_PREFIX) or is_reserved(type_) for type_ in member.selector.types or ())
    return None if other else member


def layout_of(rules: Iterable[CompiledRule]) -> Layout:
    """The groups of a rule set."""
    together: dict[tuple[str, ...], list[tuple[CompiledRule, Threshold]]] = {}
    for rule in rules:
        member = straight(rule)
        if member is not None:
            types = member.selector.types
            together.setdefault(("*",) if types is None else tuple(sorted(types)), []).append((rule, member))
    return Layout(
        RuleGroup(slot("track", start, *types), some[start : start + RULES])
        for types, some in together.items()
        for start in range(0, len(some), RULES)
    )
