"""The hot path: one generated function per event type.

Rules of the commonest form (a rising count, sum or distinct over a window, for whole accounts) become a few lines of
straight code each: the condition over shared lookups, the record appended, and a test that can only err towards
asking. Whatever passes it is judged by the same code as everything else (`PartitionEngine.hit`). All other rules are
called as usual, in their order among the rest. An event out of order (or historical: `late`) shares the lookups and
conditions, and goes into the series the long way.
"""

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

from schemas.conditions import plain
from schemas.event import OWN_PREFIX
from schemas.predicates import Emitter
from schemas.tiered import TIERS
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.live import LiveRule
from services.rules.engine.numbers import micro
from services.rules.engine.running import counts, sums
from services.rules.engine.windows import known_token, token

if TYPE_CHECKING:
    from services.rules.engine.compile import RuleSet

Plan = Callable[..., None]  # (state, time, offset, event, engine, late)
UNREACHED = 1 << 100  # a number of events, or of millionths, that no window comes to
NEVER_FIRED = -(1 << 80)


def plans_for(rules: "RuleSet", type_: str) -> dict[str, Plan]:
    """The functions per tier for an event type that is neither reserved nor Touchline's own."""
    listeners = rules.listeners(type_)
    code, env = _Writer(listeners).code()
    return {tier: _plan(code, {**env, **_limits(listeners, tier)}) for tier in TIERS}


def _plan(code: CodeType, names: dict[str, Any]) -> Plan:
    exec(code, names)  # noqa: S102 - our own code, see `schemas.predicates`
    plan: Plan = names["plan"]
    return plan


def straight(rule: LiveRule) -> Threshold | None:
    """The rule's threshold, if it is of the form that becomes straight code."""
    member = rule.members[0]
    if rule.joint is not None or rule.unless is not None or rule.per_contact or rule.doc.by is not None:
        return None
    if not isinstance(member, Threshold) or member.needed is None:
        return None
    own = any(type_.startswith(OWN_PREFIX) for type_ in member.selector.types or ())
    return None if own else member  # Touchline's own events may come out of order among the others


def _limits(rules: list[LiveRule], tier: str) -> dict[str, int]:
    """What differs by tier: the number to reach and the cooldown, per rule."""
    names = {}
    for place, rule in enumerate(rules):
        member = straight(rule)
        if member is not None:
            names[f"K{place}"] = _needed(rule, member, tier)
            names[f"C{place}"] = rule.cooldowns[tier]
    return names


def _needed(rule: LiveRule, member: Threshold, tier: str) -> int:
    """The least that holds; for counts as the length of the records."""
    least = (member.needed or {}).get(tier)
    if least is None or not rule.fires:
        return UNREACHED
    return least * member.width if member.aggregate == "count" else least


class _Writer:
    """Writes the function of one event type."""

    def __init__(self, rules: list[LiveRule]) -> None:
        self._rules = rules
        self._emitter = Emitter()
        self._body: list[str] = []
        self._spans: dict[int, str] = {}
        self._amounts: dict[tuple[str, str], str] = {}
        self._records: dict[str, str] = {}  # made once per event: appending a whole one is many times quicker
        self._env: dict[str, Any] = {"NOTHING": {}, "NONE": NEVER_FIRED}

    def code(self) -> tuple[CodeType, dict[str, Any]]:
        """The compiled function and its constants."""
        from array import array

        for place, rule in enumerate(self._rules):
            member = straight(rule)
            self._env |= {f"R{place}": rule, f"M{place}": member}
            if member is None:
                self._body.append(f"engine.ask(R{place}, state, time, offset, e)")
            else:
                self._rule(place, rule, member)
        lines = ["def plan(state, time, offset, e, engine, late):", *(f" {line}" for line in self._head())]
        lines += [f" {line}" for line in self._body] or [" pass"]
        env = {
            **self._emitter.env,
            **self._env,
            "micro": micro,
            "token": token,
            "known": known_token,
            "array": array,
        }
        env |= {"sums": sums, "counts": counts}
        return compile("\n".join(lines), "<plan>", "exec"), env

    def _head(self) -> list[str]:
        """Lookups and constants shared by the rules."""
        roots = {path.split(".")[0] for path in self._emitter.places}
        lines = []
        if self._spans:
            lines.append("stores = state.stores; find = stores.get; last = state.last.get")
            lines += [f"{name} = time - {span}" for span, name in self._spans.items()]
        if "data" in roots:
            lines += ["data = e.data", "if data.__class__ is not dict: data = NOTHING"]
        if "account" in roots:
            lines.append("p = state.profile; tier = state.tier")
        if "contact" in roots:
            lines.append("c = state.contact(e.contact)")
        lines += self._emitter.prelude()
        for (path, convert), name in self._amounts.items():
            view = self._emitter.view(path)
            known = f"known({view}) or " if convert == "token" else ""
            quick = f"({known}token({view})) if {view}.__class__ is str else token({view})"
            lines.append(f"{name} = {quick if known else f'micro({view})'}")
        lines += [f"{name} = None" for name in self._records]
        return lines

    def _rule(self, place: int, rule: LiveRule, member: Threshold) -> None:
        assert member.within is not None  # noqa: S101 - `straight` asks for a window
        start = self._spans.setdefault(member.within, f"w{len(self._spans)}")
        where = member.selector.document.where
        tests = [self._emitter.expression(plain(where))] if where is not None else []
        amount = self._amount(member)
        if amount is not None:
            tests.insert(0, f"{amount} is not None")
        self._body += [f"if {' and '.join(tests)}:"] if tests else []
        self._body += [f"{' ' if tests else ''}{line}" for line in self._late(place, amount)]
        indent = "  " if tests else " "
        record = f"r_{amount or ''}"
        self._records[record] = "(time, offset, " + (f"{amount})" if amount else ")")
        lines = [
            f"if {record} is None: {record} = array('q', {self._records[record]})",
            f"s = find({member.slot})",
            f"if s is None: stores[{member.slot}] = s = {record}[:]",
            f"else: s += {record}",
            *_test(place, member, start, amount),
        ]
        fire = f"if not C{place} or time - last({rule.slot}, NONE) >= C{place}: "
        lines.append(f" {fire}engine.hit(R{place}, M{place}, state, time, offset, e)")
        self._body += [indent + line for line in lines]

    @staticmethod
    def _late(place: int, amount: str | None) -> list[str]:
        return [f"if late: engine.late(R{place}, M{place}, state, time, offset, e, {amount or 0})", "else:"]

    def _amount(self, member: Threshold) -> str | None:
        if member.selector.of is None:
            return None
        path = "contact.id" if member.selector.of == "contact" else member.selector.of
        self._emitter.view(path)
        convert = "token" if member.aggregate == "distinct" else "micro"
        return self._amounts.setdefault((path, convert), f"m{len(self._amounts)}")


def _test(place: int, member: Threshold, start: str, amount: str | None) -> list[str]:
    """Lines that end in the head of an `if`: whether the window that ends here reaches what is needed."""
    if member.aggregate == "count":
        return [f"if len(s) >= K{place} and s[-K{place}] > {start}:"]
    if member.aggregate == "sum":
        return [f"if sums(state, {member.slot}, s, {start}, {amount}) >= K{place}:"]
    # fewer records than tokens needed: not even asked (a change of K drops what slides along)
    asked = f"counts(state, {member.slot}, s, {start}, {amount})"
    return [f"if len(s) >= K{place} * {member.width} and {asked} >= K{place}:"]
