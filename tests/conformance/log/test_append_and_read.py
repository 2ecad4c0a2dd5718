"""What is appended is there: in order, whole, durable, at a known place."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from backbone.log import (
    DEAD_LETTERS,
    EVENTS,
    MAX_RECORD_BYTES,
    TRIGGERS,
    Entry,
    Log,
    LogUnavailable,
    OffsetOutOfRange,
    PartitionsChanged,
    RecordTooLarge,
    partition_for,
)
from tests.conformance.log.conftest import PARTITIONS, Twin

WAIT_S = 30.0


def numbered(count: int, key: str | None = "acme", partition: int | None = None) -> list[Entry]:
    return [Entry(value=b"%d" % n, key=key, partition=partition) for n in range(count)]


def append(log: Log, topic: str, entries: Sequence[Entry]) -> list[tuple[int, int]]:
    return log.append(topic, entries).result(WAIT_S)


def test_an_append_answers_each_entrys_place(log: Log) -> None:
    entries = [Entry(value=b"x", key=f"account-{n}") for n in range(50)]
    places = append(log, EVENTS, entries)
    assert [p for p, _ in places] == [partition_for(e.key or "", PARTITIONS) for e in entries]
    for partition in range(PARTITIONS):
        offsets = [o for p, o in places if p == partition]
        assert offsets == list(range(len(offsets)))


def test_a_record_comes_back_as_it_was_sent(log: Log) -> None:
    headers = [
        ("content-type", b"application/cloudevents+json"),
        ("empty", b""),
        ("content-type", b"\xff\x00"),
    ]
    sent = Entry(value='{"ü":1}'.encode(), key="Ünïcode 漢字", headers=headers)
    ((partition, offset),) = append(log, EVENTS, [sent])
    (record,) = log.read(EVENTS, partition, offset)
    assert (record.topic, record.partition, record.offset) == (EVENTS, partition, offset)
    assert (record.key, record.value, [tuple(h) for h in record.headers]) == (sent.key, sent.value, headers)
    assert partition == partition_for("Ünïcode 漢字", PARTITIONS)


def test_no_key_no_headers_and_an_empty_value(log: Log) -> None:
    append(log, TRIGGERS, [Entry(value=b"", partition=2)])
    (record,) = log.read(TRIGGERS, 2, 0)
    assert (record.key, record.value, list(record.headers)) == (None, b"", [])


def test_an_explicit_partition_wins_over_the_key(log: Log) -> None:
    home = partition_for("acme", PARTITIONS)
    places = append(log, EVENTS, [Entry(value=b"x", key="acme", partition=p) for p in range(PARTITIONS)])
    assert places == [(p, 0) for p in range(PARTITIONS)]
    assert log.read(EVENTS, (home + 1) % PARTITIONS, 0)[0].key == "acme"


def test_the_order_of_one_key_is_kept_over_many_appends(log: Log) -> None:
    futures = [log.append(EVENTS, [Entry(value=b"%d" % n, key="acme")]) for n in range(500)]
    assert [f.result(WAIT_S)[0][1] for f in futures] == list(range(500))
    found = read_all(log, EVENTS, partition_for("acme", PARTITIONS))
    assert found == [b"%d" % n for n in range(500)]


def test_concurrent_appenders_lose_and_mix_nothing(log: Log) -> None:
    futures: dict[str, list[Future[list[tuple[int, int]]]]] = {f"account-{n}": [] for n in range(8)}

    def send(key: str) -> None:
        for first in range(0, 100, 5):
            entries = [Entry(value=b"%s %d" % (key.encode(), n), key=key) for n in range(first, first + 5)]
            futures[key].append(log.append(EVENTS, entries))

    threads = [threading.Thread(target=send, args=(key,)) for key in futures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [place for sent in futures.values() for future in sent for place in future.result(WAIT_S)]
    assert len(set(places)) == len(places) == 800
    found = [value for p in range(PARTITIONS) for value in read_all(log, EVENTS, p)]
    for key in futures:
        mine = [int(v.split()[1]) for v in found if v.split()[0] == key.encode()]
        assert mine == list(range(100))


def read_all(log: Log, topic: str, partition: int) -> list[bytes]:
    found: list[bytes] = []
    while records := log.read(topic, partition, len(found)):
        found += [r.value for r in records]
    return found


def test_topics_are_apart(log: Log) -> None:
    for topic in (EVENTS, TRIGGERS, DEAD_LETTERS):
        append(log, topic, [Entry(value=topic.encode(), partition=1)])
    for topic in (EVENTS, TRIGGERS, DEAD_LETTERS):
        assert [r.value for r in log.read(topic, 1, 0)] == [topic.encode()]


def test_what_was_acknowledged_is_there_after_a_reopening(twin: Twin) -> None:
    log = twin.open()
    append(log, EVENTS, numbered(100))
    before = log.end_offsets(EVENTS)
    log.close()
    again = twin.open()
    partition = partition_for("acme", PARTITIONS)
    assert again.end_offsets(EVENTS) == before
    assert [r.value for r in again.read(EVENTS, partition, 0)] == [b"%d" % n for n in range(100)]
    assert append(again, EVENTS, numbered(1)) == [(partition, 100)]


def test_closing_writes_what_was_accepted(twin: Twin) -> None:
    log = twin.open()
    futures = [log.append(EVENTS, numbered(10, partition=0)) for _ in range(20)]
    log.close()
    assert [f.result(0)[0] for f in futures] == [(0, n * 10) for n in range(20)]
    with pytest.raises(LogUnavailable):
        log.append(EVENTS, numbered(1)).result(WAIT_S)


def test_offsets_of_an_empty_and_a_filled_log(log: Log) -> None:
    nothing = dict.fromkeys(range(PARTITIONS), 0)
    assert log.start_offsets(EVENTS) == log.end_offsets(EVENTS) == nothing
    append(log, EVENTS, numbered(7, partition=3))
    assert log.end_offsets(EVENTS) == nothing | {3: 7}
    assert log.start_offsets(EVENTS) == nothing


def test_reading_at_any_place(log: Log) -> None:
    append(log, EVENTS, numbered(20, partition=1))
    assert [r.offset for r in log.read(EVENTS, 1, 5, limit=3)] == [5, 6, 7]
    assert [r.offset for r in log.read(EVENTS, 1, 8, limit=1)] == [8]  # right behind, and back again
    assert [r.offset for r in log.read(EVENTS, 1, 0, limit=1)] == [0]
    assert log.read(EVENTS, 1, 20) == []
    assert log.read(EVENTS, 2, 0) == []


def test_a_place_outside_the_log_is_an_error(log: Log) -> None:
    append(log, EVENTS, numbered(3, partition=1))
    with pytest.raises(OffsetOutOfRange, match=r"offset 4 .* offsets 0 to 3"):
        log.read(EVENTS, 1, 4)


def test_timestamps_are_receipt_times_and_never_fall(log: Log) -> None:
    for _ in range(5):
        append(log, EVENTS, numbered(3, partition=0))
    stamps = [r.timestamp for r in log.read(EVENTS, 0, 0)]
    assert stamps == sorted(stamps)
    assert 1_600_000_000_000_000 < stamps[0] < 10_000_000_000_000_000  # microseconds of this century


def test_a_mebibyte_fits_and_more_is_refused(log: Log) -> None:
    largest = bytes(range(256)) * (MAX_RECORD_BYTES // 256)
    append(log, EVENTS, [Entry(value=largest, partition=0), Entry(value=largest, partition=0)])
    with pytest.raises(RecordTooLarge, match=r"entry 1: 1048577 bytes"):
        append(log, EVENTS, [Entry(value=b"", partition=0), Entry(value=largest + b"x", partition=0)])
    with pytest.raises(RecordTooLarge, match="headers"):
        append(log, EVENTS, [Entry(value=b"", partition=0, headers=[("h", b"x" * 70_000)])])
    assert log.end_offsets(EVENTS)[0] == 2
    assert log.read(EVENTS, 0, 0)[0].value == largest


def test_an_append_of_nothing(log: Log) -> None:
    assert append(log, EVENTS, []) == []


def test_a_full_queue_refuses_and_recovers(twin: Twin) -> None:
    log = twin.open(queue_bytes=300_000)
    big = [Entry(value=b"x" * 100_000, partition=0)]
    futures = [log.append(EVENTS, big) for _ in range(200)]
    outcomes = [f.exception(WAIT_S) for f in futures]
    refused = [error for error in outcomes if error is not None]
    assert all(isinstance(error, LogUnavailable) for error in refused)
    assert len(refused) < 200
    append(log, EVENTS, big)
    assert log.end_offsets(EVENTS)[0] == 201 - len(refused)


def test_a_changed_partition_count_is_refused(twin: Twin) -> None:
    first = twin.open()
    append(first, EVENTS, numbered(1))
    first.close()
    with pytest.raises(PartitionsChanged, match=r"4 partitions.* TOUCHLINE_PARTITIONS says 5"):
        append(twin.open(5), EVENTS, numbered(1))
    with pytest.raises(PartitionsChanged):
        twin.reader(twin.open(5), EVENTS).join()


def test_ready(twin: Twin) -> None:
    assert twin.open().ready()


def test_an_append_that_follows_a_failed_one_fails_however_late_it_comes(log: Log) -> None:
    first = log.append(EVENTS, [Entry(value=b"1", partition=0)])
    first.result(WAIT_S)
    log.append(EVENTS, [Entry(value=b"2", partition=0)], after=first).result(WAIT_S)
    lost: Future[list[tuple[int, int]]] = Future()
    lost.set_exception(LogUnavailable("away"))
    behind = log.append(EVENTS, [Entry(value=b"3", partition=0)], after=lost)
    assert isinstance(behind.exception(WAIT_S), LogUnavailable)
    further = log.append(EVENTS, [Entry(value=b"4", partition=0)], after=behind)
    assert isinstance(further.exception(WAIT_S), LogUnavailable)
    log.append(EVENTS, [Entry(value=b"5", partition=0)]).result(WAIT_S)
    assert [r.value for r in log.read(EVENTS, 0, 0)] == [b"1", b"2", b"5"]


def test_records_far_apart_are_picked(log: Log) -> None:
    append(log, EVENTS, numbered(3_000, partition=1))
    wanted = [0, 1, 7, 1_500, 2_999]
    assert [(r.offset, r.value) for r in log.pick(EVENTS, 1, wanted)] == [(n, b"%d" % n) for n in wanted]
    assert [r.offset for r in log.pick(EVENTS, 1, [2_999, 3_000, 9_999])] == [2_999]
    assert log.pick(EVENTS, 2, [0]) == []
    assert log.pick(EVENTS, 1, []) == []
    assert [r.offset for r in log.read(EVENTS, 1, 10, 2)] == [10, 11], "reading on is not disturbed"
