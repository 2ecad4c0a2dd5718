"""One partition in the hands of this worker: its engine, its accounts in memory, and what a batch has to save."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from heapq import merge

import msgspec

from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry, Log, OffsetOutOfRange, Record, dead_letter, partition_for
from backbone.log.reader import pages
from backbone.partition_worker import Barrier
from schemas.event import CONTROL, Event, Malformed, encode
from schemas.heartbeats import records_of
from schemas.names import is_name
from schemas.trigger import Trigger, TriggerRecord
from services.rules.decoding import GRACE_US, Item, decoded, read
from services.rules.engine.by_hand import StartAnswer, StartRequest
from services.rules.engine.concerned import Concerned
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.merging import MergeOutput
from services.rules.engine.processor import PartitionEngine
from services.rules.event_catalog import EventCatalog
from services.rules.storage import queries, starts
from services.rules.storage.account_cache import AccountCache
from services.rules.storage.listings import row_of
from services.rules.storage.ownership import OWNERSHIP, RulesPartition
from services.rules.storage.revisions import RuleSets
from services.rules.storage.write_set import WriteSet

HISTORY_PAGE = 5_000
TOLD = 1_000_000  # numbers of outbox records that tell of heartbeats, at their offset, begin here

_encode = msgspec.json.Encoder().encode


class RulesTask:
    """Everything about one partition that exists only while we own it.

    Long work calls `stay` now and then (see `Consumer.stay`).
    """

    def __init__(
        self,
        row: RulesPartition,
        db: Database,
        log: Log,
        *,
        clock_mode: str,
        rulesets: RuleSets,
        seen: EventCatalog,
        room: int,
        stay: Callable[[], None],
    ) -> None:
        self.row = row  # how far the engine has read
        self.saved = copy(row)  # how far the table has been written
        self._db = db
        self._log, self._wall, self._stay = log, clock_mode == "wall", stay
        self._seen = seen
        self._accounts = AccountCache(db, row.partition, room, stay)
        self._expected = OWNERSHIP.offsets(row)
        self._batch: list[Item] = []
        with db.read() as conn:
            hearts = [Heartbeat.restored(blob) for _, blob in queries.load_heartbeats(conn, row.partition)]
        self.engine = PartitionEngine(
            row.partition,
            clock_mode="wall" if self._wall else "log",
            clock=row.clock,
            revision=rulesets(row.revision),
            accounts=self._accounts,
            rulesets=rulesets,
            fetch=self._fetch,
            history=self._history,
            starts=self._start_request,
            heartbeats=hearts,
        )
        if self._wall:
            self.engine.cleared = 0
        self.gate: Barrier | None = None  # what moments of accounts that others were merged into wait for
        with db.read() as conn:
            self.engine.schedule(queries.dues(conn, row.partition))
        # committed and not yet sent to the log: triggers (and decisions about merges), and outbox records
        self.outbox: list[Trigger | queries.Outgoing] = []
        self.sent: list[queries.Outgoing] = []
        self.relayed: list[str] = []  # on the log, not yet marked as relayed
        self.passed: list[tuple[int, int]] = []  # places of outbox records on the log, not yet deleted
        self.under_way = 0  # outbox records for other accounts that the log has not acknowledged yet
        self.told = self.reported = -1  # progress sent to `touchline.triggers`, and on it; -1: none yet
        self._triggers: list[Trigger] = []
        self._touched: set[str] = set()
        self._erased: dict[str, int] = {}  # accounts to the offset of their latest erasure
        self._erased_contacts: dict[tuple[str, str], int] = {}
        self._outgoing: list[queries.Outgoing] = []
        self._forgotten: list[str] = []
        self._started: list[StartAnswer] = []
        self._concerned: list[Concerned] = []
        self._reasons: Counter[tuple[str, str]] = Counter()

    @property
    def dirty(self) -> bool:
        """Whether anything waits to be saved."""
        waiting = self._touched or self._triggers or self._erased or self._outgoing or self._forgotten
        return bool(waiting or self._started or self._concerned or self.relayed or self.passed)

    def due(self, now: int) -> bool:
        """Whether any moment is at or before `now`, less the grace."""
        due = self.engine.next_due
        return due is not None and due <= now - GRACE_US

    def apply(self, records: Sequence[Record]) -> list[Entry]:
        """Judge a batch; returns dead letters for the records that could not be applied."""
        if records and records[0].offset < self.row.next_offset:
            records = [record for record in records if record.offset >= self.row.next_offset]
        if not records:
            return []
        batch, poison = read(records, wall=self._wall)
        self._load(records, batch, poison)
        self._batch = batch
        self._seen.note([event for _, _, event in batch[:: self._seen.step(len(batch))]])
        self.engine.apply(batch)
        self._collect()
        self.row.next_offset = records[-1].offset + 1
        return poison + self._take_out(records)

    def advance_to(self, now: int) -> None:
        """Run the moments that are due; everything posted before `now` has been read."""
        self.engine.advance_to(now - GRACE_US, self.row.next_offset)
        self._collect()

    def release(self) -> None:
        """Run the moments that waited for the barrier: everything under way when it was set has been read."""
        gate, self.gate = self.gate, None
        if gate is not None:
            self.engine.release(gate.upto, self.row.next_offset)
            self._collect()

    def take(self, now: int) -> WriteSet:
        """The write set of everything since the last call. If it cannot be written, this task must be dropped."""
        self.row.clock, self.row.revision = self.engine.clock, self.engine.revision_number
        change = WriteSet(
            row=copy(self.row),
            expected=self._expected,
            accounts=self._accounts.rows(self._touched, now),
            listings=[
                row_of(state, self.engine.rules, now) for state in self._accounts.unlisted(self._touched)
            ],
            triggers=self._triggers,
            relayed=self.relayed,
            erased=self._erased,
            erased_contacts=self._erased_contacts,
            outgoing=self._outgoing,
            passed=self.passed,
            forgotten=self._forgotten,
            started=self._started,
            concerned=self._concerned,
            reasons=self._reasons,
            written_at=now,
            heartbeats={
                key: None if heart is None else heart.stored()
                for key, heart in self.engine.take_heartbeats().items()
            },
        )
        self._expected = OWNERSHIP.offsets(self.row)
        self._touched, self._erased, self._erased_contacts = set(), {}, {}
        self._triggers, self.relayed, self._reasons = [], [], Counter()
        self._outgoing, self.passed, self._forgotten, self._started = [], [], [], []
        self._concerned = []
        return change

    def committed(self, change: WriteSet) -> None:
        """The write set is committed: its triggers may be relayed, and its accounts may leave memory."""
        self.saved = change.row
        moved = [row for row in change.outgoing if row.topic == TRIGGERS]
        self.outbox += merge(change.triggers, moved, key=place_of)
        self.sent += [row for row in change.outgoing if row.topic == EVENTS]
        self._accounts.stored(self._touched, self._erased)

    def _take_out(self, records: Sequence[Record]) -> list[Entry]:
        """Take over the engine's decisions about merges and erasures; returns dead letters for refused events."""
        out = self.engine.take_out()
        for offset, account, contact in out.erased:
            if contact is None:
                self._erased[account] = offset
            else:
                self._erased_contacts[account, contact] = offset
        self._outgoing += _rows(self.row.partition, out)
        self._outgoing += self._told(records[-1].offset)
        self._forgotten += out.forgotten
        self._started += out.started
        self._concerned += out.concerned
        if not out.refused:
            return []
        by_offset = {record.offset: record for record in records}
        return [dead_letter(by_offset[offset], why) for offset, why in out.refused]

    def _told(self, offset: int) -> Iterator[queries.Outgoing]:
        """The rows for the outbox that tell the other partitions of heartbeats, once for the whole batch."""
        number = TOLD
        at = self.engine.clock
        for clause, runs in self.engine.take_told():
            name = f"seen-{self.row.partition}-{offset}-{clause.key}"
            for event in records_of(clause, runs, name=name, at=at):
                for target in range(self._log.partitions):
                    if target != self.row.partition:
                        yield queries.Outgoing(
                            self.row.partition, offset, number, at, EVENTS, "", encode(event), target
                        )
                        number += 1

    def _collect(self) -> None:
        self._triggers += self.engine.drain()
        self._touched |= self.engine.touched
        self._reasons += self.engine.reasons
        self.engine.forget_changes()

    def _load(self, records: Sequence[Record], batch: list[Item], poison: list[Entry]) -> None:
        """Fetch the accounts of a batch, and put aside two sorts of events.

        One has names that no table can hold. The other is of an account that we do not have because the event was
        produced to the wrong partition, where its order would be lost.
        """
        names = {event.account for _, _, event in batch if event.account is not None}
        odd: set[str | None] = {name for name in names if not is_name(name)}
        odd |= {name for name in {event.contact for _, _, event in batch} if name and not is_name(name)}
        if odd:
            wrong = {offset for offset, _, event in batch if event.account in odd or event.contact in odd}
            _put_aside(wrong, "a name is empty, too long, or holds NUL", records, batch, poison)
        fresh = self._accounts.prefetch(name for name in names if name not in odd)
        strange = {name for name in fresh if partition_for(name, self._log.partitions) != self.row.partition}
        if strange:
            wrong = {offset for offset, _, event in batch if event.account in strange}
            _put_aside(wrong, "the account belongs to another partition", records, batch, poison)

    def _fetch(self, offset: int) -> Event:
        place = bisect_left(self._batch, offset, key=_offset)
        if place < len(self._batch) and self._batch[place][0] == offset:
            return self._batch[place][2]
        with suppress(OffsetOutOfRange):
            for record in self._log.read(EVENTS, self.row.partition, offset, 1):
                if record.offset == offset and record.damage is None:  # compaction removes single records
                    return decoded(record, wall=self._wall)
        raise LookupError(f"the event at offset {offset} is not in the log any more")

    def _start_request(self, id: str) -> StartRequest | None:
        with self._db.read() as conn:
            return starts.request_for(conn, id, self.row.partition)

    def _history(self, upto: int) -> Iterator[tuple[int, int, Event]]:
        """(offset, bytes, event) of everything readable in the partition, from the start of the log up to `upto`."""
        start = self._log.start_offsets(EVENTS)[self.row.partition]
        for records in pages(self._log, EVENTS, self.row.partition, start, upto, HISTORY_PAGE):
            self._stay()
            yield from self._readable(records)

    def _readable(self, records: Iterable[Record]) -> Iterator[tuple[int, int, Event]]:
        for record in records:
            try:
                event = decoded(record, wall=self._wall)
            except Malformed:
                continue  # it has been a dead letter since it was first read
            # an event with a name that no table can hold is a dead letter too
            if is_name(event.account) and (not event.contact or is_name(event.contact)):
                yield record.offset, len(record.value), event


def place_of(one: Trigger | queries.Outgoing) -> int:
    """The offset at which something was decided. Decisions that belong before the event there have the number -1."""
    if isinstance(one, queries.Outgoing):
        return one.offset - (one.n < 0)
    return one.position.offset


def _rows(partition: int, out: MergeOutput) -> Iterator[queries.Outgoing]:
    """The rows for the outbox."""
    numbers: Counter[int] = Counter()
    for offset, moved in out.moved:
        number = -1 if moved.position.offset < offset else numbers[offset]
        numbers[offset] += number >= 0
        value = _encode(TriggerRecord(moved=moved))
        yield queries.Outgoing(partition, offset, number, 0, TRIGGERS, moved.account, value)
    for offset, at, account, value in out.sent:
        yield queries.Outgoing(partition, offset, numbers[offset], at, EVENTS, account, value)
        numbers[offset] += 1


def _offset(item: Item) -> int:
    return item[0]


def _put_aside(
    wrong: set[int], error: str, records: Sequence[Record], batch: list[Item], poison: list[Entry]
) -> None:
    """Turn the records at some offsets of a batch into dead letters, except for control records."""
    wrong -= {offset for offset, _, event in batch if event.type in CONTROL}
    poison += [dead_letter(record, error) for record in records if record.offset in wrong]
    batch[:] = [item for item in batch if item[0] not in wrong]
