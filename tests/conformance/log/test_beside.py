"""A reader beside the log: what another process sees of it, without a lock and without a group."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbone.log import EVENTS, Entry, OffsetOutOfRange
from backbone.log.kafka.log import KafkaLog
from backbone.log.kafka.reader import KafkaReader
from backbone.log.reader import EmbeddedReader, LogReader
from tests.conformance.log.conftest import PARTITIONS, Twin


def beside(twin: Twin, folder: Path) -> LogReader:
    log = twin.opened[0]
    return KafkaReader(log._cluster) if isinstance(log, KafkaLog) else EmbeddedReader(folder / "log.db")


def append(twin: Twin, values: range) -> None:
    entries = [Entry(str(value).encode(), partition=value % 2) for value in values]
    twin.opened[0].append(EVENTS, entries).result(30)


def test_it_reads_what_the_log_reads_and_what_comes_later(twin: Twin, tmp_path: Path) -> None:
    log = twin.open()
    append(twin, range(20))
    reader = beside(twin, tmp_path)
    assert reader.partitions == PARTITIONS
    assert reader.start_offsets(EVENTS) == log.start_offsets(EVENTS)
    assert reader.end_offsets(EVENTS) == log.end_offsets(EVENTS) == {0: 10, 1: 10, 2: 0, 3: 0}
    assert reader.read(EVENTS, 1, 0, 100) == log.read(EVENTS, 1, 0, 100)
    assert reader.read(EVENTS, 0, 4, 3) == log.read(EVENTS, 0, 4, 3)
    assert reader.read(EVENTS, 0, 10, 3) == []
    assert reader.read(EVENTS, 2, 0, 3) == []
    append(twin, range(20, 30))
    assert reader.end_offsets(EVENTS)[0] == 15
    assert [record.value for record in reader.read(EVENTS, 0, 10, 100)] == [b"20", b"22", b"24", b"26", b"28"]
    with pytest.raises(OffsetOutOfRange):
        reader.read(EVENTS, 0, 16, 1)
    reader.close()
    append(twin, range(30, 40))
    assert log.end_offsets(EVENTS)[0] == 20
