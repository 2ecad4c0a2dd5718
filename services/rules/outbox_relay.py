"""Relays both outboxes.

Committed triggers go to `touchline.triggers`, each batch followed by rules' progress. Records that merges make for
other accounts go to `touchline.events`. Ids are deterministic, so a record that is relayed twice after a crash
counts once for its readers.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from backbone.database import Database
from backbone.failpoint import hit
from backbone.log import EVENTS, MAX_RECORD_BYTES, TRIGGERS, Entry, Log
from backbone.log.limits import chunked, memory_of
from backbone.log.records import Headers, Place
from schemas.trigger import Progress, Trigger, TriggerRecord
from services.rules.partition_task import RulesTask, place_of
from services.rules.storage import queries
from services.rules.storage.ownership import RulesPartition

TIMEOUT_S = 30.0
PAGE = 1_000
UNDER_WAY = 4  # appends that the log may not have acknowledged yet
EVENT_HEADERS: Headers = (("content-type", b"application/cloudevents+json"),)

_encode = msgspec.json.Encoder().encode
_trigger = msgspec.json.Decoder(Trigger).decode
Out = Trigger | queries.Outgoing
Told = str | tuple[int, int] | int  # a trigger (its id), an outbox record (its place), or the progress


class OutboxRecord(NamedTuple):
    """A record for the log: its partition task, and what it carries."""

    task: RulesTask
    told: Told
    entry: Entry


@dataclass(slots=True)
class InFlightAppend:
    """An append that is under way: what it carries, by partition task."""

    topic: str
    told: list[tuple[RulesTask, Told]]
    done: Future[list[Place]]


class OutboxRelay:
    """Writes to the log. Used by the worker's thread only."""

    def __init__(self, db: Database, log: Log) -> None:
        self._db, self._log = db, log
        self._sent: deque[InFlightAppend] = deque()
        self._last: dict[str, Future[list[Place]]] = {}  # the newest append, by topic

    @property
    def waiting(self) -> bool:
        """Whether an append is still unacknowledged."""
        return bool(self._sent)

    def forget(self) -> None:
        """Forget the partitions that this worker no longer has."""
        self._sent.clear()
        self._last.clear()

    def recover(self, rows: Sequence[RulesPartition]) -> None:
        """Relay, oldest first, what an earlier owner committed and may not have relayed."""
        for row in rows:
            while self._recovered(row.partition):
                pass

    def _recovered(self, partition: int) -> bool:
        """Relay one page of both outboxes; returns whether there was anything to relay."""
        with self._db.read() as conn:
            triggers: list[Out] = [_trigger(doc) for doc in queries.unrelayed(conn, partition, PAGE)]
            records: list[Out] = [*queries.outgoing(conn, partition, PAGE)]
        full = [page for page in (triggers, records) if len(page) == PAGE]
        upto = min((place_of(page[-1]) for page in full), default=None)  # the next page may have more of it
        waiting = [
            one for one in merge(triggers, records, key=place_of) if upto is None or place_of(one) <= upto
        ]
        for topic in (TRIGGERS, EVENTS):
            part = (_entry(partition, one) for one in waiting if _topic(one) == topic)
            for some in chunked(part, memory_of):
                self._log.append(topic, some).result(timeout=TIMEOUT_S)
        with self._db.write() as conn:
            queries.mark_relayed(conn, [one.id for one in waiting if isinstance(one, Trigger)])
            places = [(one.offset, one.n) for one in waiting if isinstance(one, queries.Outgoing)]
            queries.drop_outgoing(conn, partition, places)
        return bool(waiting)

    def flush(self, tasks: Iterable[RulesTask]) -> None:
        """Append what the last commits produced, for all partitions together, and check the earlier appends.

        This waits only if the log is behind. Acknowledged records are marked in a later commit. The log keeps the
        order, and accepts nothing after an append that failed: progress must never be reported past a trigger that
        is missing, or actions would later take that trigger for a repeat. Raises the error of a failed append.
        """
        tasks = list(tasks)
        moved = [task for task in tasks if task.outbox or task.told != task.saved.next_offset]
        for topic, news in ((EVENTS, _passed_on(tasks)), (TRIGGERS, _news(moved))):
            for part in chunked(news, lambda one: memory_of(one.entry)):
                self._append(topic, part)
        while self._sent and self._sent[0].done.done():
            self._arrived(self._sent.popleft())

    def _append(self, topic: str, news: list[OutboxRecord]) -> None:
        done = self._log.append(topic, [one.entry for one in news], after=self._last.get(topic))
        self._last[topic] = done
        self._sent.append(InFlightAppend(topic, [(one.task, one.told) for one in news], done))
        while len(self._sent) > UNDER_WAY:
            self._arrived(self._sent.popleft())

    def _arrived(self, sent: InFlightAppend) -> None:
        sent.done.result(timeout=TIMEOUT_S)
        hit("rules.after_relay_before_mark")
        if sent.topic == EVENTS:
            hit("rules.after_sending_on_before_mark")
        for task, told in sent.told:
            if isinstance(told, str):
                task.relayed.append(told)
            elif isinstance(told, tuple):
                task.passed.append(told)
                task.under_way -= sent.topic == EVENTS
            else:
                task.reported = told


def _news(moved: Iterable[RulesTask]) -> Iterator[OutboxRecord]:
    """Each partition task's triggers, then its progress, once all its records for other accounts are on the log."""
    for task in moved:
        number, offset = task.row.partition, task.saved.next_offset
        for one in task.outbox:
            yield OutboxRecord(task, _name(one), _entry(number, one))
        task.outbox = []
        if task.under_way:
            continue
        progress = Progress(partition=number, offset=offset, clock=task.saved.clock)
        yield OutboxRecord(
            task, offset, Entry(value=_encode(TriggerRecord(progress=progress)), partition=number)
        )
        task.told = offset


def _passed_on(tasks: Iterable[RulesTask]) -> Iterator[OutboxRecord]:
    """Each partition task's records for other accounts."""
    for task in tasks:
        for one in task.sent:
            yield OutboxRecord(task, _name(one), _entry(task.row.partition, one))
        task.under_way += len(task.sent)
        task.sent = []


def _name(one: Out) -> Told:
    return one.id if isinstance(one, Trigger) else (one.offset, one.n)


def _topic(one: Out) -> str:
    return TRIGGERS if isinstance(one, Trigger) else one.topic


def _entry(partition: int, one: Out) -> Entry:
    """The log entry of an outbox record or trigger.

    A trigger that is too large for a record (its event comes from another program) is sent without its event's
    data.
    """
    if isinstance(one, queries.Outgoing):
        if one.target is not None:
            return Entry(value=one.value, partition=one.target, headers=EVENT_HEADERS)
        if one.topic == EVENTS:
            return Entry(value=one.value, key=one.account, headers=EVENT_HEADERS)
        return Entry(value=one.value, key=one.account, partition=partition)
    value = _encode(TriggerRecord(trigger=one))
    if len(value) > MAX_RECORD_BYTES and one.event is not None:
        bare = replace(one, event=replace(one.event, data=None))
        value = _encode(TriggerRecord(trigger=bare))
    return Entry(value=value, key=one.account, partition=partition)
