"""The account states of one partition: a bounded cache in front of `rules_accounts`."""

from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import blake2b

from sqlalchemy import select, tuple_

from backbone.database import Database
from services.rules.engine.account_state import AccountState
from services.rules.engine.state_codec import decode, encode, encode_profile
from services.rules.storage import queries
from services.rules.tables import accounts

# A state's size in memory, roughly: this many bytes, and five for each stored byte (an id: 155 for 32).
BARE_STATE = 3_000
EXPANSION = 5
READ_AHEAD = 1_000  # accounts loaded together when timers fall due


def profile_hash(_account: str, profile: bytes) -> int:
    """Tells whether an encoded profile is still the one that its account's row shows."""
    return int.from_bytes(blake2b(profile, digest_size=8).digest(), "big", signed=True)


def account_row(
    state: AccountState, partition: int, seen_at: int, hash_of: Callable[[str, bytes], int] = profile_hash
) -> queries.AccountRow:
    """An account as its table has it; `seen_at` counts only for a new one. `hash_of` may know the hash already."""
    profile = encode_profile(state.profile)
    closed = state.profile.closed
    into = closed.into if closed is not None else None
    blob, times, hashed = (
        encode(state, profile),
        (state.earliest, state.newest),
        hash_of(state.account, profile),
    )
    return queries.AccountRow(state.account, partition, seen_at, state.due, into, blob, *times, hashed)


class AccountCache:
    """The account states that the engine sees. The worker prefetches them, and saves those that were touched.

    `room`: bytes that states may take in memory; beyond it, the least recently changed leave. `stay` is
    called with each fetch, since many fetches (a save that concerns every account) are long work.
    """

    def __init__(self, db: Database, partition: int, room: int, stay: Callable[[], None]) -> None:
        self._db, self._stay = db, stay
        self._partition = partition
        self._room = room
        self._states: dict[str, AccountState] = {}
        self._sizes: dict[str, int] = {}  # sizes of the stored ones
        self._hashes: dict[
            str, tuple[int, int]
        ] = {}  # of their profiles: Python's own, which costs little, and ours
        self._taken = 0
        self._missing: set[str] = set()
        self._erased: set[str] = set()  # the table may still have them

    def prefetch(self, names: Iterable[str]) -> list[str]:
        """Load the states of a batch's accounts (each named once) in a few queries. Returns the names
        that have none."""
        wanted = [name for name in names if name not in self._states and name not in self._erased]
        if not wanted:
            return []
        self._stay()
        with self._db.read() as conn:
            found = queries.load_accounts(conn, self._partition, wanted)
        for name, blob in found.items():
            self._states[name] = decode(blob)
            self._weigh(name, blob)
        missing = [name for name in wanted if name not in found]
        self._missing.update(missing)
        return missing

    def get(self, account: str) -> AccountState | None:
        """The account's state, or None for one never seen."""
        state = self._states.get(account)
        if state is None and account not in self._missing:
            self._load_with_neighbours(account)
            state = self._states.get(account)
        return state

    def put_new(self, state: AccountState) -> None:
        """Add a state that the engine made."""
        self._states[state.account] = state
        self._missing.discard(state.account)

    def forget(self, account: str) -> None:
        """Drop an erased account."""
        self._drop(account)
        self._missing.add(account)
        self._erased.add(account)

    def erased(self, account: str) -> bool:
        """Whether an account of this name, in any partition, was erased and has not come back."""
        if account in self._states:
            return False
        if account in self._erased:
            return True
        with self._db.read() as conn:
            return queries.was_erased(conn, account)

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:
        """Every account of the partition, in memory or not. States loaded for this stay only if they are
        `touched` meanwhile, or if there is room."""
        with self._db.read() as conn:
            stored = queries.account_names(conn, self._partition)
        names = list(dict.fromkeys([*stored, *self._states]))
        for start in range(0, len(names), READ_AHEAD):
            part = names[start : start + READ_AHEAD]
            fetched = [name for name in part if name not in self._states]
            self.prefetch(part)
            yield from [self._states[name] for name in part if name in self._states]
            for name in fetched if self._taken > self._room else ():
                if name not in touched:
                    self._drop(name)

    def rows(self, touched: Iterable[str], now: int) -> list[queries.AccountRow]:
        """The touched states, encoded for the table; `now` is when a new one was first seen (microseconds)."""
        given = []
        for name in sorted(touched):
            state = self._states.pop(name, None)
            if state is None:
                continue
            self._states[name] = state  # now the last to be dropped
            row = account_row(state, self._partition, now, self._hash_of)
            self._weigh(name, row.state)
            given.append(row)
        return given

    def unlisted(self, touched: Iterable[str]) -> Iterator[AccountState]:
        """Those of the touched states whose profiles changed since they were last asked for here."""
        for name in sorted(touched):
            state = self._states.get(name)
            if state is not None and not state.listed:
                state.listed = True
                yield state

    def stored(self, touched: Collection[str], erased: Collection[str]) -> None:
        """Note that what `rows` returned is in the table, but for states touched or erased since.

        Drops others where the memory is full.
        """
        self._erased.intersection_update(erased)
        self._missing.intersection_update(erased)
        excess = self._taken - self._room
        gone = []
        for name in self._states if excess > 0 else ():
            if name not in touched:
                gone.append(name)
                excess -= self._sizes.get(name, 0)
                if excess <= 0:
                    break
        for name in gone:
            self._drop(name)

    def _weigh(self, name: str, blob: bytes) -> None:
        size = BARE_STATE + EXPANSION * len(blob)
        self._taken += size - self._sizes.get(name, 0)
        self._sizes[name] = size

    def _drop(self, name: str) -> None:
        self._states.pop(name, None)
        self._taken -= self._sizes.pop(name, 0)
        self._hashes.pop(name, None)

    def _hash_of(self, name: str, profile: bytes) -> int:
        quick = hash(profile)
        known = self._hashes.get(name)
        if known is None or known[0] != quick:
            known = self._hashes[name] = quick, profile_hash(name, profile)
        return known[1]

    def _load_with_neighbours(self, account: str) -> None:
        """Load one account and those that fall due right after it, which a tick asks for next."""
        self.prefetch([account])
        state = self._states.get(account)
        if state is None or state.due is None:
            return
        query = (
            select(accounts.c.account)
            .where(accounts.c.partition == self._partition)
            .where(tuple_(accounts.c.due_at, accounts.c.account) > (state.due, account))
            .order_by(accounts.c.due_at, accounts.c.account)
            .limit(READ_AHEAD)
        )
        with self._db.read() as conn:
            names = list(conn.scalars(query))
        self.prefetch(names)
