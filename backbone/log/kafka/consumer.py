"""Consumers on Kafka: members of a group whose offsets are kept by us, not by Kafka.

kafka-python calls its rebalance listener from its event loop, where nothing may block. So the listener only
notes what happened and makes every new partition wait (paused, at a place that is never read from); `poll`
then asks the worker where to read on, in the worker's own thread, seeks and resumes. The range assignor gives
the same partition numbers of all topics to the same member, as long as all topics have the same count and all
members read the same topics.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition, errors
from kafka.coordinator.assignors.range import RangePartitionAssignor

from backbone.log.kafka.batches import read_fast, unpark
from backbone.log.kafka.cluster import MAX_REQUEST_BYTES, Cluster, translated
from backbone.log.records import Assigned, Lane, LogUnavailable, OffsetOutOfRange, Record, Revoked

SLICE_S = 0.1  # how long kafka-python may block before `wake` is checked
COMMIT_EVERY_S = 1.0
STAY_EVERY_S = 10.0  # of the 300 s after which a member that does not poll is dropped
STAY_MS = 200  # time for the group to decide something, when it does
LOOKUP_MS = 5_000
CLOSE_MS = 2_000
COMMON: dict[str, Any] = {
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "isolation_level": "read_committed",  # other programs may produce within transactions
    "fetch_max_wait_ms": 50,  # a resumed partition waits for the fetch under way, at most so long
    "fetch_max_bytes": 16 << 20,
    "max_partition_fetch_bytes": max(1 << 20, MAX_REQUEST_BYTES),
    "request_timeout_ms": 10_000,
    "metrics_enabled": False,
}

_log = structlog.get_logger(__name__)


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what the group decides; runs in kafka-python's event loop."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.events: deque[tuple[str, list[TopicPartition]]] = deque()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.events.append(("revoked", list(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.events.append(("revoked", list(lost)))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        lanes = list(assigned)
        self._consumer.pause(*lanes)
        for lane in lanes:
            self._consumer.seek(lane, 0)  # or kafka-python would look for an offset committed to Kafka
        self.events.append(("assigned", lanes))


class GroupConsumer:
    """See `backbone.log.Consumer`."""

    def __init__(self, cluster: Cluster, group: str, topics: Sequence[str]) -> None:
        self._cluster, self._group = cluster, cluster.prefix + group
        self._topics = {cluster.prefix + topic: topic for topic in topics}
        self._callbacks: tuple[Assigned, Revoked] | None = None
        self._consumer: Any = None
        self._notes: _Notes | None = None
        self._owned: list[int] = []
        self._pending: list[TopicPartition] | None = None  # assigned, and not yet told where to read on
        self._to_commit: dict[Lane, int] = {}
        self._committed_at = 0.0
        self._polled_at = 0.0
        self._woken = threading.Event()
        self._closed = self._away = False

    def subscribe(self, on_assigned: Assigned, on_revoked: Revoked) -> None:
        """See `Consumer.subscribe`."""
        self._callbacks = (on_assigned, on_revoked)

    def poll(self, timeout: float, max_records: int) -> list[Record]:
        """See `Consumer.poll`."""
        if self._closed or self._callbacks is None:
            raise LogUnavailable("the consumer is closed, or was never subscribed")
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            records = self._poll_once(min(SLICE_S, left), max_records)
            if records or self._woken.is_set() or time.monotonic() >= deadline:
                self._woken.clear()
                return records

    def _poll_once(self, timeout: float, max_records: int) -> list[Record]:
        try:
            self._connect()
            found = self._raw_poll(timeout, max_records)
        except LogUnavailable as error:
            self._gone(error)
            self._woken.wait(timeout)
            return []
        if self._away:
            self._away = False
            _log.info("log.back", group=self._group)
        self._rebalance()
        self._send_commit()
        return list(chain.from_iterable(found.values()))

    def _raw_poll(self, timeout: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        try:
            with translated("poll"):
                self._polled_at = time.monotonic()
                unpark(self._consumer)
                found: dict[TopicPartition, list[Record]] = self._consumer.poll(
                    int(timeout * 1000), max_records
                )
                return found
        except LogUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, errors.OffsetOutOfRangeError):
                raise self._out_of_range(cause.args[0]) from error
            if isinstance(cause, errors.LogTruncationError):
                raise self._out_of_range(dict.fromkeys(cause.divergent_offsets, -1)) from error
            if not isinstance(cause, errors.RetriableError):
                self._drop()
            raise

    def _out_of_range(self, offsets: Mapping[TopicPartition, int]) -> OffsetOutOfRange:
        lane, offset = next(iter(offsets.items()))
        start = end = None
        with suppress(errors.KafkaError):
            start = self._consumer.beginning_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
            end = self._consumer.end_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
        return OffsetOutOfRange(self._topics[lane.topic], lane.partition, offset, start, end)

    # -- coming and going

    def _connect(self) -> None:
        if self._consumer is not None:
            return
        self._cluster.check_topics()
        self._consumer = self._cluster.connect(
            KafkaConsumer, group_id=self._group, **COMMON, **self._membership()
        )
        read_fast(self._consumer, self._topics)
        self._notes = _Notes(self._consumer)
        self._consumer.subscribe(list(self._topics), listener=self._notes)
        try:
            # A member that leads the group before it knows the topics hands out nothing, and all join twice.
            with translated("learn about the topics"):
                lanes = [TopicPartition(n, p) for n in self._topics for p in range(self._cluster.partitions)]
                self._consumer.end_offsets(lanes, timeout_ms=LOOKUP_MS)
        except LogUnavailable:
            self._drop()
            raise

    def _membership(self) -> dict[str, Any]:
        session_ms = int(self._cluster.session_s * 1000)
        return {
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": min(1_000, session_ms // 4),
        }

    def _gone(self, error: LogUnavailable) -> None:
        """Log once that the cluster is away; `poll` goes on trying."""
        if not self._away:
            self._away = True
            _log.warning("log.away", group=self._group, error=error)

    def _drop(self) -> None:
        """Leave the group; the next `poll` makes a new client."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(LogUnavailable), translated("leave the group"):
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
        self._pending = None
        self._revoke()

    def _revoke(self) -> None:
        owned, self._owned = self._owned, []
        self._to_commit.clear()
        if owned and self._callbacks is not None:
            self._callbacks[1](owned)

    def _rebalance(self) -> None:
        """Tell the worker what the group decided, in order."""
        if self._notes is None or self._callbacks is None:
            return
        while self._notes.events:
            what, lanes = self._notes.events.popleft()
            self._pending = lanes if what == "assigned" else None
            self._revoke()
        if self._pending is not None:
            self._take_over(self._pending, self._callbacks[0])
            self._pending = None

    def _take_over(self, lanes: list[TopicPartition], on_assigned: Assigned) -> None:
        partitions = self._same_in_every_topic(lanes)
        places = on_assigned(partitions)
        for lane in lanes:
            self._consumer.seek(lane, places[self._topics[lane.topic], lane.partition])
        self._consumer.resume(*lanes)
        self._owned = partitions

    def _same_in_every_topic(self, lanes: list[TopicPartition]) -> list[int]:
        for name in self._topics:
            self._cluster.check_count(name, len(self._consumer.partitions_for_topic(name) or ()))
        by_topic = [sorted(lane.partition for lane in lanes if lane.topic == name) for name in self._topics]
        if any(partitions != by_topic[0] for partitions in by_topic):
            raise LogUnavailable(
                f"the group {self._group} was given unlike partitions of its topics: {lanes}"
            )
        return by_topic[0]

    # -- what the worker steers

    def stay(self) -> None:
        """See `Consumer.stay`: a poll while every partition is paused. Partitions that are assigned
        anew stay paused."""
        consumer, notes = self._consumer, self._notes
        if consumer is None or notes is None or time.monotonic() - self._polled_at < STAY_EVERY_S:
            return
        reading = consumer.assignment() - consumer.paused()
        with suppress(LogUnavailable), translated("stay in the group"):
            consumer.pause(*reading)
            consumer.poll(STAY_MS)
        self._polled_at = time.monotonic()
        if not notes.events:
            consumer.resume(*reading)

    def end_offsets(self) -> dict[Lane, int]:
        """See `Consumer.end_offsets`."""
        lanes = self._lanes()
        if not lanes:
            return {}
        with translated("look up the end offsets"):
            ends: dict[TopicPartition, int] = self._consumer.end_offsets(lanes, timeout_ms=LOOKUP_MS)
        return {(self._topics[lane.topic], lane.partition): end for lane, end in ends.items()}

    def positions(self) -> dict[Lane, int]:
        """See `Consumer.positions`."""
        with translated("tell its positions"):
            return {
                (self._topics[lane.topic], lane.partition): self._consumer.position(lane, timeout_ms=0)
                for lane in self._lanes()
            }

    def _lanes(self) -> list[TopicPartition]:
        return [TopicPartition(name, p) for name in self._topics for p in self._owned]

    def _lane(self, topic: str, partition: int) -> TopicPartition:
        if partition not in self._owned:
            raise KeyError(f"{topic} partition {partition} is not assigned to this consumer")
        return TopicPartition(self._cluster.prefix + topic, partition)

    def pause(self, topic: str, partition: int) -> None:
        """See `Consumer.pause`."""
        self._consumer.pause(self._lane(topic, partition))

    def resume(self, topic: str, partition: int) -> None:
        """See `Consumer.resume`."""
        self._consumer.resume(self._lane(topic, partition))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `Consumer.seek`."""
        self._consumer.seek(self._lane(topic, partition), offset)

    def commit(self, offsets: Mapping[Lane, int]) -> None:
        """See `Consumer.commit`; sent at most once a second."""
        self._to_commit.update(offsets)

    def _send_commit(self) -> None:
        if not self._to_commit or time.monotonic() - self._committed_at < COMMIT_EVERY_S:
            return
        self._committed_at = time.monotonic()
        offsets = {
            TopicPartition(self._cluster.prefix + topic, partition): OffsetAndMetadata(offset, "", -1)
            for (topic, partition), offset in self._to_commit.items()
        }
        self._to_commit.clear()
        with suppress(LogUnavailable), translated("commit"):
            self._consumer.commit_async(offsets)

    def rejoin(self) -> None:
        """See `Consumer.rejoin`."""
        self._drop()

    def wake(self) -> None:
        """See `Consumer.wake`."""
        self._woken.set()

    def close(self) -> None:
        """See `Consumer.close`."""
        self._closed = True
        self._callbacks = None
        self._drop()
