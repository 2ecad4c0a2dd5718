"""Generates handlers: one function per event type and tier, which does for all rules at once what each kind defines.

Each shareable rule (see `rule_group`) becomes one line: its condition over shared lookups, which sets a bit. The
event is then put once into the shared series of each rule group. Only the rules that `slack` cannot rule out are
judged, by the same code as everything else (`PartitionEngine.judge`). All other rules are asked as usual, in their
order among the rest. An event that is out of order or historical (`late`) goes the same way, but is inserted at its
own time.

docs/fast-path.md prints one of these functions and explains it.
"""

from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from schemas.conditions.codegen import Emitter
from schemas.conditions.model import plain
from schemas.tiered import TIERS
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.fastpath.rule_group import RuleGroup, Thresholds
from services.rules.engine.fastpath.shared_series import Layout
from services.rules.engine.fastpath.slack import due
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.windows.fixed_point import micro
from services.rules.engine.windows.series import known_token, token

Handler = Callable[..., None]  # (state, time, offset, event, engine, late)
SCALARS = frozenset({str, int, float, bool})
LEGEND = "# v0, v1 …: what a path leads to; n0: the same as a number, else NaN; s0: as a text, else None"


def handlers_for(
    listeners: Sequence[CompiledRule], layout: Layout, clauses: tuple[str, ...] = ()
) -> dict[str, Handler] | None:
    """The handlers by tier for an event type that these rules listen to, in rule order; None if no rule does.

    `clauses`: keys of the `alive` clauses that want this type. There are no handlers for reserved types or for
    Touchline's own.
    """
    if not listeners and not clauses:
        return None
    writer = _HandlerWriter(listeners, layout, clauses)
    code = compile(writer.source, "<handler>", "exec")
    return {tier: _made(code, writer.constants | writer.thresholds(tier)) for tier in TIERS}


def handler_source(listeners: Sequence[CompiledRule], layout: Layout) -> str:
    """The source of the generated function. It is the same for all tiers; only its constants differ."""
    return _HandlerWriter(listeners, layout).source


def _made(code: CodeType, names: dict[str, Any]) -> Handler:
    """The function, made with these constants."""
    exec(code, names)  # noqa: S102 - our own code, see `schemas.conditions.codegen`
    handler: Handler = names["handler"]
    return handler


class _HandlerWriter:
    """Writes the function for one event type: its `source`, and the `constants` that it reads in every tier."""

    def __init__(
        self, listeners: Sequence[CompiledRule], layout: Layout, clauses: tuple[str, ...] = ()
    ) -> None:
        self._listeners, self._places = listeners, layout.places
        self._emitter = Emitter()
        self._groups: list[RuleGroup] = []
        self._rules: dict[str, CompiledRule] = {}
        tests, judged = self._tests_and_judged()
        stored = [line for number, group in enumerate(self._groups) for line in self._stored(number, group)]
        heard = ["engine.beat(CLAUSES, time, offset)"] if clauses else []
        body = [LEGEND, *heard, *self._lookups(), *tests, *stored, *judged]
        self.source = "\n".join(
            ["def handler(state, time, offset, event, engine, late):", *(f"    {line}" for line in body), ""]
        )
        keys = {f"KEY_{number}": group.key for number, group in enumerate(self._groups)}
        self.constants: dict[str, Any] = {
            "CLAUSES": clauses, "NO_DATA": {}, "SCALARS": SCALARS,
            "due": due, "known_token": known_token, "micro": micro, "token": token,
            **keys, **self._rules, **self._emitter.env,
        }  # fmt: skip

    def thresholds(self, tier: str) -> dict[str, Any]:
        """The constants that differ by tier."""
        names: dict[str, Any] = {}
        for number, group in enumerate(self._groups):
            made = Thresholds(group, tier)
            names |= {f"THRESHOLDS_{number}": made, f"BY_SUM_{number}": made.by_sum}
            names |= {f"LEAST_LENGTH_{number}": made.least_length, f"LEAST_TOTAL_{number}": made.least_total}
        return names

    def _lookups(self) -> list[str]:
        """Lines that look up the paths in the rules' conditions, each path once."""
        roots = {path.split(".")[0] for path in self._emitter.places}
        lines = [f"matched_{number} = due_{number} = 0" for number in range(len(self._groups))]
        if roots & {"type", "source"}:
            lines.append("e = event")
        if "data" in roots:
            lines += ["data = event.data", "if data.__class__ is not dict: data = NO_DATA"]
        if "account" in roots:
            lines.append("p = state.profile; tier = state.tier")
        if "contact" in roots:
            lines.append("c = state.contact(event.contact)")
        return [*lines, *self._emitter.prelude()]

    def _tests_and_judged(self) -> tuple[list[str], list[str]]:
        """Lines that set the bits of the rules that match, and lines that judge those that may hold, in rule order."""
        tests: list[str] = []
        judged: list[str] = []
        run: dict[int, int] = {}  # rule group numbers to the bits of a run of consecutive rules
        for place, rule in enumerate(self._listeners):
            group, bit = self._places.get(rule.members[0].slot, (None, 0))
            if isinstance(group, RuleGroup):
                if group not in self._groups:
                    self._groups.append(group)
                number = self._groups.index(group)
                run[number] = run.get(number, 0) | 1 << bit
                tests.append(f"{self._test(group.rules[bit][1], number, bit)}  # {rule.name!r}")
            else:
                judged += self._judge(run)
                run = {}
                self._rules[f"RULE_{place}"] = rule
                judged.append(f"engine.ask(RULE_{place}, state, time, offset, event)  # {rule.name!r}")
        return tests, judged + self._judge(run)

    def _test(self, member: Threshold, number: int, bit: int) -> str:
        """A line that sets a rule's bit if the event counts for it."""
        tests = []
        if member.aggregate == "sum":
            view = self._emitter.view(str(member.selector.of), "n")
            tests.append(f"{view} == {view}")  # fails for NaN, which stands for no number
        elif member.aggregate == "distinct":
            tests.append(f"{self._emitter.view(str(member.selector.of))}.__class__ in SCALARS")
        where = member.selector.document.where
        tests += [self._emitter.expression(plain(where))] if where is not None else []
        condition = f"if {' and '.join(tests)}: " if tests else ""
        return f"{condition}matched_{number} |= {1 << bit}"

    @staticmethod
    def _judge(run: dict[int, int]) -> list[str]:
        """A line that judges consecutive rules if one of them may hold."""
        if not run:
            return []
        asked = " or ".join(f"due_{number} & {mask}" for number, mask in run.items())
        found = "".join(f"(THRESHOLDS_{number}, due_{number} & {mask}), " for number, mask in run.items())
        return [f"if {asked}: engine.judge(({found}), state, time, offset, event, late)"]

    def _stored(self, number: int, group: RuleGroup) -> Iterator[str]:
        """Lines that put the event's row into a group's shared series and find the rules it may make hold."""
        members = {member.column: member for _, member in group.rules if member.column is not None}
        amounts = "".join(f", {self._amount(members[column])}" for column in group.columns)
        worth_a_look = self._worth_a_look(number, group)
        yield f"if matched_{number}:"
        yield f"    row = (time, offset, matched_{number}{amounts})"
        yield f"    if late: due_{number} = engine.put_late(THRESHOLDS_{number}, state, row)"
        yield "    else:"
        yield f"        rows = state.shared.get(KEY_{number})"
        yield f"        if rows is None: state.shared[KEY_{number}] = rows = [*row]"
        yield "        else: rows += row"
        yield f"        if {worth_a_look}:"
        yield f"            due_{number} = due(THRESHOLDS_{number}, state, rows, matched_{number})"

    @staticmethod
    def _worth_a_look(number: int, group: RuleGroup) -> str:
        """An expression for whether the series is long enough for a count, or its amounts large enough for a sum."""
        long = f"len(rows) >= LEAST_LENGTH_{number}"
        summed = {member.column for _, member in group.rules if member.aggregate == "sum"}
        if not summed:
            return long
        if len(summed) > 1:
            return f"{long} or matched_{number} & BY_SUM_{number}"
        first = group.place_of(next(one for one in summed if one is not None))
        total = f"sum(map(abs, rows[{first}::{group.width}]))"
        return f"{long} or matched_{number} & BY_SUM_{number} and {total} >= LEAST_TOTAL_{number}"

    def _amount(self, member: Threshold) -> str:
        """An expression for the amount that the event adds to a column: millionths, or a token, or 0 for neither."""
        view = self._emitter.view(str(member.selector.of))
        if member.aggregate == "sum":
            return f"micro({view}) or 0"
        return f"((known_token({view}) or token({view})) if {view}.__class__ is str else token({view})) or 0"
