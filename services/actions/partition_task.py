"""The partition task of the actions worker: one partition's plays, its store, and the changes of a batch to save."""

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
from services.actions.plays.goals import LATE_US
from services.actions.plays.merge import EventItem, MergedOrder, TriggerItem
from services.actions.plays.model import DraftRendering, Play, play_id
from services.actions.plays.ports import Library
from services.actions.plays.processor import GRACE_US, ClockMode, PlaysPartition
from services.actions.storage import sightings
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.ownership import OWNERSHIP, ActionsPartition
from services.actions.storage.partition_mails import MailOffice
from services.actions.storage.plays import PlayStore
from services.actions.storage.rule_plays import StoredRulePlays
from services.actions.storage.write_batch import FlushResult

MAX_STEPS = 5_000  # steps of a task in one transaction
MAX_OPS = 200  # ops (drafts and the like) of a task in one transaction
LEAST_OPS = 8  # the limit shrinks down to this where rendering takes long
LONG_S = 1.0  # rendering that takes more than this is long
BUFFER_RECORDS = 20_000  # records of one topic that are read and not yet applied; beyond it reading pauses
BUFFER_BYTES = 16 * 1024 * 1024
SEEN_FOR_US = 30 * 86_400_000_000  # how long an event is remembered, by the partition's clock
PRUNE_EVERY_US = SEEN_FOR_US // 6

_decode_trigger = msgspec.json.Decoder(TriggerRecord).decode


class ActionsTask:
    """All that the worker keeps in memory for one partition, for as long as it owns it."""

    def __init__(
        self,
        row: ActionsPartition,
        *,
        connect: Callable[[], Connection],
        library: Library,
        mode: ClockMode,
        partitions: int,
        holds: BatchHolds | None = None,
        office: MailOffice | None = None,
    ) -> None:
        self.row, self._partitions = row, partitions
        self._expected = OWNERSHIP.offsets(row)
        self._pruned = row.clock
        self._ops = MAX_OPS
        self._sizes: dict[str, int] = {EVENTS: 0, TRIGGERS: 0}
        self.store = PlayStore(row.partition, partitions, connect, holds, office)
        self.merge = MergedOrder(next_event=row.next_event, next_trigger=row.next_trigger, past=row.past)
        self.plays = PlaysPartition(
            row.partition,
            mode=mode,
            store=self.store,
            library=library,
            merge=self.merge,
            clock=row.clock,
            holds=holds,
            of_rules=StoredRulePlays(self.store, connect, holds),
        )
        if mode == "wall":
            self.plays.cleared = 0
        self.gate: Barrier | None = None  # holds up the waits of accounts that took others in

    # -- in

    def offer(self, records: Sequence[Record]) -> list[Entry]:
        """Accept records of both topics; returns the dead letters for triggers that could not be read.

        Rules alone writes the dead letters for records of touchline.events, so that there is one of each.
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
        """Accept a record of touchline.triggers; returns what is wrong with it, or None."""
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
        instant(decided.at)  # raises ValueError if it is no time
        return None

    def full(self, topic: str) -> bool:
        """Whether so much of a topic is waiting to be applied that reading it should pause."""
        waiting = self.merge.waiting_events if topic == EVENTS else self.merge.waiting_triggers
        if waiting == 0:
            self._sizes[topic] = 0
        return waiting >= BUFFER_RECORDS or self._sizes[topic] >= BUFFER_BYTES

    # -- work

    def run(self) -> int:
        """Apply the records that can be applied, up to one transaction's limits; returns the number of steps."""
        if self.merge.head() is None:
            return 0
        self.store.watched_from = self.plays.clock - LATE_US
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
        """Whether a wait, or the time of an approval, may be over at or before `now`, less the grace."""
        return min(self.store.floor, self.store.approvals.floor) <= now - GRACE_US

    def advance_to(self, now: int) -> int:
        """Run the waits that are due; returns how many ran. For the wall clock, once every event that was posted
        before `now` has been offered."""
        steps = 0
        while steps < MAX_STEPS and len(self.store.ops) < self._ops and self.plays.advance_to(now):
            steps += 1
        return steps

    def catch_up(self) -> int:
        """Run what was over before, for its play stood still or was held; returns how many steps that took. For the log
        clock, once every event that is there has been offered."""
        steps = 0
        while steps < MAX_STEPS and len(self.store.ops) < self._ops and self.plays.catch_up():
            steps += 1
        return steps

    def look_back(self, since: int) -> int:
        """Look at the mails of digests from `since` on, which were put together after their moments. For the log clock;
        returns how many steps that took."""
        self.store.mails.floor = min(self.store.mails.floor, since)
        return int(self.plays.look_back(since))

    def clear(self, read: int) -> None:
        """Once every record up to the barrier has been applied, let the waits up to its time run.

        `read`: the offset at which the next poll reads on; it may be past entries that are no records.
        """
        gate = self.gate
        if gate is not None and (
            self.merge.next_event >= gate.end or (read >= gate.end and self.merge.caught_up())
        ):
            self.plays.cleared, self.plays.held, self.gate = gate.upto, False, None

    # -- out

    def render(self, renderer: DraftRendering, stay: Callable[[], None]) -> None:
        """See `PlayStore.render`. If it takes long, the next transactions are smaller, since others wait for them."""
        began = time.monotonic()
        self.store.render(renderer, stay)
        long = time.monotonic() - began > LONG_S
        self._ops = max(LEAST_OPS, self._ops // 4) if long else min(MAX_OPS, self._ops * 2)

    @property
    def moved(self) -> bool:
        """Whether there is anything to save, if only the offsets we have reached."""
        return self.store.dirty or (self.merge.next_event, self.merge.next_trigger) != self._expected

    def save(self, conn: Connection, now: int) -> FlushResult:
        """Write everything that changed since the last commit. Raises `Fenced` if the partition is no longer ours."""
        self.row.next_event, self.row.next_trigger = self.merge.next_event, self.merge.next_trigger
        self.row.past, self.row.clock = self.merge.kept_past, self.plays.clock
        OWNERSHIP.advance(conn, self.row, self._expected)
        self.store.verify(conn)
        if self.row.clock - self._pruned > PRUNE_EVERY_US:
            sightings.forget(conn, self.row.partition, self.row.clock - SEEN_FOR_US)
            self._pruned = self.row.clock
        return self.store.flush(conn, now)

    def committed(self) -> list[Play]:
        """The transaction has committed: forget the batch. Returns the plays that it wrote."""
        written = self.store.plays_written()
        self.plays.answered.clear()
        self._expected = OWNERSHIP.offsets(self.row)
        self.store.end(committed=True)
        return written
