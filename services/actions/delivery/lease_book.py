"""The lease book: what a process has leased and not finished, how many more actions it may lease, and of which keys.

No key may take all leases, or what is due behind its actions would not get a turn. A key whose machine answers has at
most its share of them, always enough to keep its places taken until the next lease. So actions are put back only where
many keys together have taken all.

What is leased of a quick key begins with its lease, so that no place waits for a commit. It has about as much leased as
it answers within `AHEAD_S`, so that all of it is sent soon.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from schemas.endpoint import AT_ONCE
from services.actions.delivery.fair_share import MOST_SLOW, KeyLimit

MOST_LEASED = 800  # actions leased at once
MIN_FREE = 50  # how many more it must be able to lease before it does
AHEAD = 2  # a key has this many times its places leased, at least
AHEAD_S = 0.2  # a quick key has what it answers in this time leased, or what every key has at least

Key = tuple[str, str]  # channel and concurrency key


class Room(NamedTuple):
    """How many more actions may be leased: `total`; of each key in `of`; of any other independent key, `others`.

    `without`: keys of which none may be. `quick`: keys whose actions may begin as they are leased.
    """

    total: int
    of: dict[Key, int]
    others: int
    without: frozenset[Key]
    quick: frozenset[Key]

    def may_have_more(self, leased: Iterable[Key]) -> frozenset[Key]:
        """The keys that may have more due than these leases: they got none, or all that there was room for."""
        filled = {key for key, n in Counter(leased).items() if n >= self.of.get(key, self.others)}
        return self.without | filled


class LeaseBook:
    """The actions that are leased and not over, by their keys. Belongs to one event loop."""

    def __init__(self) -> None:
        self.limits: dict[Key, KeyLimit] = {}
        self.held: dict[str, Key] = {}  # the key of every action that is leased and not over
        self.waiting: dict[str, Key] = {}  # of these, the actions that wait for their turn
        self.slow: set[str] = set()  # of these, those that wait for an answer for long, and count no more
        self._over: set[str] = set()  # of these, those whose end is known and not committed
        self._count: Counter[Key] = Counter()  # of `held` without `_over`
        # keys that got no room, and how many may be left when they get some
        self._left_out: dict[Key, int] = {}

    @property
    def free(self) -> int:
        """How many more actions may be leased by the commit that writes down what is over by now."""
        return MOST_LEASED - len(self.held) + len(self._over) + len(self.slow)

    @property
    def under_way(self) -> int:
        """How many actions are between their preparation and their end, but for the slow ones."""
        return len(self.held) - len(self.waiting) - len(self.slow)

    def enter(self, action: str, key: Key) -> None:
        """An action was leased, and waits for its turn. Its key has a limit in `limits`."""
        self._count[key] += 1
        self.held[action] = self.waiting[action] = key

    def leave(self, action: str) -> bool:
        """An action is over and done with. Returns whether its key may be leased again, which it was not."""
        again = self.over(action)
        del self.held[action]
        self._over.discard(action)
        self.slow.discard(action)
        return again

    def over(self, action: str) -> bool:
        """An action has ended, and its key may have another, whose lease goes into the commit of this one's end.

        Returns whether its key may be leased again, which it was not.
        """
        self.waiting.pop(action, None)
        if action in self._over:
            return False
        self._over.add(action)
        self.slow.discard(action)
        key = self.held[action]
        self._count[key] -= 1
        left = self._count[key]
        if not left:
            del self._count[key]
            if not self.limits[key].independent:  # other limits remember whether the key answers
                del self.limits[key]
        return left <= self._left_out.get(key, -1) and self._left_out.pop(key, None) is not None

    def turned_slow(self, action: str) -> bool:
        """An action has been under way for long. Returns whether it counts no more."""
        if len(self.slow) >= MOST_SLOW:
            return False
        self.slow.add(action)
        return True

    def room(self) -> Room:
        """How many more actions may be leased. Keys that get none are remembered until `leave` frees enough."""
        independent = [key for key in self._count if self.limits[key].independent]
        self._left_out = {key: MOST_LEASED for key, limit in self.limits.items() if limit.blocked}
        quick = frozenset(key for key, limit in self.limits.items() if limit.quick)
        of: dict[Key, int] = {}
        for key in quick.union(independent):
            limit = self.limits[key]
            most_held, held = _most_held(limit, len(independent)), self._count[key]
            low = most_held - limit.most
            if key not in self._left_out and held <= low:
                of[key] = most_held - held
            else:
                self._left_out.setdefault(key, low)
        others = max(1, min(_share(len(independent) + 1), AHEAD * AT_ONCE))
        return Room(self.free, of, others, frozenset(self._left_out), quick)

    def in_vain(self) -> Collection[str]:
        """The actions that wait for machines that do not answer. Their keys get no room."""
        return [one for one, key in self.waiting.items() if self.limits[key].blocked]

    def surplus(self) -> Collection[str]:
        """The waiting actions to put back, so that others get their turn.

        Those of the fullest key beyond its next turn. Where many keys share a channel: those of the fullest channel
        beyond half of all leases.
        """
        if not self.waiting:
            return []
        ((key, _),) = Counter(self.waiting.values()).most_common(1)
        same_key = [one for one, way in self.waiting.items() if way == key]
        ((name, _),) = Counter(way[0] for way in self.waiting.values()).most_common(1)
        in_channel = [one for one, way in self.waiting.items() if way[0] == name]
        return same_key[self.limits[key].most :] or in_channel[MOST_LEASED // 2 :]


def _share(keys: int) -> int:
    """The leases of each of so many keys; some are kept for keys that come along."""
    return (MOST_LEASED - 2 * MIN_FREE) // keys


def _most_held(limit: KeyLimit, keys: int) -> int:
    """How many leases a key may have at most beside others, `keys` together."""
    least = AHEAD * limit.most
    if not limit.answers:
        return least
    if not limit.quick:
        return max(_share(keys + 1), least)
    # It is soon done with them, so no share is kept free beside it.
    return max(least, min(_share(max(1, keys)), round(limit.pace * AHEAD_S)))
