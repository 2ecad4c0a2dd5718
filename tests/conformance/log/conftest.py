"""Every test here runs on both logs: the embedded log and a real Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backbone.log import Consumer, Log, Record
from backbone.log.embedded.log import EmbeddedLog
from backbone.log.kafka.cluster import Cluster
from backbone.log.kafka.log import KafkaLog

PARTITIONS = 4
WAIT_S = 30.0  # how long a test waits at most, not the time it should take


@dataclass
class Twin:
    """Opens logs on the same storage, one after the other or (Kafka) at once, and closes those left open."""

    kind: str
    make: Callable[..., Log]
    opened: list[Log] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)

    def open(self, partitions: int = PARTITIONS, **options: Any) -> Log:
        self.opened.append(self.make(partitions, **options))
        return self.opened[-1]

    def reader(self, log: Log, *topics: str, group: str = "g", start: int = 0) -> Reader:
        consumer = log.consumer(group, topics)
        self.consumers.append(consumer)
        return Reader(consumer, topics, start)

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        for log in self.opened:
            log.close()


class Reader:
    """A consumer with a memory: its place, the records it read, the partitions it was told of."""

    def __init__(self, consumer: Consumer, topics: tuple[str, ...], start: int = 0) -> None:
        self.consumer, self.topics, self.start = consumer, topics, start
        self.next: dict[tuple[str, int], int] = {}
        self.records: list[Record] = []
        self.assigned: list[list[int]] = []
        self.revoked: list[list[int]] = []
        consumer.subscribe(self._assigned, self._revoked)

    def _assigned(self, partitions: list[int]) -> Mapping[tuple[str, int], int]:
        self.assigned.append(partitions)
        return {(t, p): self.next.get((t, p), self.start) for t in self.topics for p in partitions}

    def _revoked(self, partitions: list[int]) -> None:
        self.revoked.append(partitions)

    def poll(self, timeout: float = 0.2, max_records: int = 1000) -> list[Record]:
        found = self.consumer.poll(timeout, max_records)
        for record in found:
            self.next[record.topic, record.partition] = record.offset + 1
        self.records += found
        return found

    def until(self, done: Callable[[], bool], what: str, max_records: int = 1000) -> None:
        """Poll until `done` returns true."""
        deadline = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline, f"{what} did not happen; {len(self.records)} records read"
            self.poll(max_records=max_records)

    def read(self, count: int, max_records: int = 1000) -> list[Record]:
        """Poll until there are `count` records; returns all records so far."""
        self.until(lambda: len(self.records) >= count, f"reading {count} records", max_records)
        return self.records

    def join(self) -> Reader:
        self.until(lambda: bool(self.assigned), "joining the group")
        return self


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def twin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twin]:
    """Both logs in turn."""
    if request.param == "embedded":
        twin = Twin("embedded", lambda partitions, **options: EmbeddedLog(tmp_path, partitions, **options))
    else:
        twin = kafka_twin(request.getfixturevalue("kafka_server").bootstrap_servers)
    yield twin
    twin.close()


def kafka_twin(servers: str) -> Twin:
    """Kafka with topics and groups of its own."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    return Twin(
        "kafka",
        lambda partitions, **options: KafkaLog(Cluster([servers], partitions, prefix=prefix), **options),
    )


@pytest.fixture
def log(twin: Twin) -> Log:
    """An open, empty log."""
    return twin.open()
