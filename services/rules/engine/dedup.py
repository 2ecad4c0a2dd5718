"""Recognises repeats: an event is known by (source, id) for at least seven days of its account's own time.

A forwarded event, or one that was first sent to another account, may carry an id that means another event here.
Then the fingerprints of their content decide: equal content means the same event. Otherwise the first event keeps
the id, and the other is known by (source, id, content), or by (source, id, 0) if it is the account's own.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from schemas.event import LATE_US, Event
from schemas.forwarding import fingerprint
from services.rules.engine.account_state import OFFSET_BITS, OFFSETS, AccountState
from services.rules.engine.id_codec import EventKey

UPDATES_KEPT = 1000
OWN = 0  # stands for the content of the account's own event


class EventName(NamedTuple):
    """The key by which an event is known, and whether it `repeats` an earlier one.

    `said`: the content of a forwarded event with a bare id.
    """

    key: EventKey
    repeats: bool
    said: int | None = None


def recognise(state: AccountState, event: Event, fetch: Callable[[int], Event]) -> EventName:
    """The name of an event. Call it while `state.newest` is as it was before the event.

    `fetch` gives the account's event at an offset. By the time an id is forgotten, a repeat with the same event time
    is late, so the event still counts only once.
    """
    key: EventKey = event.id if event.source == state.source else (event.source, event.id)
    if event.mergedfrom is not None:
        return _sent_on(state, event, key, fetch)
    known = _known(state, key)
    if not state.foreign:
        return EventName(key, known)
    other = (event.source, event.id, OWN)
    if _known(state, other):
        return EventName(other, repeats=True)
    said = state.foreign.get(state.seen[key] & OFFSETS) if known else None
    return EventName(key, known) if said is None else EventName(other, repeats=said == fingerprint(event))


def _sent_on(state: AccountState, event: Event, key: EventKey, fetch: Callable[[int], Event]) -> EventName:
    said = fingerprint(event)
    other = (event.source, event.id, said)
    if _known(state, other):
        return EventName(other, repeats=True)
    if not _known(state, key):
        return EventName(key, False, said)
    offset = state.seen[key] & OFFSETS
    there = state.foreign.get(offset) or _said_at(offset, fetch)
    return EventName(key, repeats=True) if there == said else EventName(other, repeats=False)


def _said_at(offset: int, fetch: Callable[[int], Event]) -> int | None:
    try:
        return fingerprint(fetch(offset))
    except LookupError:
        return None  # no longer in the log: treated as a different event, so that none is lost


def _known(state: AccountState, key: EventKey) -> bool:
    value = state.seen.get(key)
    return value is not None and state.newest <= (value >> OFFSET_BITS) + LATE_US


def merged_before(state: AccountState, event: Event) -> bool:
    """Whether an update was already applied, though its id has been forgotten. From now on it is remembered.

    A late update is still applied. But one that is sent again long afterwards must not undo newer values.
    """
    said = () if event.mergedfrom is None else (fingerprint(event),)
    text = repr((event.source, event.id, event.time, *said)).encode("utf-8", "surrogatepass")
    digest = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1
    if digest in state.updates:
        return True
    state.updates.append(digest)
    del state.updates[:-UPDATES_KEPT]
    return False
