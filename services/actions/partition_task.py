"""One partition in the hands of this worker: its plays, its store, and what a batch left to save."""

import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from backbone.log import EVENTS, TRIGGERS, Entry, Record, dead_letter, partition_for
from backbone.partition_worker import Barrier
from schemas.event import CONTROL, Event, Malformed, decode, instant
from schemas.names import is_name
from schemas.trigger import Moved, Trigger, TriggerRecord
from services.actions.plays.dedup import digest
from services.actions.plays.merge import EventItem, MergedOrder, TriggerItem
from services.actions.plays.model import DraftRendering, Play, play_id
from services.actions.plays.ports import Library
from services.actions.plays.processor import GRACE_US, ClockMode, PlaysPartition
from services.actions.storage.ownership import OWNERSHIP, ActionsPartition
from services.actions.storage.plays import PlayStore
from services.actions.storage.write_batch import FlushResult

MAX_STEPS = 5_000  # of a task in one transaction
MAX_OPS = 200  # drafts and such of a task in one transaction
LEAST_OPS = 8  # where rendering them takes long
LONG_S = 1.0
BUFFER_RECORDS = 20_000  # read and not yet applied, of one topic; beyond it reading pauses
BUFFER_BYTES = 16 * 1024 * 1024
SEEN_FOR_US = 30 * 86_400_000_000  # how long an event is remembered, by the partition's clock
PRUNE_EVERY_US = SEEN_FOR_US // 6

_decode_trigger = msgspec.json.Decoder(TriggerRecord).decode


class ActionsTask:
    """Everything about one partition that lives only while we own it."""

    def __init__(
        self,
        row: ActionsPartition,
        *,
        connect: Callable[[], Connection],
        library: Library,
        mode: ClockMode,
        partitions: int,
    ) -> None:
        self.row, self._partitions = row, partitions
        self._expected = OWNERSHIP.offsets(row)
        self._pruned = row.clock
        self._ops = MAX_OPS
        self._sizes: dict[str, int] = {EVENTS: 0, TRIGGERS: 0}
        self.store = PlayStore(row.partition, partitions, connect)
        self.merge = MergedOrder(next_event=row.next_event, next_trigger=row.next_trigger, past=row.past)
        self.plays = PlaysPartition(
            row.partition, mode=mode, store=self.store, library=library, merge=self.merge, clock=row.clock
        )
        if mode == "wall":
            self.plays.cleared = 0
        self.gate: Barrier | None = None  # what waits of accounts that took others in wait for

    # -- in

    def offer(self, records: Sequence[Record]) -> list[Entry]:
        """Take in records of both topics; returns the dead letters for triggers that could not be read.

        What could not be read of touchline.events is put to the dead letters by rules, once.
        """
        poison: list[Entry] = []
        for record in records:
            self._sizes[record.topic] += len(record.value)
            if record.topic == EVENTS:
                item = EventItem(record.offset, record.timestamp, self._event(record))
                self.merge.offer_events((item,))
            elif (error := self._trigger(record)) is not None:
                poison.append(dead_letter(record, error))
        return poison

    def _event(self, record: Record) -> Event | None:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        try:
            event = decode(record.value, place=place, timestamp=record.timestamp)
        except Malformed:
            return None
        if event.type in CONTROL:
            return event
        if not is_name(event.account) or not is_name(event.contact or "-"):
            return None
        return event if partition_for(event.account or "", self._partitions) == self.row.partition else None

    def _trigger(self, record: Record) -> str | None:
        """Take in a record of touchline.triggers; what is wrong with it, if something is."""
        if record.damage is not None:
            self.merge.offer_progress(record.offset, 0)
            return record.damage
        try:
            found = _decode_trigger(record.value)
            decided = found.trigger or found.moved
            error = None if decided is None else self._flaw(decided)
        except (msgspec.DecodeError, ValueError) as problem:
            found, decided, error = TriggerRecord(), None, str(problem)
        if decided is not None and error is None:
            self.merge.offer_trigger(TriggerItem(record.offset, decided))
            return None
        progress = found.progress
        if progress is not None and progress.partition == self.row.partition:
            self.merge.offer_progress(record.offset, progress.offset)
            return None
        self.merge.offer_progress(record.offset, 0)
        return error or "neither a trigger nor progress of this partition"

    def _flaw(self, decided: Trigger | Moved) -> str | None:
        if decided.position.partition != self.row.partition:
            return "the trigger belongs to another partition"
        if isinstance(decided, Moved):
            return None if is_name(decided.account) else "a name is empty, too long, or holds NUL"
        names = (decided.account, decided.contact or "-", decided.rule, decided.playbook or "-")
        if not all(is_name(name) for name in names) or "\0" in (decided.key or "") or len(decided.id) > 64:
            return "a name is empty, too long, or holds NUL"
        instant(decided.at)  # raises ValueError for what is no time
        return None

    def full(self, topic: str) -> bool:
        """Whether enough of a topic is waiting, so that reading it should pause."""
        waiting = self.merge.waiting_events if topic == EVENTS else self.merge.waiting_triggers
        if waiting == 0:
            self._sizes[topic] = 0
        return waiting >= BUFFER_RECORDS or self._sizes[topic] >= BUFFER_BYTES

    # -- work

    def run(self) -> int:
        """Apply what can be applied, up to what fits a transaction; how many steps that were."""
        if self.merge.head() is None:
            return 0
        self._preload()
        steps = 0
        while steps < MAX_STEPS and len(self.store.ops) < self._ops and self.plays.step():
            steps += 1
        return steps

    def _preload(self) -> None:
        events, triggers = self.merge.ahead(MAX_STEPS)
        concerned = [
            item.event for item in events if item.event is not None and self.plays.concerns(item.event.type)
        ]
        names = [event.account for event in concerned if event.account is not None]
        near = [item.trigger for item in triggers[:MAX_OPS]]
        soon = [one for one in near if isinstance(one, Trigger) and one.playbook is not None]
        names += [one.account for one in near if isinstance(one, Moved) or one.playbook is not None]
        if names:
            started = [play_id(trigger.id, trigger.playbook or "") for trigger in soon]
            self.store.preload(names, [digest(event) for event in concerned], started)

    def due(self, now: int) -> bool:
        """Whether a wait may lie at or before `now`, less the grace."""
        return self.store.floor <= now - GRACE_US

    def advance_to(self, now: int) -> int:
        """Wall clock, all that was posted before `now` has been offered: run the waits that are due; how many."""
        steps = 0
        while steps < MAX_STEPS and len(self.store.ops) < self._ops and self.plays.advance_to(now):
            steps += 1
        return steps

    def clear(self, read: int) -> None:
        """If all up to the gate has been applied: waits up to its time need not go on for what may be under way.

        `read`: where the next poll reads on; it may be past what is no record.
        """
        gate = self.gate
        if gate is not None and (
            self.merge.next_event >= gate.end or (read >= gate.end and self.merge.caught_up())
        ):
            self.plays.cleared, self.plays.held, self.gate = gate.upto, False, None

    # -- out

    def render(self, renderer: DraftRendering, stay: Callable[[], None]) -> None:
        """See `PlayStore.render`. After one that took long the next transactions are smaller: others wait for them."""
        began = time.monotonic()
        self.store.render(renderer, stay)
        long = time.monotonic() - began > LONG_S
        self._ops = max(LEAST_OPS, self._ops // 4) if long else min(MAX_OPS, self._ops * 2)

    @property
    def moved(self) -> bool:
        """Whether there is anything to save, be it only how far we have come."""
        return self.store.dirty or (self.merge.next_event, self.merge.next_trigger) != self._expected

    def save(self, conn: Connection, now: int) -> FlushResult:
        """Write all that changed since the last commit; raises `Fenced` if the partition is no longer
        ours."""
        self.row.next_event, self.row.next_trigger = self.merge.next_event, self.merge.next_trigger
        self.row.past, self.row.clock = self.merge.kept_past, self.plays.clock
        OWNERSHIP.advance(conn, self.row, self._expected)
        self.store.verify(conn)
        if self.row.clock - self._pruned > PRUNE_EVERY_US:
            self.store.forget_seen(conn, self.row.clock - SEEN_FOR_US)
            self._pruned = self.row.clock
        return self.store.flush(conn, now)

    def committed(self) -> list[Play]:
        """The transaction stands: forget the batch. Returns the plays it wrote."""
        written = self.store.plays_written()
        self.plays.answered.clear()
        self._expected = OWNERSHIP.offsets(self.row)
        self.store.end(committed=True)
        return written
