"""An account's timers: a heap of times ahead. Entries may be stale, so each is checked again when it is due."""

from heapq import heappush
from itertools import count

from services.rules.engine.account_state import AccountState, SubjectKey

TICK = 0  # the subject key of the daily tick
HELD = 1  # the subject key of the ticks that wait for a heartbeat; no digest of a part is so small
_order = count()


def note(state: AccountState, at: int, key: SubjectKey) -> None:
    """Schedule a timer for a subject of one part."""
    heappush(state.agenda, (at, next(_order), key))
