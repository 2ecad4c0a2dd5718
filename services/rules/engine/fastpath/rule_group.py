"""Which rules share series, and what each of them needs in order to fire, per tier.

A rule is `shareable` if it has the most common form: a rising count, sum or distinct over a window, for whole
accounts. Shareable rules that want the same event types form rule groups of at most 62.
"""

from collections.abc import Iterable

from schemas.event import OWN_PREFIX, is_reserved
from services.rules.engine.compiled_rule import CompiledRule, slot
from services.rules.engine.fastpath.shared_series import FEW_ROWS, RULES, Layout, SeriesGroup
from services.rules.engine.kinds.threshold import Threshold

UNREACHED = 1 << 100  # more events, or millionths, than any window reaches
PLANES = 6  # bits of a slack counter: it counts up to 64 events, and a greater distance is counted in parts


class RuleGroup(SeriesGroup):
    """A series group that knows its rules by bit."""

    __slots__ = ("rules",)

    def __init__(self, key: int, rules: list[tuple[CompiledRule, Threshold]]) -> None:
        slots = {bit: member.slot for bit, (_, member) in enumerate(rules)}
        columns = dict.fromkeys(member.column for _, member in rules if member.column is not None)
        super().__init__(key, slots, columns, max(member.within or 0 for _, member in rules))
        self.rules = rules


class Thresholds:
    """What the rules of a group need in one tier. Lists are indexed by bit; a mask has the bits of some of the rules.

    `needed`: the number of events or distinct values, or the millionths, at which a rule holds.
    `windows`, `cooldowns`: microseconds.
    `amounts_at`: the place of a rule's amounts in a row; 0 for counts, which have none.
    `reachable`, `by_events` (counts and distincts), `by_sum`, `distinct`: masks of rules that can fire in this tier.
    `least_length`, `least_total`: a series with fewer integers, and a smaller total of amounts, makes no rule hold.
    `least_length` is never more than `FEW_ROWS` rows: beyond that, sums have slack too instead of being added up.
    `full_sums`: the slack of each sum while none of it is used up, in millionths.
    `full_planes`: the slack of all other rules while none of it is used up: plane i holds bit i of each slack less one.
    """

    __slots__ = (
        "amounts_at", "by_events", "by_sum", "cooldowns", "distinct", "full_planes", "full_sums", "group",
        "least_length", "least_total", "needed", "reachable", "windows",
    )  # fmt: skip

    def __init__(self, group: RuleGroup, tier: str) -> None:
        self.group = group
        members = [member for _, member in group.rules]
        self.needed = [_needed(rule, member, tier) for rule, member in group.rules]
        self.cooldowns = [rule.cooldowns[tier] for rule, _ in group.rules]
        self.windows = [member.within or 0 for member in members]
        self.amounts_at = [0 if m.column is None else group.place_of(m.column) for m in members]
        self.reachable = _mask(needed < UNREACHED for needed in self.needed)
        self.by_sum = self.reachable & _mask(member.aggregate == "sum" for member in members)
        self.distinct = self.reachable & _mask(member.aggregate == "distinct" for member in members)
        self.by_events = self.reachable & ~self.by_sum
        counts = [needed for bit, needed in enumerate(self.needed) if self.by_events >> bit & 1]
        rows = min([*counts, FEW_ROWS]) if self.reachable else UNREACHED
        self.least_length = rows * group.width
        self.full_sums = {bit: needed for bit, needed in enumerate(self.needed) if self.by_sum >> bit & 1}
        self.least_total = min(self.full_sums.values(), default=UNREACHED)
        full = [min(needed, 1 << PLANES) - 1 for needed in self.needed]
        self.full_planes = tuple(_mask(n >> i & 1 for n in full) & self.by_events for i in range(PLANES))


def _mask(flags: Iterable[object]) -> int:
    """A mask of the places at which the flags are true."""
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def _needed(rule: CompiledRule, member: Threshold, tier: str) -> int:
    """The least that makes the rule hold: a number of events, of distinct values, or of millionths."""
    least = (member.needed or {}).get(tier)
    return UNREACHED if least is None or not rule.fires else least


def shareable(rule: CompiledRule) -> Threshold | None:
    """The rule's threshold, if it has the form that shared series are kept for."""
    member = rule.members[0]
    if rule.joint is not None or rule.unless is not None or rule.per_contact or rule.doc.by is not None:
        return None
    if not isinstance(member, Threshold) or member.needed is None:
        return None
    if not (member.selector.of or "data.").startswith("data."):
        return None  # the profile may have changed between the event's arrival and a backfill
    # Touchline's own events may come out of order among the others; updates are handled separately
    other = any(type_.startswith(OWN_PREFIX) or is_reserved(type_) for type_ in member.selector.types or ())
    return None if other else member


def layout_of(rules: Iterable[CompiledRule]) -> Layout:
    """The rule groups of a rule set. Their keys are the same in every process."""
    together: dict[tuple[str, ...], list[tuple[CompiledRule, Threshold]]] = {}
    for rule in rules:
        member = shareable(rule)
        if member is not None:
            types = member.selector.types
            together.setdefault(("*",) if types is None else tuple(sorted(types)), []).append((rule, member))
    return Layout(
        RuleGroup(slot("track", start, *types), some[start : start + RULES])
        for types, some in together.items()
        for start in range(0, len(some), RULES)
    )
