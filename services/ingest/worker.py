"""The directory's worker: one thread that reads the events, follows what tells by what accounts are found, and sends on
the parked events whose account is known by now."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from backbone.clock import Clock
from backbone.database import Database
from backbone.failpoint import hit
from backbone.log import EVENTS, Log, Record
from backbone.ownership import OwnedPartition, Ownership
from backbone.partition_worker import PartitionWorker
from schemas.event import OWN_PREFIX, Event, Malformed, decode
from schemas.names import is_name
from services.ingest.identity.directory import FOLLOWED, Directory
from services.ingest.identity.unmatched import Unmatched
from services.ingest.tables import partitions

GROUP = "touchline-ingest"
BATCH = 20_000  # records per transaction at most
IDLE_S = 0.2  # how long a poll waits for records
# After records, where no request waits: being woken by every event would cost the door a tenth.
PAUSE_S = 0.02
LOOK_S = 0.2  # between two looks for parked events that can go on
SAVE_S = 0.25  # how long, under a stream of events, progress and new accounts stay unsaved where nothing else is new
NAMED_KEPT = 50_000  # accounts remembered to exist, in each partition

Progress = Callable[[dict[int, int]], None]


@dataclass(slots=True)
class IngestPartition(OwnedPartition):
    """A partition's row, as in the table."""

    next_offset: int


OWNERSHIP = Ownership(partitions, IngestPartition, offsets={EVENTS: "next_offset"})


class _Peek(msgspec.Struct):
    """What is read of every event."""

    type: str = ""
    account: str | None = None
    mergedfrom: str | None = None


_peek = msgspec.json.Decoder(_Peek).decode
_ERASING = frozenset({"account.deleted", "touchline.account.erased"})


@dataclass(slots=True)
class IngestTask:
    """One partition in the hands of this worker."""

    row: IngestPartition
    saved: int  # the offset in the table
    named: set[str] = field(default_factory=set)  # accounts that are known to exist, some of them
    new: dict[str, None] = field(default_factory=dict)  # named first by records that are not saved yet
    events: list[Event] = field(default_factory=list)  # to be followed

    def read(self, records: Sequence[Record]) -> None:
        """Take a batch. What is no event says nothing here; rules puts it aside."""
        for record in records:
            if record.offset < self.row.next_offset:
                continue
            self.row.next_offset = record.offset + 1
            try:
                peeked = _peek(record.value)
                account = peeked.account
                if not is_name(account):
                    continue
                if peeked.type in FOLLOWED:
                    self._follow(record)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Malformed):
                continue
            if peeked.type in _ERASING:
                self.named.discard(account)
                self.new.pop(account, None)
            elif (
                account not in self.named
                and not peeked.type.startswith(OWN_PREFIX)
                and peeked.mergedfrom is None
                and peeked.type != "contact.deleted"
            ):
                self.named.add(account)
                self.new[account] = None

    def _follow(self, record: Record) -> None:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        self.events.append(decode(record.value, place=place, timestamp=record.timestamp))

    def done(self) -> None:
        """Everything is saved."""
        self.saved = self.row.next_offset
        self.new, self.events = {}, []
        if len(self.named) > NAMED_KEPT:
            self.named.clear()


class IngestWorker(PartitionWorker[IngestPartition, IngestTask]):
    """Follows the events of the partitions that the log assigns to this process."""

    def __init__(
        self, db: Database, log: Log, clock: Clock, directory: Directory, unmatched: Unmatched, told: Progress
    ) -> None:
        """`told` gets the offsets that were saved, by partition."""
        super().__init__(db, log, OWNERSHIP, name="ingest", group=GROUP)
        self._clock = clock
        self._directory = directory
        self._unmatched = unmatched
        self._told = told
        self._saved_at = self._looked_at = 0.0
        self._more = False  # whether parked events may be left to look at
        self._awaited = threading.Event()  # a request here waits for what it has appended

    def open_task(self, row: IngestPartition) -> IngestTask:
        """See `PartitionWorker.open_task`."""
        return IngestTask(row, row.next_offset)

    def poll_limits(self) -> tuple[float, int]:
        """See `PartitionWorker.poll_limits`."""
        if self._more:
            return 0.0, BATCH
        unsaved = any(task.saved != task.row.next_offset for task in self.tasks.values())
        return (PAUSE_S if unsaved else IDLE_S), BATCH

    def hurry(self) -> None:
        """A request waits. From any thread."""
        self._awaited.set()

    def work(self, records: Sequence[Record]) -> None:
        """One round: read, save, send on."""
        for task, part in self.by_task(records):
            task.read(part)
        tasks = list(self.tasks.values())
        late = not records or time.monotonic() - self._saved_at > SAVE_S
        ready = [one for one in tasks if one.events or (late and one.saved != one.row.next_offset)]
        if ready:
            self._save(ready)
        if self._more or ready or time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            self._more = bool(self.tasks) and self._unmatched.heal(list(self.tasks)) > 0
        if records and not self._more:
            self._awaited.wait(PAUSE_S)
            self._awaited.clear()

    def _save(self, tasks: Sequence[IngestTask]) -> None:
        with self._db.write() as connection:
            for task in sorted(tasks, key=lambda one: one.row.partition):
                OWNERSHIP.advance(connection, task.row, (task.saved,))
            new = [name for task in tasks for name in task.new]
            events = [event for task in tasks for event in task.events]
            if new or events:
                self._directory.follow(connection, new, events, self._clock.now())
            hit("ingest.before_commit")
        self._saved_at = time.monotonic()
        for task in tasks:
            task.done()
        self.consumer.commit({(EVENTS, one.row.partition): one.saved for one in tasks})
        self._told({one.row.partition: one.saved for one in tasks})
