"""The meaning of a stored state, in a form that does not depend on whether rules share series.

Two states mean the same if these forms are equal. Two bounds are left out, since they may be looser or tighter without
changing what fires: the time of the account's next sweep (`sweep_at`), and the time before which it has no moment
(`due`). Shared series are split by rule. Both states are swept first, so that it does not matter when each was swept
last: that depends on the number of series, which differs without shared ones. Ids kept only for evidence are compared
if evidence can name them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.rules.engine.account_state import AccountState, slot_of
from services.rules.engine.eviction import EVIDENCE, clear_old
from services.rules.engine.fastpath.shared_series import HEAD, MASK, OFFSET, TIME, Layout
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode
from services.rules.engine.windows.series import WIDTHS, Series

SAME = (
    "account", "born", "deep", "departed", "earliest", "erased", "foreign", "lone", "muted", "newest", "seen",
    "source", "updates", "veil",
)  # fmt: skip
BY_RULE = ("fired", "last")
JSON = dict[str, Any]


def said(blob: bytes, rules: RuleSet) -> JSON:
    """The meaning of a stored state under the rules that read it (compiled without the fast path)."""
    state = decode(blob)
    _tell_apart(state, rules)
    clear_old(state, rules)
    own = {_named(key, rules): list(series) for key, series in state.stores.items() if series}
    told: JSON = {name: getattr(state, name) for name in SAME}
    told["profile"] = msgspec.to_builtins(state.profile)
    told["counted"] = own
    named = {offset for key, series in state.stores.items() for offset in _newest(key, list(series), rules)}
    told["older"] = {offset: id_ for offset, id_ in state.older.items() if offset in named}
    for name, kept in [*((name, getattr(state, name)) for name in BY_RULE), *sorted(state.kept.items())]:
        if not kept:
            continue
        told[name] = {_named(key, rules): msgspec.to_builtins(value) for key, value in kept.items()}
    return told


def _tell_apart(state: AccountState, rules: RuleSet) -> None:
    """Give each rule the rows of a shared series that count for it, one by one."""
    for key, rows in state.shared.items():
        group = state.layout.groups[key]
        for start in range(0, len(rows), group.width):
            for bit, slot in group.slots.items():
                if rows[start + MASK] >> bit & 1 and slot in rules.parts:
                    record = [rows[start + TIME], rows[start + OFFSET]]
                    column = getattr(rules.parts[slot].kind, "column", None)
                    if column is not None:
                        record.append(rows[start + HEAD + group.columns.index(column)])
                    state.stores.setdefault(slot, Series("q")).extend(record)
    state.shared, state.layout = {}, Layout()


def _newest(key: Any, series: list[int], rules: RuleSet) -> list[int]:
    """The offsets that evidence from a series can name."""
    kind = rules.parts[slot_of(key)].kind
    width = WIDTHS[kind.aggregate] if hasattr(kind, "aggregate") and kind.slot == slot_of(key) else 2
    return series[OFFSET::width][-EVIDENCE:]


def _named(key: Any, rules: RuleSet) -> str:
    """A subject's key, with the name of the rule in place of its slot."""
    slot = slot_of(key)
    part = rules.parts.get(slot)
    name = part.rule.name if part is not None else rules.rule_slots[slot].name
    place = "" if part is None else f".{part.place}" + (".since" if part.kind.slot != slot else "")
    return f"{name}{place} {key[1:] if isinstance(key, tuple) else ''}".strip()
