"""Appends to Kafka: one thread feeds one idempotent producer and replaces it after any failure.

An append is complete only by `acks=all` and every record's own future, since `flush` returns normally even
when batches failed. To keep the order when something fails, kafka-python has one batch of a partition under
way at a time, and the first failure stops the producer at once, from inside its own thread, before it can
send a later batch. Everything handed over and everything waiting fails with it; the next producer begins with
what is appended from then on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from typing import Any

import structlog
from kafka import KafkaProducer, errors

from backbone.log.kafka.cluster import MAX_REQUEST_BYTES, Cluster, translated
from backbone.log.limits import check_followed, checked_size
from backbone.log.partitioner import partition_for
from backbone.log.records import TOPICS, Entry, LogUnavailable, PartitionsChanged, Place, RecordTooLarge

QUEUE_BYTES = 64 << 20  # accepted and not yet acknowledged; beyond it appends are refused
DELIVERY_MS = 7_000  # from the producer's buffer to the acknowledgement
STUCK_S = 8.0  # after which a producer that neither delivers nor fails is given up
CONFIG: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "compression_type": "lz4",
    "batch_size": 256 << 10,
    "linger_ms": 0,  # batches grow by themselves while the one before them is under way
    "delivery_timeout_ms": DELIVERY_MS,
    "request_timeout_ms": 3_000,
    "max_block_ms": 1_500,
    "max_request_size": MAX_REQUEST_BYTES,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}

_log = structlog.get_logger(__name__)


class _Append:
    """One call of `append` and how many of its records are still under way."""

    __slots__ = ("entries", "error", "future", "left", "partitions", "places", "sent_at", "size", "topic")

    def __init__(self, topic: str, entries: Sequence[Entry], partitions: list[int], size: int) -> None:
        self.topic, self.entries, self.partitions, self.size = topic, entries, partitions, size
        self.future: Future[list[Place]] = Future()
        self.left = len(entries)
        self.places: list[Place] = [(p, -1) for p in partitions]
        self.error: Exception | None = None
        self.sent_at = 0.0


class Appender:
    """The writing half of the Kafka log."""

    def __init__(self, cluster: Cluster, queue_bytes: int = QUEUE_BYTES) -> None:
        self._cluster, self._queue_bytes = cluster, queue_bytes
        self._changed = threading.Condition()  # guards everything below
        self._queue: deque[_Append] = deque()
        self._bytes = 0
        self._under_way: dict[int, _Append] = {}
        self._broken: Exception | None = None
        self._closed = False
        self._producer: Any = None  # touched by the thread only
        self._thread = threading.Thread(target=self._run, name="log-appender", daemon=True)
        self._thread.start()

    def append(
        self, topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
    ) -> Future[list[Place]]:
        """See `Log.append`."""
        try:
            size = checked_size(entries)
            append = _Append(topic, entries, [self._partition(e) for e in entries], size)
            self._enqueue(append, after)
        except (LogUnavailable, RecordTooLarge) as error:
            refused: Future[list[Place]] = Future()
            refused.set_exception(error)
            return refused
        return append.future

    def _partition(self, entry: Entry) -> int:
        if entry.partition is not None:
            if not 0 <= entry.partition < self._cluster.partitions:
                raise KeyError(f"there is no partition {entry.partition}")
            return entry.partition
        return 0 if entry.key is None else partition_for(entry.key, self._cluster.partitions)

    def _enqueue(self, append: _Append, after: Future[list[Place]] | None) -> None:
        with self._changed:
            if self._closed:
                raise LogUnavailable("the log is closed")
            check_followed(after)
            if self._bytes and self._bytes + append.size > self._queue_bytes:
                raise LogUnavailable("the log's queue is full: appends arrive faster than Kafka takes them")
            if not append.entries:
                append.future.set_result([])
                return
            self._bytes += append.size
            self._queue.append(append)
            self._changed.notify()

    def close(self) -> None:
        """Deliver what was accepted, as long as that may take, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(DELIVERY_MS / 1000 + STUCK_S)

    # -- the thread

    def _run(self) -> None:
        while True:
            append = self._next()
            if append is not None:
                self._hand_over(append)
            if self._broken is None:
                self._watch()
            if self._broken is not None:
                self._replace()
            with self._changed:
                if self._closed and not self._queue and not self._under_way:
                    break
        self._drop()

    def _next(self) -> _Append | None:
        with self._changed:
            if not self._queue and not self._broken:
                self._changed.wait(0.02 if self._closed else 0.5)
            if self._broken or not self._queue:
                return None
            append = self._queue.popleft()
            if not append.future.set_running_or_notify_cancel():
                self._bytes -= append.size
                return None
            append.sent_at = time.monotonic()
            self._under_way[id(append)] = append
            return append

    def _hand_over(self, append: _Append) -> None:
        try:
            producer = self._connected()
            topic = self._cluster.prefix + append.topic
            for index, (entry, partition) in enumerate(zip(append.entries, append.partitions, strict=True)):
                key = None if entry.key is None else entry.key.encode("utf-8", "surrogatepass")
                with translated("append"):
                    sent = producer.send(topic, entry.value, key, list(entry.headers), partition)
                sent.add_callback(self._written, append, index)
                sent.add_errback(self._failed, append)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach those who wait
            self._break(error)

    def _connected(self) -> Any:
        if self._producer is None:
            self._cluster.check_topics()
            producer = self._cluster.connect(KafkaProducer, **CONFIG)
            with translated("learn about the topics"):
                for topic in TOPICS:
                    self._cluster.check_count(
                        topic, len(producer.partitions_for(self._cluster.prefix + topic))
                    )
            self._producer = producer
        return self._producer

    def _watch(self) -> None:
        """Give up a producer that is still waiting for its id: it neither sends nor lets records expire."""
        with self._changed:
            oldest = next(iter(self._under_way.values()), None)
        if oldest is not None and time.monotonic() - oldest.sent_at > STUCK_S:
            self._break(LogUnavailable("Kafka: no answer within the delivery timeout"))

    # -- in the producer's thread, or in ours if the record was done at once

    def _written(self, append: _Append, index: int, metadata: Any) -> None:
        append.places[index] = (append.partitions[index], metadata.offset)
        with self._changed:
            append.left -= 1
            if append.left:
                return
            if self._under_way.pop(id(append), None) is None:
                return
            self._bytes -= append.size
        append.future.set_result(append.places)

    def _failed(self, append: _Append, error: Exception) -> None:
        append.error = append.error or error
        self._break(error)

    def _break(self, error: Exception) -> None:
        """Stop the producer before it sends anything more; our thread does the rest."""
        with self._changed:
            first, self._broken = self._broken is None, self._broken or error
            self._changed.notify()
        if first and self._producer is not None:
            # No public way stops it without waiting for what it may still send: close() flushes first.
            self._producer._sender.force_close()  # noqa: SLF001

    def _replace(self) -> None:
        """Fail everything under way and everything waiting; the next append gets a new producer.

        Entries appended before their caller hears of the failure are among those waiting, and fail as well.
        """
        self._drop()
        self._cluster.recheck()
        with self._changed:
            error, lost = self._broken, list(self._under_way.values())
            self._under_way.clear()
        for append in lost:
            append.future.set_exception(_answer(append.error or error))
        with self._changed:
            behind = [a for a in self._queue if a.future.set_running_or_notify_cancel()]
            self._queue.clear()
            self._bytes, self._broken = 0, None
            for append in behind:
                append.future.set_exception(_answer(error))
        count = len(lost) + len(behind)
        _log.error("log.append_failed", appends=count, error=error)

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(errors.KafkaTimeoutError):
                producer.close(timeout=2)


def _answer(error: Exception | None) -> Exception:
    """A separate error for each append. One error raised by all who wait would hold all their frames, and
    with these the entries they appended."""
    if isinstance(error, LogUnavailable | RecordTooLarge | PartitionsChanged):
        return copy(error)
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return RecordTooLarge(f"Kafka refused the record as too large: {error}")
    return LogUnavailable(f"Kafka did not acknowledge: {type(error).__name__}: {error}")
