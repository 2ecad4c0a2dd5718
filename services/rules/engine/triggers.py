"""Makes triggers. Their ids follow from their causes, so the same history always gives the same triggers."""

from hashlib import blake2b

from schemas.event import Event, depth_of, microseconds, rfc3339
from schemas.trigger import Position, Trigger, TriggerEvent, Window
from services.rules.engine.account_state import OFFSETS, AccountState
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.kind_state import Arming
from services.rules.engine.kinds.base import Match
from services.rules.engine.windows.fixed_point import Value, as_json


def trigger_id(
    rule: str, account: str, subject: tuple[str | None, str | None], cause: tuple[object, ...]
) -> str:
    """`trg_` and 26 hex digits that stand for the rule, the subject and the event or moment that caused the trigger."""
    text = repr((rule, account, *subject, *cause)).encode("utf-8", "surrogatepass")
    return f"trg_{blake2b(text, digest_size=13).hexdigest()}"


def make_trigger(
    rule: CompiledRule,
    state: AccountState,
    hold: Match,
    event: Event | None,
    evidence: list[str],
    position: Position,
) -> Trigger:
    """The trigger of a match that fires. `event` is the one it fired at (None at a timer)."""
    cause: tuple[object, ...] = (hold.at, "moment")
    if event is not None and event.time is not None:
        origin = () if event.mergedfrom is None else (event.mergedfrom,)
        cause = (event.source, event.id, microseconds(event.time), *origin)
    shown = _shown(hold, event)
    named = event.contact if event is not None else hold.arming.contact if hold.arming is not None else None
    return Trigger(
        id=trigger_id(rule.known_as, state.account, hold.subject, cause),
        rule=rule.known_as,
        rule_version=rule.version,
        account=state.account,
        contact=hold.subject[0] if hold.subject[0] is not None else named,
        key=hold.subject[1],
        tier=state.tier,
        at=rfc3339(hold.at),
        event_id=shown.id if shown is not None else None,
        event=shown,
        value=as_json(hold.value),
        window=Window(*map(rfc3339, hold.window)) if hold.window is not None else None,
        threshold=hold.threshold,
        reason=str(rule.reason),
        playbook=rule.doc.playbook,
        evidence=evidence,
        position=position,
        figures=figures_of(hold.figures),
        shadow=rule.status == "shadow",
        scope=rule.doc.scope,
        depth=depth_of(shown.type, shown.data) if shown is not None else 0,
    )


def _shown(hold: Match, event: Event | None) -> TriggerEvent | None:
    if event is not None and event.time is not None:
        time = rfc3339(microseconds(event.time))
        return TriggerEvent(id=event.id, source=event.source, type=event.type, time=time, data=event.data)
    return shown_arming(hold.arming) if hold.arming is not None else None


def shown_arming(arming: Arming) -> TriggerEvent:
    """What a trigger shows of an event that armed it."""
    time = rfc3339(arming.time)
    return TriggerEvent(id=arming.id, source=arming.source, type=arming.type, time=time, data=arming.data)


def figures_of(figures: dict[str, Value] | None) -> dict[str, int | float] | None:
    """The figures of a trend as numbers."""
    if figures is None:
        return None
    return {name: number for name, value in figures.items() if (number := as_json(value)) is not None}


def ids_of(state: AccountState, offsets: list[int]) -> dict[int, str]:
    """The original ids of the account's events at these offsets, as far as they are remembered."""
    found = {offset: state.older[offset] for offset in offsets if offset in state.older}
    values = list(state.seen.values())  # in order of arrival, and so of offsets
    places, low = {}, 0
    for offset in sorted(set(offsets) - found.keys()):
        low = _place(values, offset, low)
        if low < len(values) and values[low] & OFFSETS == offset:
            places[low] = offset
    if places:
        keys = list(state.seen)
        for place, offset in places.items():
            key = keys[place]
            found[offset] = key if isinstance(key, str) else key[1]
    return found


def _place(values: list[int], offset: int, low: int) -> int:
    """The first place from `low` on whose offset is at least this one.

    The newest offsets are asked for most, so the search starts from the end.
    """
    high, step = len(values), 1
    while high - step >= low and values[high - step] & OFFSETS >= offset:
        high -= step
        step *= 2
    low = max(low, high - step + 1)
    while low < high:
        middle = (low + high) >> 1
        if values[middle] & OFFSETS < offset:
            low = middle + 1
        else:
            high = middle
    return low
