"""Repeats among the events that matter here: updates, and events that end plays and waits. Pure.

An event is known by its account, source and id: for good if its time is the same, for seven days if it is not. An
event that was forwarded from a merged account may have the id of another event here; then the fingerprints decide,
as in the rules service (its `engine.repeats`).
"""

from hashlib import blake2b

from schemas.event import DAY_US, Event, microseconds
from schemas.forwarding import fingerprint
from schemas.profile import Profile
from services.actions.plays.model import Sighting
from services.actions.plays.ports import Store

REPEAT_US = 7 * DAY_US  # how long the same name with another time is taken for the same event
OWN = 0  # stands for the fingerprint of the account's own event


def repeats(store: Store, event: Event, profile: Profile | None, clock: int) -> bool:
    """Whether the event is a repeat. It is remembered from now on."""
    said, mine = fingerprint(event), event.mergedfrom is None
    name, other = digest(event), digest(event, OWN if mine else said)
    now = Sighting(time=time_of(event), at=clock, said=said if mine else -said)
    if (not mine or (profile is not None and profile.absorbed)) and _known(store, other, now) is not None:
        return True
    held = _known(store, name, now)
    if held is None:
        store.put_sighting(name, now)
        return False
    if mine and (held.said is None or held.said > 0):
        return True
    same = held.time == now.time if held.said is None else abs(held.said) == said
    if mine or not same:
        store.put_sighting(other, now)
    return same


def _known(store: Store, name: bytes, now: Sighting) -> Sighting | None:
    before = store.sighted(name)
    known = before is not None and (before.time == now.time or now.at <= before.at + REPEAT_US)
    return before if known else None


def time_of(event: Event) -> int:
    """The event's time in microseconds."""
    return 0 if event.time is None else microseconds(event.time)  # `decode` always gives a time


def digest(event: Event, said: int | None = None) -> bytes:
    """The hash that names an event: its account, source and id (and its fingerprint `said`), as 16 bytes."""
    made = blake2b(digest_size=16)
    for part in (event.account or "", event.source, event.id, *([] if said is None else [str(said)])):
        raw = part.encode("utf-8", "surrogatepass")
        made.update(len(raw).to_bytes(4, "big") + raw)
    return made.digest()
