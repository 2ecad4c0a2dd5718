"""Eviction drops what nothing can need any more: ids too old for repeats, old records, old marks.

A sweep is due after a number of events of an account, never by the clock or by batches, so that the same history is
always swept in the same way.
"""

from collections.abc import Collection
from typing import Any

from schemas.event import LATE_US
from services.rules.engine import account_state as states
from services.rules.engine.account_state import OFFSET_BITS, OFFSETS, AccountState, slot_of
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.dedup import OWN
from services.rules.engine.fastpath.shared_series import drop_old, newest_of_each
from services.rules.engine.id_codec import EventKey
from services.rules.engine.ruleset import RuleSet

EVIDENCE = 20
HOUR = 3_600_000_000


def sweep(state: AccountState, rules: RuleSet) -> None:
    """Sweep the account and set when the next sweep is due; a sweep costs as much as the account has series and ids."""
    kept_series = len(state.stores) + len(state.shared)
    if len(state.seen) < kept_series:
        state.sweep_at = kept_series
        return
    clear_old(state, rules)
    state.sweep_at = len(state.seen) + max(states.SWEEP_FLOOR, len(state.seen), kept_series)


def clear_old(state: AccountState, rules: RuleSet) -> None:
    """Forget what no event or timer from `LATE_US` before the newest event on can need."""
    floor = state.newest - LATE_US
    if state.swept != rules.revision:
        _drop_unknown(state, rules)
        state.swept = rules.revision
    for group in drop_old(state.shared, state.layout, floor):
        state.slack.pop(group, None)
    _sweep_series(state, rules, floor)
    for kept in state.kept.values():
        for key in list(kept):
            rules.keepers[slot_of(key)].sweep(state, key, floor)
    for key, fired in list(state.fired.items()):
        oldest = floor - _late(rules.rule_slots[slot_of(key)])
        recent = {cause: time for cause, time in fired.items() if time >= oldest}
        if recent:
            state.fired[key] = recent
        else:
            del state.fired[key]
    state.muted = {offset: time for offset, time in state.muted.items() if time >= floor}
    if state.deep is not None:
        state.deep = {offset: time for offset, time in state.deep.items() if time >= floor} or None
    _forget_ids(state, rules)


def _sweep_series(state: AccountState, rules: RuleSet, floor: int) -> None:
    spans = rules.spans
    for key, series in list(state.stores.items()):
        slot = key if isinstance(key, int) else key[0]
        span = spans.get(slot)
        if span is not None and series[0] > floor - span:
            continue  # the usual case: nothing is that old yet
        rule, _, kind = rules.parts[slot]
        kind.sweep_series(state, key, _floor(state, rule, floor))


def _late(rule: CompiledRule) -> int:
    """How far a moment of the rule may be past and still run."""
    return max((member.late for member in rule.members), default=0)


def _floor(state: AccountState, rule: CompiledRule, floor: int) -> int:
    """The earliest time at which part of the rule may still be checked; `unless` is checked at old moments too."""
    if rule.slot in state.held:
        floor = min(floor, *state.held[rule.slot])
    if rule.unless is None or not rule.moments:
        return floor
    floor = min(floor, state.newest - _late(rule) - HOUR)
    for member in rule.members:
        for key, one in state.kept.get(member.name, {}).items():
            if slot_of(key) == member.slot and (pending := one.pending()) is not None:
                floor = min(floor, pending)
    return floor


def _drop_unknown(state: AccountState, rules: RuleSet) -> None:
    """Drop the state of rules that are gone or have begun another generation."""
    mappings: tuple[tuple[dict[Any, Any], Collection[int]], ...] = (
        (state.stores, rules.parts),
        *((kept, rules.keepers) for kept in state.kept.values()),
        (state.last, rules.rule_slots),
        (state.held, rules.rule_slots),
        (state.fired, rules.rule_slots),
    )
    for mapping, known in mappings:
        for key in [key for key in mapping if slot_of(key) not in known]:
            del mapping[key]


def _forget_ids(state: AccountState, rules: RuleSet) -> None:
    """Forget the ids that may be used again, except those that evidence can still name."""
    floor = state.newest - LATE_US
    bound = floor << OFFSET_BITS
    gone = {}
    foreign = state.foreign
    for key, value in state.seen.items():  # in order of arrival, which is also the order of their times
        if value >= bound:
            break
        if foreign and value & OFFSETS in foreign and _own(state, key) in state.seen:
            continue  # the account's own event of this id has another key for as long as this one is taken
        gone[value & OFFSETS] = key
    if not gone and not state.older:
        return
    wanted: set[int] = set()
    for subject, series in state.stores.items():
        kind = rules.parts[slot_of(subject)].kind
        width = kind.width
        first = max(0, len(series) - EVIDENCE * width)
        if series[first] <= floor:
            wanted.update(series[first + 1 :: width])
    for group, rows in state.shared.items():
        wanted.update(newest_of_each(rows, state.layout.groups[group].width, EVIDENCE, floor))
    older = {offset: id_ for offset, id_ in state.older.items() if offset in wanted}
    for offset, key in gone.items():
        if offset in wanted:
            older[offset] = key if isinstance(key, str) else key[1]
    state.older = older
    for key in gone.values():
        del state.seen[key]
    for offset in foreign.keys() & gone.keys():
        del foreign[offset]
    state.packed.clear()
    state.packed_count = 0


def _own(state: AccountState, key: EventKey) -> EventKey:
    """The key of the account's own event whose bare id a forwarded event has taken."""
    return (state.source, key, OWN) if isinstance(key, str) else (key[0], key[1], OWN)
