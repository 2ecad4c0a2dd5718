"""Events that were there before, as far as it matters here: updates, and what ends plays and waits. Pure.

Known by account, source and id: with the same time for good, with another for seven days. An event that was
sent on from a merged account may have an id that means another event here: what they say decides, as in the
rules service (see there, `engine.repeats`).
"""

from hashlib import blake2b

from schemas.event import DAY_US, Event, microseconds
from schemas.forwarding import fingerprint
from schemas.profile import Profile
from services.actions.plays.model import Sighting
from services.actions.plays.ports import Store

REPEAT_US = 7 * DAY_US  # how long the same name with another time is taken for the same event
OWN = 0  # stands for what the account's own event says


def repeats(store: Store, event: Event, profile: Profile | None, clock: int) -> bool:
    """Whether the event was there before; it is remembered from now on."""
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
    """Its time in microseconds."""
    return 0 if event.time is None else microseconds(event.time)  # `decode` always gives a time


def digest(event: Event, said: int | None = None) -> bytes:
    """What names an event: account, source and id (and what it says), as 16 bytes."""
    made = blake2b(digest_size=16)
    for part in (event.account or "", event.source, event.id, *([] if said is None else [str(said)])):
        raw = part.encode("utf-8", "surrogatepass")
        made.update(len(raw).to_bytes(4, "big") + raw)
    return made.digest()
