"""Events that were sent before: known by (source, id) for at least seven days of the account's own time."""

from hashlib import blake2b

from schemas.event import LATE_US, Event
from services.rules.engine.state import OFFSET_BITS, AccountState

UPDATES_KEPT = 1000


def seen_before(state: AccountState, event: Event) -> bool:
    """Whether the event repeats one; `state.newest` as before this event.

    With the same time it would be late by the time that its id is forgotten, thus counts once for good.
    """
    value = state.seen.get(event.id if event.source == state.source else (event.source, event.id))
    return value is not None and state.newest <= (value >> OFFSET_BITS) + LATE_US


def merged_before(state: AccountState, event: Event) -> bool:
    """Whether an update was merged already, though its id is forgotten; it is remembered from now on.

    A late update still merges. Sent once more, long after, it must not undo what came since.
    """
    text = repr((event.source, event.id, event.time)).encode("utf-8", "surrogatepass")
    digest = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1
    if digest in state.updates:
        return True
    state.updates.append(digest)
    del state.updates[:-UPDATES_KEPT]
    return False
