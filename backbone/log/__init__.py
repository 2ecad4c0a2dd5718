"""The log: partitioned topics of records on Apache Kafka or embedded in a file, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from backbone.log.dead_letters import dead_letter
from backbone.log.partitioner import murmur2, partition_for
from backbone.log.records import (
    DEAD_LETTERS,
    EVENTS,
    MAX_RECORD_BYTES,
    TOPICS,
    TRIGGERS,
    Consumer,
    Entry,
    Log,
    LogInUse,
    LogUnavailable,
    OffsetOutOfRange,
    PartitionsChanged,
    Record,
    RecordTooLarge,
)

if TYPE_CHECKING:
    from backbone.settings import Settings

__all__ = [
    "DEAD_LETTERS",
    "EVENTS",
    "MAX_RECORD_BYTES",
    "TOPICS",
    "TRIGGERS",
    "Consumer",
    "Entry",
    "Log",
    "LogInUse",
    "LogUnavailable",
    "OffsetOutOfRange",
    "PartitionsChanged",
    "Record",
    "RecordTooLarge",
    "dead_letter",
    "murmur2",
    "open_log",
    "partition_for",
]


def open_log(settings: Settings, now: Callable[[], int] | None = None) -> Log:
    """The log that the settings name: Kafka where bootstrap servers are given, else the embedded one.

    `now` tells the embedded one when a record is received, in microseconds; Kafka's broker has a clock of its own.

    The embedded log raises `LogInUse`, `PartitionsChanged` or `LogUnavailable` here. Kafka is not waited for:
    its errors come out of the calls.
    """
    if settings.kafka_bootstrap_servers:
        from backbone.log.kafka.log import open_kafka

        return open_kafka(settings)
    from backbone.clock import WallClock
    from backbone.log.embedded.log import EmbeddedLog

    now = now or WallClock().now
    return EmbeddedLog(settings.data_dir, settings.partitions, retention=settings.log_retention, now=now)
