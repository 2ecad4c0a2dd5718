"""Remembers which accounts were merged, and which were erased and have not been recreated.

Everything else about accounts is up to those who read the log. Belongs to the event loop.
"""

import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import delete, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.log import Entry
from schemas.event import Event
from services.ingest.cached_reads import CachedRead
from services.ingest.decoding.validation import ValidEvent
from services.ingest.identity.merged_accounts import MergedAccounts
from services.ingest.identity.store import IdentityStore
from services.ingest.tables import erased
from services.ingest.thread_pools import at_the_door

FRESH_S = 5.0  # maximum age of what is known of other processes' erasures; each look reads them all

Erasures = Sequence[tuple[int, ValidEvent]]  # with their places among the entries


class ErasedAccounts(msgspec.Struct, frozen=True):
    """The erased accounts, as hashes. `change`: how often this process itself has changed them."""

    accounts: frozenset[bytes] = frozenset()
    change: int = 0


class AccountFates:
    """Advises the acceptor before it appends merges, and is told of everything that was appended."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        merges: MergedAccounts,
        identities: IdentityStore,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._clock = clock
        self._merges = merges
        self._identities = identities
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._erased = CachedRead(
            self._load,
            ErasedAccounts(),
            newer=lambda known, found: found if found.change == known.change else known,
            monotonic=monotonic,
        )

    async def admit(self, merges: Sequence[tuple[int, Event]], erasures: Erasures) -> list[str | None]:
        """Note the merges from outside, given with their places.

        Returns for each merge the reason why it is refused, or None.
        """
        reasons: list[str | None] = []
        for place, event in merges:
            into = event.data["into"]
            if any(
                gone.account == into and gone.type == "account.deleted" and at < place
                for at, gone in erasures
            ):
                reasons.append("is erased by an event before this one")
            else:
                reasons.append(await at_the_door(self._merges.admit, event.account or "", into))
        return reasons

    async def appended(self, entries: Sequence[Entry], erasures: Erasures, merges: Sequence[Event]) -> None:
        """All these entries are on the log: forget the accounts that were erased, and remember that they were.

        The accounts of the other entries exist again.
        """
        if merges:
            await at_the_door(self._identities.told, merges)
        known = await self._erased.get()
        if not erasures and not known.accounts:
            return
        gone, there = fates(entries, erasures)
        if erasures:
            await at_the_door(self._identities.erase, [each for _, each in erasures])
        if gone:
            await at_the_door(self._note_erased, gone)
            self._put(self._erased.known.accounts | {self._merges.hash(account) for account in gone})
        anew = {self._merges.hash(account) for account in there} & known.accounts
        if anew:
            await at_the_door(self._note_anew, anew)
            self._put(self._erased.known.accounts - anew)

    def _put(self, accounts: frozenset[bytes]) -> None:
        self._erased.put(ErasedAccounts(accounts, self._erased.known.change + 1))

    def _load(self, before: ErasedAccounts) -> ErasedAccounts:
        now = self._monotonic()
        if now - self._read_at < FRESH_S:
            return before
        with self._db.read() as connection:
            found = frozenset(connection.execute(select(erased.c.account)).scalars())
        self._read_at = now
        return ErasedAccounts(found, before.change)

    def _note_erased(self, accounts: set[str]) -> None:
        with self._db.write() as connection:
            self._merges.forget(connection, accounts, self._clock.now())

    def _note_anew(self, accounts: set[bytes]) -> None:
        with self._db.write() as connection:
            connection.execute(delete(erased).where(erased.c.account.in_(accounts)))


def fates(entries: Sequence[Entry], erasures: Erasures) -> tuple[set[str], set[str]]:
    """The accounts that are erased after these entries, and those that exist."""
    gone, there = set[str](), set[str]()
    erasing = dict(erasures)
    for place, entry in enumerate(entries):
        account = entry.key
        if not isinstance(account, str):
            continue
        erasure = erasing.get(place)
        if erasure is None:
            there.add(account)
            gone.discard(account)
        elif erasure.type == "account.deleted":
            gone.add(account)
            there.discard(account)
    return gone, there
