"""Consumers: order, places, pauses, groups, wake-ups."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest

from backbone.log import EVENTS, TRIGGERS, Entry, Log, OffsetOutOfRange
from tests.conformance.log.conftest import PARTITIONS, Twin

WAIT_S = 30.0


def fill(log: Log, count: int, topic: str = EVENTS) -> None:
    """`count` numbered records in every partition."""
    entries = [Entry(value=b"%d" % n, partition=p) for n in range(count) for p in range(PARTITIONS)]
    log.append(topic, entries).result(WAIT_S)


def test_everything_is_read_once_and_in_order(twin: Twin, log: Log) -> None:
    fill(log, 100)
    reader = twin.reader(log, EVENTS)
    reader.read(100 * PARTITIONS, max_records=37)
    by_partition = defaultdict(list)
    for record in reader.records:
        by_partition[record.partition].append(record.offset)
    assert by_partition == {p: list(range(100)) for p in range(PARTITIONS)}


def test_a_poll_keeps_to_its_limit(twin: Twin, log: Log) -> None:
    fill(log, 10)
    reader = twin.reader(log, EVENTS).join()
    assert all(len(reader.poll(1.0, max_records=3)) <= 3 for _ in range(10))


def test_reading_starts_where_on_assigned_says(twin: Twin, log: Log) -> None:
    fill(log, 10)
    reader = twin.reader(log, EVENTS, start=7)
    reader.read(3 * PARTITIONS)
    assert {r.offset for r in reader.records} == {7, 8, 9}
    assert reader.assigned == [list(range(PARTITIONS))]


def test_what_is_appended_later_is_read_too(twin: Twin, log: Log) -> None:
    reader = twin.reader(log, EVENTS).join()
    for n in range(5):
        fill(log, 1)
        reader.read((n + 1) * PARTITIONS)
    assert len(reader.records) == 5 * PARTITIONS


def test_two_topics_and_the_same_partitions_of_both(twin: Twin, log: Log) -> None:
    fill(log, 5, EVENTS)
    fill(log, 3, TRIGGERS)
    reader = twin.reader(log, EVENTS, TRIGGERS)
    reader.read(8 * PARTITIONS)
    assert {(r.topic, r.partition) for r in reader.records} == {
        (t, p) for t in (EVENTS, TRIGGERS) for p in range(PARTITIONS)
    }
    assert {type(r.topic) for r in reader.records} == {str}


def test_ends_and_positions(twin: Twin, log: Log) -> None:
    fill(log, 4)
    reader = twin.reader(log, EVENTS).join()
    assert reader.consumer.end_offsets() == {(EVENTS, p): 4 for p in range(PARTITIONS)}
    reader.read(4 * PARTITIONS)
    assert reader.consumer.positions() == reader.consumer.end_offsets()


def test_seeking_reads_again(twin: Twin, log: Log) -> None:
    fill(log, 10)
    reader = twin.reader(log, EVENTS)
    reader.read(10 * PARTITIONS)
    reader.consumer.seek(EVENTS, 2, 4)
    reader.records.clear()
    assert [(r.partition, r.offset) for r in reader.read(6)] == [(2, n) for n in range(4, 10)]


def test_a_partition_paused_half_read_goes_on_after_others_were_read_to_their_ends(
    twin: Twin, log: Log
) -> None:
    fill(log, 50)
    reader = twin.reader(log, EVENTS)
    reader.until(lambda: bool(reader.records), "a first part", max_records=3)
    paused = reader.records[0].partition
    reader.consumer.pause(EVENTS, paused)
    others = [(EVENTS, p) for p in range(PARTITIONS) if p != paused]
    reader.until(lambda: all(reader.next.get(lane) == 50 for lane in others), "reading the others")
    assert reader.next[EVENTS, paused] < 50
    reader.poll()
    reader.consumer.resume(EVENTS, paused)
    reader.read(50 * PARTITIONS)
    assert [r.offset for r in reader.records if r.partition == paused] == list(range(50))


def test_a_paused_partition_rests_and_loses_nothing(twin: Twin, log: Log) -> None:
    fill(log, 10)
    reader = twin.reader(log, EVENTS).join()
    reader.consumer.pause(EVENTS, 1)
    early = [r for r in reader.records if r.partition == 1]
    reader.read(10 * (PARTITIONS - 1) + len(early))
    assert [r for r in reader.records if r.partition == 1] == early
    fill(log, 1)
    reader.read(11 * (PARTITIONS - 1) + len(early))
    reader.consumer.resume(EVENTS, 1)
    reader.read(11 * PARTITIONS)
    assert [r.offset for r in reader.records if r.partition == 1] == list(range(11))


def test_wake_ends_a_poll_from_another_thread(twin: Twin, log: Log) -> None:
    reader = twin.reader(log, EVENTS).join()
    timer = threading.Timer(0.05, reader.consumer.wake)
    timer.start()
    assert reader.poll(timeout=WAIT_S * 10) == []  # the test's own time limit is shorter than this
    reader.consumer.wake()  # and one before the poll counts for it
    assert reader.poll(timeout=WAIT_S * 10) == []


def test_records_end_a_poll(twin: Twin, log: Log) -> None:
    reader = twin.reader(log, EVENTS).join()
    threading.Timer(0.05, log.append, (EVENTS, [Entry(value=b"x", partition=0)])).start()
    assert [r.value for r in reader.poll(timeout=WAIT_S * 10)] == [b"x"]


def test_an_offset_behind_the_end_is_loud(twin: Twin, log: Log) -> None:
    fill(log, 3)
    reader = twin.reader(log, EVENTS, start=9)
    with pytest.raises(OffsetOutOfRange, match=r"touchline.events partition \d: offset 9 .* offsets 0 to 3"):
        reader.until(lambda: False, "an error")
    with pytest.raises(OffsetOutOfRange):  # and stays so
        reader.until(lambda: False, "an error")


def test_a_partition_out_of_range_is_put_aside_and_the_others_go_on(twin: Twin, log: Log) -> None:
    fill(log, 3)
    reader = twin.reader(log, EVENTS)
    reader.next = {(EVENTS, 1): 9}
    with pytest.raises(OffsetOutOfRange) as caught:
        reader.until(lambda: False, "an error")
    assert (caught.value.topic, caught.value.partition) == (EVENTS, 1)
    reader.consumer.pause(EVENTS, 1)
    reader.read(3 * (PARTITIONS - 1))
    fill(log, 1)
    reader.read(4 * (PARTITIONS - 1))
    assert {record.partition for record in reader.records} == {0, 2, 3}
    assert reader.consumer.end_offsets() == {(EVENTS, p): 4 for p in range(PARTITIONS)}
    assert reader.consumer.positions() == {(EVENTS, p): 9 if p == 1 else 4 for p in range(PARTITIONS)}


def test_a_failing_on_assigned_is_tried_again(twin: Twin, log: Log) -> None:
    fill(log, 2)
    reader = twin.reader(log, EVENTS)
    failures = [RuntimeError("the database is away")] * 2
    original = reader._assigned

    def assigned(partitions: list[int]) -> object:
        if failures:
            raise failures.pop()
        return original(partitions)

    reader.consumer.subscribe(assigned, reader._revoked)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="away"):
            reader.until(lambda: False, "the failure")
    assert reader.records == []
    assert len(reader.read(2 * PARTITIONS)) == 2 * PARTITIONS


def test_two_groups_each_read_everything(twin: Twin, log: Log) -> None:
    fill(log, 5)
    for group in ("rules", "actions"):
        assert len(twin.reader(log, EVENTS, group=group).read(5 * PARTITIONS)) == 5 * PARTITIONS


def test_members_share_and_take_over(twin: Twin, log: Log) -> None:
    """A second member takes half of the same partitions of both topics; when it leaves, the first has all again."""
    fill(log, 5, EVENTS)
    fill(log, 5, TRIGGERS)
    first = twin.reader(log, EVENTS, TRIGGERS)
    first.read(10 * PARTITIONS)
    second = twin.reader(log, EVENTS, TRIGGERS)
    second.next = first.next  # the two share one store of places

    def both() -> bool:
        second.poll(0.05)
        return bool(second.assigned) and len(first.assigned) == 2

    first.until(both, "sharing")
    assert first.revoked == [list(range(PARTITIONS))]
    assert sorted(first.assigned[1] + second.assigned[0]) == list(range(PARTITIONS))
    assert len(first.assigned[1]) == len(second.assigned[0]) == PARTITIONS // 2

    fill(log, 1, EVENTS)
    fill(log, 1, TRIGGERS)
    seen = len(first.records) + len(second.records)

    def all_read() -> bool:
        second.poll(0.05)
        return len(first.records) + len(second.records) >= seen + 2 * PARTITIONS

    first.until(all_read, "reading on together")
    assert {r.partition for r in second.records} == set(second.assigned[0])
    second.consumer.close()
    first.until(lambda: first.assigned[-1] == list(range(PARTITIONS)), "taking over")
    fill(log, 1, EVENTS)
    first.until(lambda: sum(first.next.values()) == PARTITIONS * 13, "reading alone")
    together = [(r.topic, r.partition, r.offset) for r in first.records + second.records]
    assert len(together) == len(set(together)) == PARTITIONS * 13


def test_rejoining_starts_from_what_is_stored(twin: Twin, log: Log) -> None:
    fill(log, 5)
    reader = twin.reader(log, EVENTS)
    reader.read(5 * PARTITIONS)
    reader.next = {(EVENTS, p): 3 for p in range(PARTITIONS)}
    reader.records.clear()
    reader.consumer.rejoin()
    assert reader.revoked == [list(range(PARTITIONS))]
    assert {r.offset for r in reader.read(2 * PARTITIONS)} == {3, 4}
    assert len(reader.assigned) == 2


def test_closing_gives_the_partitions_back(twin: Twin, log: Log) -> None:
    reader = twin.reader(log, EVENTS).join()
    reader.consumer.commit({(EVENTS, 0): 0})
    reader.consumer.close()
    assert twin.reader(log, EVENTS).join().assigned == [list(range(PARTITIONS))]
