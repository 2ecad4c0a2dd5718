"""One partition in the hands of this worker: its engine, its accounts in memory, and what a batch left to save."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from backbone.database import Database
from backbone.log import EVENTS, Entry, Log, Record, dead_letter, partition_for
from schemas.event import CONTROL, Event, Malformed, clamp_future, decode, microseconds
from schemas.profile import contact_of
from schemas.trigger import Trigger
from services.rules import store
from services.rules.accounts import StoredAccounts
from services.rules.engine.partition import PartitionEngine
from services.rules.revisions import RuleSets
from services.rules.seen import Seen

GRACE_US = 1_000_000  # the wall clock runs this far behind: what was posted just in time still counts
HISTORY_PAGE = 5_000

_trigger_json = msgspec.json.Encoder().encode


class Shard:
    """Everything about one partition that lives only while we own it."""

    def __init__(
        self,
        row: store.PartitionRow,
        db: Database,
        log: Log,
        *,
        clock_mode: str,
        rulesets: RuleSets,
        seen: Seen,
    ) -> None:
        self.row = row
        self._log, self._wall = log, clock_mode == "wall"
        self._seen = seen
        self._accounts = StoredAccounts(db, row.partition)
        self._expected = row.next_offset
        self._fetched: dict[int, Event] = {}
        self.engine = PartitionEngine(
            row.partition,
            clock_mode="wall" if self._wall else "log",
            clock=row.clock,
            revision=rulesets(row.revision),
            accounts=self._accounts,
            rulesets=rulesets,
            fetch=self._fetch,
            history=self._history,
        )
        with db.read() as conn:
            self.engine.schedule(store.dues(conn, row.partition))
        self.outbox: list[Trigger] = []  # committed, not yet on the log
        self.relayed: list[str] = []  # on the log, not yet marked so
        self.reported = -1  # progress told to `touchline.triggers`; -1: none since we own the partition
        self.triggers: list[Trigger] = []
        self._touched: set[str] = set()
        self._erased: set[str] = set()
        self._erased_contacts: list[tuple[str, str]] = []
        self._reasons: Counter[tuple[str, str]] = Counter()

    @property
    def dirty(self) -> bool:
        """Whether something waits to be saved."""
        return bool(self._touched or self.triggers or self._erased or self.relayed)

    def due(self, now: int) -> bool:
        """Whether a moment lies at or before `now`, less the grace."""
        due = self.engine.next_due
        return due is not None and due <= now - GRACE_US

    def apply(self, records: Sequence[Record]) -> list[Entry]:
        """Judge a batch; returns the dead letters for what could not be read."""
        batch: list[tuple[int, int, Event]] = []
        poison: list[Entry] = []
        records = [record for record in records if record.offset >= self.row.next_offset]
        for record in records:
            try:
                event = self._decoded(record)
            except Malformed as error:
                poison.append(dead_letter(record, str(error)))
                continue
            batch.append((record.offset, record.timestamp - GRACE_US, event))
        self._accounts.prefetch(e.account for _, _, e in batch if e.account is not None)
        self._check_partition(records, batch, poison)
        self._fetched = {offset: event for offset, _, event in batch}
        self._seen.note(list(self._fetched.values()))
        self.engine.apply(batch)
        self._erased_contacts += [
            (event.account or "", contact_of(event) or "")
            for _, _, event in batch
            if event.type == "contact.deleted"
        ]
        self._collect()
        if records:
            self.row.next_offset = records[-1].offset + 1
        return poison

    def beat(self, now: int) -> None:
        """Everything posted before `now` has been read: run the moments due."""
        self.engine.beat(now - GRACE_US, self.row.next_offset)
        self._collect()

    def save(self, conn: Connection, now: int) -> None:
        """Write all that changed since the last commit; raises `Fenced` if the partition is no longer ours."""
        self.row.clock, self.row.revision = self.engine.clock, self.engine.revision_number
        store.advance(conn, self.row, self._expected)
        store.erase_accounts(conn, sorted(self._erased))
        store.erase_contacts(conn, self._erased_contacts)
        store.save_accounts(conn, self._accounts.rows(self._touched, now))
        store.save_triggers(conn, [stored(trigger) for trigger in self.triggers])
        store.mark_relayed(conn, self.relayed)

    def committed(self) -> Counter[tuple[str, str]]:
        """The transaction stands: forget what it saved. Returns the decisions counted by (rule, reason)."""
        self._expected = self.row.next_offset
        self.outbox += self.triggers
        self._touched, self._erased, self.triggers, self.relayed = set(), set(), [], []
        self._erased_contacts = []
        self._accounts.trim()
        reasons, self._reasons = self._reasons, Counter()
        return reasons

    def _collect(self) -> None:
        self.triggers += self.engine.drain()
        self._touched |= self.engine.touched
        self._erased |= self.engine.erased
        self._reasons += self.engine.reasons
        self.engine.forget_changes()

    def _decoded(self, record: Record) -> Event:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        event = decode(record.value, place=place, timestamp=record.timestamp)
        if self._wall:
            clamp_future(event, record.timestamp)
        return event

    def _check_partition(
        self, records: Sequence[Record], batch: list[tuple[int, int, Event]], poison: list[Entry]
    ) -> None:
        """An account unknown here may have been produced to the wrong partition: its order would be lost."""
        wrong = {
            event.account
            for _, _, event in batch
            if event.type not in CONTROL
            and event.account is not None
            and not self._accounts.known(event.account)
            and partition_for(event.account, self._log.partitions) != self.row.partition
        }
        if not wrong:
            return
        offsets = {offset for offset, _, event in batch if event.account in wrong}
        poison += [
            dead_letter(r, "the account belongs to another partition") for r in records if r.offset in offsets
        ]
        batch[:] = [item for item in batch if item[0] not in offsets]

    def _fetch(self, offset: int) -> Event:
        event = self._fetched.get(offset)
        if event is None:
            record = self._log.read(EVENTS, self.row.partition, offset, 1)[0]
            event = self._decoded(record)
        return event

    def _history(self, upto: int) -> Iterator[tuple[int, Event]]:
        """Every readable event of the partition from the start of the log to `upto`, exclusive."""
        offset = self._log.start_offsets(EVENTS)[self.row.partition]
        while offset < upto:
            records = self._log.read(EVENTS, self.row.partition, offset, HISTORY_PAGE)
            if not records:
                return
            yield from self._readable(record for record in records if record.offset < upto)
            offset = records[-1].offset + 1

    def _readable(self, records: Iterable[Record]) -> Iterator[tuple[int, Event]]:
        for record in records:
            try:
                yield record.offset, self._decoded(record)
            except Malformed:
                continue  # it is among the dead letters since it was first read


def stored(trigger: Trigger) -> store.TriggerRow:
    """The table row of a trigger."""
    return store.TriggerRow(
        id=trigger.id,
        rule=trigger.rule,
        account=trigger.account,
        contact=trigger.contact,
        at=microseconds(datetime.fromisoformat(trigger.at)),
        partition=trigger.position.partition,
        doc=_trigger_json(trigger),
    )
