"""The hot path: one generated function per event type.

Rules of the commonest form (see `groups`) become a line each: the condition over shared lookups, which sets a bit. The
event is then put once into the track of each group, and only what `credits` cannot rule out is judged, by the same
code as everything else (`PartitionEngine.judge`). All other rules are called as usual, in their order among the rest.
An event out of order, or historical (`late`), goes the same way, but is put in its place.
"""

from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from schemas.conditions.codegen import Emitter
from schemas.conditions.model import plain
from schemas.tiered import TIERS
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.fastpath.rule_group import RuleGroup, Thresholds
from services.rules.engine.fastpath.shared_series import HEAD
from services.rules.engine.fastpath.slack import due
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.windows.fixed_point import micro
from services.rules.engine.windows.series import known_token, token

if TYPE_CHECKING:
    from services.rules.engine.ruleset import RuleSet

Plan = Callable[..., None]  # (state, time, offset, event, engine, late)
SCALARS = frozenset({str, int, float, bool})


def plans_for(rules: "RuleSet", type_: str) -> dict[str, Plan] | None:
    """The functions per tier for an event type, neither reserved nor Touchline's own. None: no rule listens."""
    listeners = rules.listeners(type_)
    if not listeners:
        return None
    writer = _Writer(rules, listeners)
    code, env = writer.code()
    return {tier: _plan(code, {**env, **writer.bars(tier)}) for tier in TIERS}


def _plan(code: CodeType, names: dict[str, Any]) -> Plan:
    exec(code, names)  # noqa: S102 - our own code, see `schemas.conditions.codegen`
    plan: Plan = names["plan"]
    return plan


class _Writer:
    """Writes the function of one event type."""

    def __init__(self, rules: "RuleSet", listeners: list[CompiledRule]) -> None:
        self._listeners, self._places = listeners, rules.layout.places
        self._emitter = Emitter()
        self._crews: list[RuleGroup] = []
        self._env: dict[str, Any] = {
            "NOTHING": {}, "SCALARS": SCALARS, "micro": micro, "token": token, "known": known_token, "due": due,
        }  # fmt: skip

    def bars(self, tier: str) -> dict[str, Any]:
        """The constants that differ by tier."""
        names: dict[str, Any] = {}
        for number, crew in enumerate(self._crews):
            bars = Thresholds(crew, tier)
            names |= {f"B{number}": bars, f"H{number}": bars.hot, f"L{number}": bars.least}
            names[f"S{number}"] = bars.summed
        return names

    def code(self) -> tuple[CodeType, dict[str, Any]]:
        """The compiled function and its other constants."""
        tests, judged = self._rules()
        counted = [line for number, crew in enumerate(self._crews) for line in self._counted(number, crew)]
        body = [*self._head(), *tests, *counted, *judged]
        lines = ["def plan(state, time, offset, e, engine, late):", *(f" {line}" for line in body)]
        return compile("\n".join(lines), "<plan>", "exec"), {**self._emitter.env, **self._env}

    def _head(self) -> list[str]:
        """Lookups and constants shared by the rules."""
        roots = {path.split(".")[0] for path in self._emitter.places}
        lines = [f"g{number} = d{number} = 0" for number in range(len(self._crews))]
        if "data" in roots:
            lines += ["data = e.data", "if data.__class__ is not dict: data = NOTHING"]
        if "account" in roots:
            lines.append("p = state.profile; tier = state.tier")
        if "contact" in roots:
            lines.append("c = state.contact(e.contact)")
        return [*lines, *self._emitter.prelude()]

    def _rules(self) -> tuple[list[str], list[str]]:
        """Lines that set the bits of what matches, and lines that judge what they lead to, rule by rule."""
        tests: list[str] = []
        judged: list[str] = []
        run: dict[int, int] = {}  # crews to the bits of rules that come one after another
        for place, rule in enumerate(self._listeners):
            group, bit = self._places.get(rule.members[0].slot, (None, 0))
            if isinstance(group, RuleGroup):
                if group not in self._crews:
                    self._crews.append(group)
                number = self._crews.index(group)
                run[number] = run.get(number, 0) | 1 << bit
                tests.append(self._test(group.rules[bit][1], number, bit))
            else:
                judged += self._judged(run)
                run = {}
                self._env[f"R{place}"] = rule
                judged.append(f"engine.ask(R{place}, state, time, offset, e)")
        return tests, judged + self._judged(run)

    def _test(self, member: Threshold, number: int, bit: int) -> str:
        tests = []
        if member.aggregate == "sum":
            view = self._emitter.view(str(member.selector.of), "n")
            tests.append(f"{view} == {view}")  # NaN, which stands for what is no number, is not
        elif member.aggregate == "distinct":
            tests.append(f"{self._emitter.view(str(member.selector.of))}.__class__ in SCALARS")
        where = member.selector.document.where
        tests += [self._emitter.expression(plain(where))] if where is not None else []
        condition = f"if {' and '.join(tests)}: " if tests else ""
        return f"{condition}g{number} |= {1 << bit}"

    @staticmethod
    def _judged(run: dict[int, int]) -> list[str]:
        if not run:
            return []
        asked = " or ".join(f"d{number} & {mask}" for number, mask in run.items())
        found = "".join(f"(B{number}, d{number} & {mask}), " for number, mask in run.items())
        return [f"if {asked}: engine.judge(({found}), state, time, offset, e, late)"]

    def _counted(self, number: int, crew: RuleGroup) -> Iterator[str]:
        """Lines that put the event's row into the track, and say whom it may make hold."""
        amounts = {member.column: member for _, member in crew.rules if member.column is not None}
        columns = [f", {self._amount(amounts[column])}" for column in crew.columns]
        yield f"if g{number}:"
        yield f" row = (time, offset, g{number}{''.join(columns)})"
        yield f" if late: d{number} = engine.late(B{number}, state, row)"
        yield " else:"
        yield f"  rows = state.tracks.get({crew.key})"
        yield f"  if rows is None: state.tracks[{crew.key}] = rows = [*row]"
        yield "  else: rows += row"
        yield f"  if {self._worth_a_look(number, crew)}: d{number} = due(B{number}, state, rows, g{number})"

    @staticmethod
    def _worth_a_look(number: int, crew: RuleGroup) -> str:
        """Whether the track is long enough for a count, or holds enough for a sum."""
        long = f"len(rows) >= H{number}"
        summed = {member.column for _, member in crew.rules if member.aggregate == "sum"}
        if not summed:
            return long
        if len(summed) > 1:
            return f"{long} or g{number} & S{number}"
        first = HEAD + crew.columns.index(next(one for one in summed if one is not None))
        return f"{long} or g{number} & S{number} and sum(map(abs, rows[{first}::{crew.width}])) >= L{number}"

    def _amount(self, member: Threshold) -> str:
        view = self._emitter.view(str(member.selector.of))
        if member.aggregate == "sum":
            return f"micro({view}) or 0"
        return f"((known({view}) or token({view})) if {view}.__class__ is str else token({view})) or 0"
