"""The rules and tiers of a revision, compiled: which rule listens to which event, and which tier an account has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.event import is_reserved
from schemas.heartbeats import AliveClause
from schemas.profile import Profile
from schemas.rule import RuleIn, TiersDoc
from schemas.tier_policy import TierPolicy
from services.rules.engine.account_state import AccountState
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.fastpath.codegen import Handler, handlers_for
from services.rules.engine.fastpath.rule_group import layout_of
from services.rules.engine.fastpath.shared_series import EMPTY, refit
from services.rules.engine.kinds import KINDS
from services.rules.engine.kinds.all_of import AllOf
from services.rules.engine.kinds.base import TriggerKind
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.per_tier import spans

TYPES_KEPT = 10_000  # event types whose listeners are remembered
RULES_KEPT = 20_000
# compiled rules by name, so that saving one rule does not compile the others again
_kept: dict[str, CompiledRule] = {}


class UnknownRevision(Exception):
    """No such save is known: it was lost when a database was restored, or never existed."""


@dataclass(frozen=True, slots=True)
class RuleRevision:
    """A rule as it is in one revision. Its state belongs to a generation; another generation starts over."""

    name: str
    version: int
    generation: int
    status: str
    doc: RuleIn
    backfill: bool = False  # whether its state is built from the log when this version takes effect
    unless_generation: int = 0


class Part(NamedTuple):
    """A part of a rule that keeps state: a member by its place, or `unless` (place -1)."""

    rule: CompiledRule
    place: int
    kind: TriggerKind


class RuleSet:
    """All rules of a revision except drafts, and its tiers. Immutable, shared between partitions.

    Without `fastpath` every event takes the path that the kinds define, and no rules share series. That is slower
    and gives the same triggers (see docs/fast-path.md).
    """

    def __init__(
        self,
        revision: int,
        rules: Sequence[CompiledRule],
        tiers: TiersDoc,
        backfills: frozenset[str],
        *,
        tiers_revision: int = 0,
        fastpath: bool = True,
    ) -> None:
        self.revision, self.rules, self.tiers = revision, list(rules), tiers
        self.tiers_revision = tiers_revision
        self.backfills = backfills
        self.by_name = {rule.name: rule for rule in rules}
        self.place = {rule.name: place for place, rule in enumerate(rules)}
        self.parts: dict[int, Part] = {}
        self.keepers: dict[int, TriggerKind | AllOf] = {}  # slots to the part that keeps states there
        self.spans: dict[int, int] = {}  # slots to how far before the oldest check their series still count
        for rule in rules:
            self._add_parts(rule)
        self.fastpath = fastpath
        self.layout = layout_of(rules) if fastpath else EMPTY
        self._columns = {
            slot: part.kind.column for slot, part in self.parts.items() if isinstance(part.kind, Threshold)
        }
        self.rule_slots = {rule.slot: rule for rule in rules}
        by_person = {rule.name for rule in rules if rule.doc.by in ("contact", "contact.id")}
        parts = {slot for slot, part in self.parts.items() if part.rule.name in by_person}
        self.by_person = frozenset(parts | {rule.slot for rule in rules if rule.name in by_person})
        self.tick_rules = [rule for rule in rules if rule.ticks]
        self.moment_rules = [rule for rule in rules if rule.moments]
        self.has_moments = bool(self.tick_rules or self.moment_rules)  # whether accounts can have an agenda
        self.dated = [(rule, member) for rule in self.moment_rules for member in rule.members if member.dated]
        self.comparing = [member for rule in rules for member in rule.members if member.compares]
        # event type to its generated functions by tier (None: no rule listens); the engines fill it in
        self.handlers: dict[str, dict[str, Handler] | None] = {}
        self._by_type, self._any_type = self._index()
        self._listeners: dict[str, list[CompiledRule]] = {}
        # the clauses of all rules with `alive`, by key
        self.clauses: dict[str, AliveClause] = {
            one.alive.key: one.alive for one in rules if one.alive is not None
        }
        self._policy = TierPolicy(tiers.tiers)

    def _add_parts(self, rule: CompiledRule) -> None:
        for place, kind in enumerate(rule.members):
            self.parts[kind.slot] = self.parts[kind.slot ^ 1] = Part(rule, place, kind)
            self.keepers[kind.slot] = kind
            if kind.look_back is not None:
                self.spans[kind.slot] = kind.look_back
        if rule.joint is not None:
            self.keepers[rule.slot] = rule.joint
        if rule.unless is not None:
            self.parts[rule.unless.slot] = Part(rule, -1, rule.unless)
            self.keepers[rule.unless.slot] = rule.unless

    def _index(self) -> tuple[dict[str, list[CompiledRule]], list[CompiledRule]]:
        by_type: dict[str, list[CompiledRule]] = {}
        any_type = []
        for rule in self.rules:
            selectors = list(rule.selectors())
            types = {type_ for selector in selectors for type_ in selector.types or ()}
            if any(selector.types is None for selector in selectors):
                any_type.append(rule)
            for type_ in types:
                by_type.setdefault(type_, []).append(rule)
        return by_type, any_type

    def listeners(self, type_: str) -> list[CompiledRule]:
        """The rules that must see events of this type, in order."""
        found = self._listeners.get(type_)
        if found is None:
            named = self._by_type.get(type_, [])
            every = self._any_type if not is_reserved(type_) else []
            places = sorted({self.place[rule.name] for rule in (*named, *every)})
            found = [self.rules[place] for place in places]
            if len(self._listeners) >= TYPES_KEPT:
                self._listeners.clear()
            self._listeners[type_] = found
        return found

    def alive_for(self, type_: str) -> tuple[str, ...]:
        """The keys of the clauses that want events of this type."""
        return tuple(key for key, clause in self.clauses.items() if clause.listens(type_))

    def handlers_of(self, type_: str) -> dict[str, Handler] | None:
        """New handlers for an event type."""
        return handlers_for(self.listeners(type_), self.layout, self.alive_for(type_))

    def refit(self, state: AccountState) -> None:
        """Rearrange an account's series for these rules, whichever rules they were kept for before."""
        refit(state.shared, state.stores, state.layout, self.layout, self._columns)
        state.layout = self.layout

    def tier(self, profile: Profile) -> tuple[str, str]:
        """The account's tier and the reason."""
        return self._policy.tier(profile)

    def same_moments(self, other: "RuleSet") -> bool:
        """Whether every account's agenda is the same under the other set."""
        if self.tiers != other.tiers:
            return False
        mine = [rule for rule in self.rules if rule.ticks or rule.moments]
        theirs = [rule for rule in other.rules if rule.ticks or rule.moments]
        return mine == theirs  # compiled rules are kept, so the same rule is the same object


def compile_rules(
    revision: int,
    rules: Iterable[RuleRevision],
    tiers: TiersDoc,
    *,
    tiers_revision: int = 0,
    fastpath: bool = True,
) -> RuleSet:
    """The rule set of a revision. Drafts are left out: they have no state and decide nothing.

    `tiers_revision`: the revision that the tiers are of; 0: nobody has ever saved any.
    """
    rules = [rule for rule in rules if rule.status != "draft"]
    live = [_compiled(rule) for rule in rules]
    backfills = frozenset(rule.name for rule in rules if rule.backfill)
    return RuleSet(revision, live, tiers, backfills, tiers_revision=tiers_revision, fastpath=fastpath)


def _compiled(rule: RuleRevision) -> CompiledRule:
    kept = _kept.get(rule.name)
    if kept is not None and _unchanged(kept, rule):
        return kept
    made = CompiledRule(
        rule.doc,
        version=rule.version,
        generation=rule.generation,
        unless_generation=rule.unless_generation,
        status=rule.status,
    )
    if len(_kept) >= RULES_KEPT:
        _kept.clear()
    _kept[rule.name] = made
    return made


def _unchanged(kept: CompiledRule, rule: RuleRevision) -> bool:
    mine = (kept.version, kept.generation, kept.unless_generation, kept.status)
    theirs = (rule.version, rule.generation, rule.unless_generation, rule.status)
    return mine == theirs and (kept.doc is rule.doc or kept.doc == rule.doc)


# -- what a save leaves of the state ------------------------------------------------------------------------------


def next_generations(old: RuleIn, new: RuleIn, generation: int, unless_generation: int) -> tuple[int, int]:
    """The generations after a save: raised if the state of `when` (or of `unless`) must start over."""
    scoped = (old.scope, old.by) != (new.scope, new.by)
    anew = scoped or not survives(old, new)
    unless_anew = old.scope != new.scope or not _unless_survives(old, new)
    return generation + anew, unless_generation + unless_anew


def survives(old: RuleIn, new: RuleIn) -> bool:
    """Whether the state of the old rule's `when` still fits the new one."""
    if old.when.kind != new.when.kind:
        return False
    before, after = old.when.members, new.when.members
    joint = (
        old.when.all_of is None
        or new.when.all_of is None
        or not _grew(old.when.all_of, new.when.all_of, "within")
    )
    return joint and len(before) == len(after) and all(map(_member_survives, before, after))


def _member_survives(old: Any, new: Any) -> bool:
    return old.kind == new.kind and _body_survives(KINDS[old.kind], old.body, new.body)


def _body_survives(kind: type[TriggerKind], old: Any, new: Any) -> bool:
    same = all(getattr(old, name) == getattr(new, name) for name in kind.restarts_on)
    return same and not any(_grew(old, new, name) for name in kind.restarts_if_longer)


def _unless_survives(old: RuleIn, new: RuleIn) -> bool:
    if old.unless is None or new.unless is None:
        return old.unless is new.unless
    return _body_survives(KINDS["threshold"], old.unless.threshold, new.unless.threshold)


def _grew(old: Any, new: Any, name: str) -> bool:
    before, after = getattr(old, name), getattr(new, name)
    if before is None:
        return False  # counted over all time before: whatever the new window is, it lies within that
    return after is None or max(spans(after).values()) > max(spans(before).values())
