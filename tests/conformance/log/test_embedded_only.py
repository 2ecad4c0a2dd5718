"""What only the embedded log has: its file, its lock, its retention, its memory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone.clock import ManualClock
from backbone.log import (
    EVENTS,
    Entry,
    LogInUse,
    LogUnavailable,
    OffsetOutOfRange,
    PartitionsChanged,
    Record,
)
from backbone.log.embedded.chunk_reader import READ_BYTES, StoredPartition
from backbone.log.embedded.log import EmbeddedLog
from tests.conformance.log.conftest import Reader

WAIT_S = 30.0
DAY = 86_400_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000_000_000)


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path, 2, retention=DAY, now=clock.now)
    yield log
    log.close()


def put(log: EmbeddedLog, *values: bytes, partition: int = 0) -> None:
    log.append(EVENTS, [Entry(value=v, partition=partition) for v in values]).result(WAIT_S)


def swept(log: EmbeddedLog) -> None:
    """Let retention run to its end, as the writer's thread does once a minute."""
    while log._sweep():
        pass


def test_timestamps_come_from_the_clock_and_never_fall(log: EmbeddedLog, clock: ManualClock) -> None:
    start = clock.now()
    for step in (0, 5, -3_000_000, 0, 7_000_000):
        clock.advance(step)
        put(log, b"x")
    assert [r.timestamp - start for r in log.read(EVENTS, 0, 0)] == [0, 5, 5, 5, 4_000_005]


def test_they_do_not_fall_over_a_restart_either(tmp_path: Path) -> None:
    first = EmbeddedLog(tmp_path, 1, now=lambda: 2_000_000)
    put(first, b"x")
    first.close()
    second = EmbeddedLog(tmp_path, 1, now=lambda: 1_000_000)
    put(second, b"x")
    assert [r.timestamp for r in second.read(EVENTS, 0, 0)] == [2_000_000, 2_000_000]
    second.close()


def test_retention_removes_whole_old_chunks_and_keeps_the_offsets(
    log: EmbeddedLog, clock: ManualClock
) -> None:
    put(log, b"1", b"2")
    clock.advance(DAY // 2)
    put(log, b"3")
    swept(log)
    assert log.start_offsets(EVENTS) == {0: 0, 1: 0}
    clock.advance(DAY // 2 + 1)
    swept(log)
    assert log.start_offsets(EVENTS) == {0: 2, 1: 0}
    assert [r.value for r in log.read(EVENTS, 0, 2)] == [b"3"]
    with pytest.raises(OffsetOutOfRange, match=r"offset 1 .* offsets 2 to 3"):
        log.read(EVENTS, 0, 1)


def test_a_read_that_retention_overtakes_is_no_end_of_the_log(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EmbeddedLog(tmp_path / "own", 1, retention=DAY, now=clock.now, tail_bytes=0)
    put(log, b"1", b"2")
    clock.advance(2 * DAY)
    put(log, b"3")
    stored = log._store.read

    def late(lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        swept(log)
        return stored(lane, offset, limit, end)

    monkeypatch.setattr(log._store, "read", late)
    with pytest.raises(OffsetOutOfRange, match=r"offset 0 .* offsets 2 to 3"):
        log.read(EVENTS, 0, 0)
    assert [r.value for r in log.read(EVENTS, 0, 2)] == [b"3"]
    log.close()


def test_a_consumer_below_the_start_stops_loudly(log: EmbeddedLog, clock: ManualClock) -> None:
    put(log, b"1")
    reader = Reader(log.consumer("g", [EVENTS]), (EVENTS,))
    clock.advance(2 * DAY)
    swept(log)
    for _ in range(2):
        with pytest.raises(OffsetOutOfRange, match="retention"):
            reader.poll()
    reader.consumer.close()


def test_an_emptied_log_goes_on_where_it_was(tmp_path: Path, clock: ManualClock) -> None:
    for turn in range(3):
        log = EmbeddedLog(tmp_path, 1, retention=DAY, now=clock.now)
        assert log.append(EVENTS, [Entry(value=b"x")]).result(WAIT_S) == [(0, turn)]
        clock.advance(2 * DAY)
        swept(log)
        assert log.start_offsets(EVENTS) == log.end_offsets(EVENTS) == {0: turn + 1}
        log.close()


def test_removed_records_leave_no_trace_in_the_file(tmp_path: Path, clock: ManualClock) -> None:
    log = EmbeddedLog(tmp_path, 1, retention=DAY, now=clock.now)
    put(log, b"ann@acme.test")
    clock.advance(2 * DAY)
    swept(log)
    log.close()
    assert b"ann@acme.test" not in (tmp_path / "log.db").read_bytes()


def test_what_fell_out_of_memory_is_read_from_disk(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, 1, tail_bytes=20_000)
    values = [b"%d " % n * 50 for n in range(500)]
    for begin in range(0, 500, 10):
        put(log, *values[begin : begin + 10])
    assert len(log.lane(EVENTS, 0).tail) < 250
    reader = Reader(log.consumer("g", [EVENTS]), (EVENTS,))
    assert [r.value for r in reader.read(500, max_records=7)] == values
    reader.consumer.close()
    log.close()


@pytest.mark.parametrize("again", [True, False])
def test_a_poll_brings_about_as_many_bytes_as_one_of_kafka(tmp_path: Path, again: bool) -> None:
    """However many records it may bring: a backlog of large events must not come into memory all at once."""
    log = EmbeddedLog(tmp_path, 3)
    value = bytes(1_000_000)
    for partition in range(3):
        for _ in range(4):
            log.append(EVENTS, [Entry(value=value, partition=partition)] * 6).result(WAIT_S)
    if again:  # not in memory any more
        log.close()
        log = EmbeddedLog(tmp_path, 3)
    assert sum(len(record.value) for record in log.read(EVENTS, 0, 0, 50_000)) <= READ_BYTES + (6 << 20)
    reader = Reader(log.consumer("g", [EVENTS]), (EVENTS,))
    reader.join()
    while len(reader.records) < 72:
        found = reader.poll(max_records=50_000)
        assert 0 < sum(len(record.value) for record in found) <= 2 * READ_BYTES
    assert [record.offset for record in reader.records if record.partition == 2] == list(range(24))
    reader.consumer.close()
    log.close()


def test_large_appends_are_cut_into_chunks_that_read_as_one(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, 1, tail_bytes=0)
    put(log, *(b"%d" % n for n in range(10_000)))
    put(log, *(b"x" * 200_000 for _ in range(7)))
    found = log.read(EVENTS, 0, 4000, limit=20_000)
    assert [r.offset for r in found] == list(range(4000, 10_007))
    assert log._store._writer.execute("SELECT count(*) FROM chunks").fetchone()[0] >= 6
    log.close()


def test_another_process_is_refused_and_told_which_one(tmp_path: Path, log: EmbeddedLog) -> None:
    with pytest.raises(LogInUse, match=rf"open in another process \(pid {os.getpid()}\)"):
        EmbeddedLog(tmp_path, 2)
    put(log, b"the first one is unharmed")


def test_a_changed_partition_count_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path, 2).close()
    with pytest.raises(PartitionsChanged, match=r"created with 2 partitions, TOUCHLINE_PARTITIONS says 3"):
        EmbeddedLog(tmp_path, 3)
    EmbeddedLog(tmp_path, 2).close()


def test_a_full_disk_refuses_whole_appends_and_recovers(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, 1)
    put(log, b"before")
    pages = log._store._writer.execute("PRAGMA page_count").fetchone()[0]
    log._store._writer.execute(f"PRAGMA max_page_count={pages}")
    futures = [log.append(EVENTS, [Entry(value=os.urandom(100_000))] * 3) for _ in range(5)]
    assert all("full" in str(f.exception(WAIT_S)) for f in futures)
    assert {type(f.exception()) for f in futures} == {LogUnavailable}
    assert not log.ready()
    log._store._writer.execute("PRAGMA max_page_count=1000000")
    put(log, b"after")
    assert log.ready()
    assert [r.value for r in log.read(EVENTS, 0, 0)] == [b"before", b"after"]
    log.close()


def test_a_disk_with_room_again_is_found_without_an_append(tmp_path: Path) -> None:
    """Who waits until the log is ready appends nothing meanwhile."""
    log = EmbeddedLog(tmp_path, 1)
    pages = log._store._writer.execute("PRAGMA page_count").fetchone()[0]
    log._store._writer.execute(f"PRAGMA max_page_count={pages}")
    assert log.append(EVENTS, [Entry(value=os.urandom(100_000))]).exception(WAIT_S)
    log._probe()
    assert not log.ready()
    log._store._writer.execute("PRAGMA max_page_count=1000000")
    deadline = time.monotonic() + WAIT_S
    while not log.ready():
        assert time.monotonic() < deadline
    assert log.end_offsets(EVENTS) == {0: 0}
    log.close()
    EmbeddedLog(tmp_path, 1).close()


def test_a_file_that_somebody_locks_is_unavailable(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, 1)
    log._store._writer.execute("PRAGMA busy_timeout=1")
    intruder = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="locked"):
        put(log, b"x")
    intruder.execute("ROLLBACK")
    intruder.close()
    put(log, b"y")
    assert [r.value for r in log.read(EVENTS, 0, 0)] == [b"y"]
    log.close()


def test_nothing_is_written_behind_what_failed(tmp_path: Path) -> None:
    """All that waits fails with the commit that fails, though the next one could succeed."""
    log = EmbeddedLog(tmp_path, 1)
    log._store._writer.execute("PRAGMA busy_timeout=200")
    intruder = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    futures = [log.append(EVENTS, [Entry(value=b"%d" % n)]) for n in range(50)]
    failed = [f.exception(WAIT_S) is not None for f in futures]
    intruder.execute("ROLLBACK")
    intruder.close()
    assert all(failed)
    assert log.end_offsets(EVENTS) == {0: 0}
    log.close()


def test_an_unreadable_folder_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match="cannot open"):
        EmbeddedLog(tmp_path / "file", 1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(LogUnavailable, match="not a database"):
        EmbeddedLog(tmp_path / "folder", 1)
    with pytest.raises(LogUnavailable, match="not a database"):  # and the lock was given back
        EmbeddedLog(tmp_path / "folder", 1)


def test_files_are_the_users_own(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "data", 1)
    put(log, b"x")
    assert {f.stat().st_mode & 0o077 for f in (tmp_path / "data").iterdir()} == {0}
    log.close()


_APPENDER = """
import sys
from pathlib import Path
from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]), 1)
n = log.end_offsets(EVENTS)[0]
waiting = []
while True:
    waiting.append(log.append(EVENTS, [Entry(value=b"%d" % i) for i in range(n, n + 3)]))
    n += 3
    if len(waiting) > 4:
        waiting.pop(0).result()
        print(n - 3 * len(waiting), flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for turn in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _APPENDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(20 + 13 * turn)][-1]
        child.send_signal(signal.SIGKILL)
        child.wait()
        rest = child.stdout.read().split("\n")
        child.stdout.close()
        acknowledged = max([acknowledged, *(int(line) for line in rest[:-1])])
        log = EmbeddedLog(tmp_path, 1)
        found = log.read(EVENTS, 0, 0, limit=1_000_000)
        assert len(found) >= acknowledged
        assert [int(r.value) for r in found] == list(range(len(found)))
        log.close()
