"""Reads Kafka at any place, outside all groups: look-ups of one event, history for a backfill, offsets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from backbone.log.kafka.batches import read_fast
from backbone.log.kafka.cluster import Cluster, cluster_of, translated
from backbone.log.kafka.consumer import COMMON, LOOKUP_MS
from backbone.log.records import TOPICS, LogUnavailable, OffsetOutOfRange, Record
from backbone.settings import Settings

READ_S = 10.0


class HistoryReader:
    """One client, used by one thread at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._consumer: Any = None
        self._at: tuple[TopicPartition, int] | None = None  # where the next poll reads on
        self._closed = False

    @contextmanager
    def _client(self, what: str) -> Iterator[Any]:
        with self._lock:
            if self._closed:
                raise LogUnavailable("the log is closed")
            try:
                if self._consumer is None:
                    self._cluster.check_topics()
                    self._consumer = self._cluster.connect(KafkaConsumer, **COMMON)
                    read_fast(self._consumer, {self._cluster.prefix + topic: topic for topic in TOPICS})
                with translated(what):
                    yield self._consumer
            except LogUnavailable:
                self._drop()
                raise

    def _drop(self) -> None:
        consumer, self._consumer, self._at = self._consumer, None, None
        if consumer is not None:
            with suppress(LogUnavailable), translated("close"):
                consumer.close(autocommit=False, timeout_ms=1_000)

    def offsets(self, topic: str, *, end: bool) -> dict[int, int]:
        """The end or start offset, by partition. Raises `LogUnavailable`."""
        lanes = [TopicPartition(self._cluster.prefix + topic, p) for p in range(self._cluster.partitions)]
        with self._client("look up offsets") as client:
            look_up = client.end_offsets if end else client.beginning_offsets
            found: dict[TopicPartition, int] = look_up(lanes, timeout_ms=LOOKUP_MS)
        return {lane.partition: offset for lane, offset in found.items()}

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        """See `Log.read`."""
        lane = TopicPartition(self._cluster.prefix + topic, partition)
        with self._client("read") as client:
            end: int = client.end_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
            start: int = client.beginning_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
            if not start <= offset <= end:
                raise OffsetOutOfRange(topic, partition, offset, start, end)
            if self._at != (lane, offset):
                client.assign([lane])
                client.seek(lane, offset)
            records = self._poll(client, lane, end, limit)
            self._at = (lane, records[-1].offset + 1) if records else None
        return records

    def pick(self, topic: str, partition: int, offsets: Sequence[int]) -> list[Record]:
        """See `Log.pick`."""
        lane = TopicPartition(self._cluster.prefix + topic, partition)
        found: list[Record] = []
        with self._client("read") as client:
            end: int = client.end_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
            start: int = client.beginning_offsets([lane], timeout_ms=LOOKUP_MS)[lane]
            client.assign([lane])
            self._at = None
            for offset in offsets:
                if start <= offset < end:
                    client.seek(lane, offset)
                    found += [
                        record for record in self._poll(client, lane, end, 1) if record.offset == offset
                    ]
        return found

    def _poll(self, client: Any, lane: TopicPartition, end: int, limit: int) -> list[Record]:
        """Until records come, or the end is reached with none (what is left are no records)."""
        deadline = time.monotonic() + READ_S
        while client.position(lane, timeout_ms=0) < end:
            records: list[Record] = client.poll(100, limit).get(lane, [])
            if records:
                return records
            if time.monotonic() > deadline:
                raise LogUnavailable(f"Kafka: no answer to a read of {lane} within {READ_S:g} s")
        return []

    def close(self) -> None:
        """Let go of the client."""
        with self._lock:
            self._closed = True
            self._drop()


class KafkaReader:
    """See `backbone.log.reader.LogReader`: partitions are assigned, and no group is joined."""

    def __init__(self, cluster: Cluster) -> None:
        self.partitions = cluster.partitions
        self._reader = HistoryReader(cluster)

    def start_offsets(self, topic: str) -> dict[int, int]:
        """See `Log.start_offsets`."""
        return self._reader.offsets(topic, end=False)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return self._reader.offsets(topic, end=True)

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """See `Log.read`."""
        return self._reader.read(topic, partition, offset, limit)

    def close(self) -> None:
        """Let go of the client."""
        self._reader.close()


def open_kafka_reader(settings: Settings) -> KafkaReader:
    """A reader of the log on the cluster that the settings name."""
    return KafkaReader(cluster_of(settings))
