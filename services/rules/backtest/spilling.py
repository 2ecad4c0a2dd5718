"""Account states within a bound of memory: those that do not fit lie on temporary disk until somebody asks for them."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator

from backbone.jobs.scratch import Scratch
from services.rules.engine.account_state import AccountState
from services.rules.engine.state_codec import decode, encode

BARE_STATE = 2_500  # bytes that a state takes in memory, roughly, beside what it counts
ID_BYTES = 200  # for each id that it remembers
_SCHEMA = "CREATE TABLE states (account TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;"
CHECK = 500  # accounts between two looks at the disk


class Room:
    """The memory that the states of all partitions share, in bytes."""

    def __init__(self, size: int, scratch: Scratch) -> None:
        self.size, self.taken = size, 0
        self.scratch = scratch
        self.members: list[SpillingAccounts] = []

    def relieve(self, keep: str = "") -> None:
        """Bring states to disk until half of the room is free, of the first partitions first; all but one of `keep`.

        For between two batches, and for when the engine asks for an account and holds no other one.
        """
        if self.taken <= self.size:
            return
        for member in self.members:
            member.spill(self.size // 2, keep)
        self.scratch.check()


class SpillingAccounts:
    """The states of one partition: see `engine.ports.AccountStates`."""

    def __init__(self, room: Room, erased: Collection[str]) -> None:
        self.states: dict[str, AccountState] = {}
        self._weights: dict[str, int] = {}
        self._elsewhere = erased  # accounts that are erased in other partitions
        self._erased: set[str] = set()
        self._room = room
        self._made: sqlite3.Connection | None = None  # while nothing is spilled, none is needed
        self._spilled = 0
        room.members.append(self)

    @property
    def _disk(self) -> sqlite3.Connection:
        if self._made is None:
            self._made = self._room.scratch.database(_SCHEMA)
        return self._made

    def __len__(self) -> int:
        return len(self.states) + self._spilled

    def get(self, account: str) -> AccountState | None:
        """The account's state, or None for one never seen."""
        state = self.states.get(account)
        return state if state is not None or not self._spilled else self._fetch(account)

    def _fetch(self, account: str) -> AccountState | None:
        row = self._disk.execute("SELECT state FROM states WHERE account = ?", (account,)).fetchone()
        if row is None:
            return None
        self._disk.execute("DELETE FROM states WHERE account = ?", (account,))
        self._spilled -= 1
        state = self.states[account] = decode(row[0])
        self._weigh(account, state)
        self._room.relieve(account)
        return state

    def prefetch(self, names: Iterable[str]) -> None:
        """Bring these into memory."""
        if self._spilled:
            for name in names:
                self.get(name)

    def put_new(self, state: AccountState) -> None:
        """Store a new state."""
        self.states[state.account] = state

    def forget(self, account: str) -> None:
        """Drop an account that was erased."""
        self.get(account)
        if self.states.pop(account, None) is not None:
            self._room.taken -= self._weights.pop(account, 0)
        self._erased.add(account)

    def erased(self, account: str) -> bool:
        """Whether an account of this name was erased, in any partition."""
        if account in self.states or not (account in self._erased or account in self._elsewhere):
            return False
        if not self._spilled:
            return True
        there = "SELECT 1 FROM states WHERE account = ?"  # not `get`: the engine holds another account now
        return self._disk.execute(there, (account,)).fetchone() is None

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:
        """Every state; one that came from disk for this and is not touched goes back."""
        yield from list(self.states.values())
        if not self._spilled:
            return
        for (account,) in self._disk.execute("SELECT account FROM states").fetchall():
            state = self._fetch(account)
            if state is not None:
                yield state
                if account not in touched:
                    self._store([account])

    def weigh(self, touched: Iterable[str]) -> None:
        """Reckon anew what the states take that a batch has touched."""
        states = self.states
        for account in touched:
            state = states.get(account)
            if state is not None:
                self._weigh(account, state)

    def _weigh(self, account: str, state: AccountState) -> None:
        kept = sum(map(len, state.stores.values())) + sum(map(len, state.shared.values()))
        size = BARE_STATE + ID_BYTES * len(state.seen) + 10 * kept + 300 * len(state.profile.contacts)
        self._room.taken += size - self._weights.get(account, 0)
        self._weights[account] = size

    def spill(self, until: int, keep: str) -> None:
        """Bring states to disk, the first ones first, until all partitions together take so many bytes."""
        names = iter([name for name in self._weights if name != keep])
        while self._room.taken > until:
            part = [name for name, _ in zip(names, range(CHECK), strict=False)]
            if not part:
                return
            self._store(part)
            self._room.scratch.check()

    def _store(self, names: Iterable[str]) -> None:
        rows = []
        for name in names:
            state = self.states.pop(name, None)
            self._room.taken -= self._weights.pop(name, 0)
            if state is not None:
                rows.append((name, encode(state)))
        self._disk.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", rows)
        self._spilled += len(rows)
