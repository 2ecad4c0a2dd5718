"""An account's agenda: a heap of moments ahead. Entries may be stale; what they name is looked at anew when due."""

from heapq import heappush
from itertools import count

from services.rules.engine.account_state import AccountState, SubjectKey

TICK = 0  # the subject key of the daily tick
_order = count()


def note(state: AccountState, at: int, key: SubjectKey) -> None:
    """Put a moment of a part's subject onto the agenda."""
    heappush(state.agenda, (at, next(_order), key))
