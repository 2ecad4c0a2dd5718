"""A third user of the partition worker, that has nothing to do with rules or actions: each record counts once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import update

from backbone.log import EVENTS, Entry, OffsetOutOfRange, partition_for
from backbone.ownership import Fenced
from backbone.partition_worker import PAUSES_S
from tests.conformance.log.conftest import PARTITIONS
from tests.conformance.workers.conftest import KEYS, WAIT_S, Stack
from tests.conformance.workers.counting import OWNERSHIP, POISON, CountingWorker, partitions

ALL = set(range(PARTITIONS))


def shared(*workers: CountingWorker) -> bool:
    """Whether each has some partitions, together all of them, and none is another's too."""
    owned = [set(worker.tasks) for worker in workers]
    return all(owned) and set.union(*owned) == ALL and sum(map(len, owned)) == len(ALL)


def test_the_keys_reach_every_partition() -> None:
    assert {partition_for(key, PARTITIONS) for key in KEYS} == ALL


def test_partitions_move_between_two_workers_and_each_record_counts_once(stack: Stack) -> None:
    one = stack.started()
    stack.post()
    stack.until_counted()
    assert set(one.tasks) == ALL
    alone = stack.rows()
    two = stack.started()
    stack.post()  # while the group makes up its mind
    stack.until("sharing the partitions", lambda: shared(one, two))
    stack.post()
    stack.until_counted()
    both = stack.rows()
    assert all(both[p].epoch > alone[p].epoch for p in two.tasks), "whoever comes claims what it is given"
    one.stop()
    assert one.finished
    assert not one.alive
    assert one.tasks == {}
    stack.post()
    stack.until("taking over", lambda: set(two.tasks) == ALL)
    stack.until_counted()
    assert (one.failure, two.failure) == (None, None)
    assert {number: row.seen for number, row in stack.rows().items()} == stack.log.end_offsets(EVENTS)


def test_a_zombie_writes_nothing(stack: Stack) -> None:
    """It stands still between counting and writing while another worker takes all partitions and goes on."""
    asleep, go = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        assert go.wait(WAIT_S)

    zombie = stack.worker()
    zombie.before_commit = sleep
    zombie.start()
    stack.post()
    assert asleep.wait(WAIT_S)
    other = stack.worker(group="counting-elsewhere")  # whose log never heard of the zombie
    other.start()
    stack.until_counted()
    stack.post()
    stack.until_counted()
    other.stop()
    stored, rows = stack.counted(), stack.rows()
    zombie.before_commit = lambda: None
    go.set()
    stack.until("noticing", lambda: zombie.forgotten)
    assert stack.counted() == stored
    stack.until("claiming anew", lambda: all(stack.rows()[p].epoch > rows[p].epoch for p in ALL))
    stack.post()
    stack.until_counted()
    assert zombie.failure is None


def test_a_claim_alone_fences_whoever_was_there_before(stack: Stack) -> None:
    """The new owner has written nothing yet: by its offsets the zombie could not tell."""
    asleep, go = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        assert go.wait(WAIT_S)

    zombie = stack.worker()
    zombie.before_commit = sleep
    zombie.start()
    stack.post()
    assert asleep.wait(WAIT_S)
    OWNERSHIP.claim(stack.db, sorted(ALL), {})
    go.set()
    stack.until("noticing", lambda: zombie.forgotten)
    stack.until_counted()
    assert zombie.failure is None


def test_a_database_that_fails_and_comes_back_costs_no_record(stack: Stack) -> None:
    worker = stack.started()
    stack.post()
    stack.until_counted()
    with stack.outage():
        stack.post()
        stack.until("starting again", lambda: worker.forgotten)
        assert worker.alive
        assert worker.failure is None
    stack.until_counted()
    stack.post()
    stack.until_counted()
    assert worker.failure is None


def test_a_halted_partition_leaves_its_neighbours_alone(stack: Stack) -> None:
    """The log does not hold what comes next there. Mended by hand, it goes on with the next claim."""
    stack.post()
    with stack.db.write() as conn:
        conn.execute(partitions.insert(), {"partition": 0, "epoch": 0, "next_offset": 10**6, "seen": 0})
    worker = stack.started()
    ends = stack.log.end_offsets(EVENTS)
    fine = sorted(ALL - {0})

    def read() -> bool:
        rows = stack.rows()
        return all(p in rows and rows[p].next_offset == ends[p] for p in fine)

    stack.until("reading the others", read)
    stack.until("halting", lambda: worker.halted)
    assert set(worker.halted) == {(EVENTS, 0)}
    assert isinstance(worker.failure, OffsetOutOfRange)  # so that it is not ready
    assert worker.alive
    lost = {key for key in KEYS if partition_for(key, PARTITIONS) == 0}
    assert stack.counted() == {key: n for key, n in stack.posted.items() if key not in lost}
    stack.post()
    ends = stack.log.end_offsets(EVENTS)
    stack.until("reading the others on", read)
    assert stack.rows()[0].next_offset == 10**6
    assert worker.forgotten == 0
    with stack.db.write() as conn:
        conn.execute(update(partitions).where(partitions.c.partition == 0).values(next_offset=0))
    other = stack.started()
    stack.until_counted()
    stack.until("sharing the partitions", lambda: shared(worker, other))
    assert (worker.halted, worker.failure, other.failure) == ({}, None, None)


def test_no_time_passes_in_a_halted_partition(stack: Stack) -> None:
    worker = stack.started()
    stack.until("claiming", lambda: set(worker.tasks) == ALL)
    assert list(worker.running()) == list(worker.tasks.values())
    worker.halted[EVENTS, 2] = OffsetOutOfRange(EVENTS, 2, 9, 0, 1)
    assert list(worker.running()) == [worker.tasks[p] for p in worker.tasks if p != 2]


def test_a_fault_ends_the_thread_and_lets_the_partitions_go(stack: Stack) -> None:
    faulty, error = stack.worker(), RuntimeError("no such thing")

    def fail() -> None:
        raise error

    faulty.before_commit = fail
    faulty.start()
    stack.post()
    stack.until("failing", lambda: not faulty.alive)
    assert faulty.failure is error
    assert faulty.tasks == {}
    assert stack.counted() == {}
    stack.started()
    stack.until_counted()


def test_what_cannot_be_read_goes_to_the_dead_letters_and_counts_for_nobody(stack: Stack) -> None:
    stack.started()
    stack.post()
    stack.log.append(EVENTS, [Entry(key=key, value=POISON) for key in KEYS[:3]]).result(30)
    stack.post()
    stack.until_counted()
    assert len(stack.dead_letters()) == 3


def test_a_worker_that_never_ran_leaves_its_group(stack: Stack) -> None:
    idle = stack.worker()
    idle.join()
    stack.until("joining", lambda: idle.run_once() or set(idle.tasks) == ALL)
    idle.stop()
    assert idle.finished
    assert idle.tasks == {}
    other = stack.started()
    stack.until("taking over", lambda: set(other.tasks) == ALL)


class _Pauses(threading.Event):
    """Never waits; remembers how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0.0)
        return self.is_set()


def test_pauses_grow_until_a_round_is_well_again(stack: Stack) -> None:
    """Servers that answer and take nothing, a full disk say, are not asked ten times a second."""
    worker = stack.worker()
    worker._stopping = pauses = _Pauses()
    worker.join()
    for _ in range(len(PAUSES_S) + 1):
        worker.restart()
        worker.run_once()  # nothing was read: that says nothing
    assert pauses.asked == [*PAUSES_S, PAUSES_S[-1]]
    stack.post()
    stack.until("reading", lambda: worker.run_once() or stack.counted())
    pauses.asked.clear()
    worker.restart()
    assert pauses.asked == [PAUSES_S[0]]


def test_what_fails_while_it_starts_again_is_tried_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without a free file handle fails the look at the database too: the thread must not end by it."""
    worker = stack.worker()
    failures = iter([Fenced("ours no more")])
    pings = iter([OSError(24, "Too many open files")])
    ping = stack.db.ping

    def fail() -> None:
        for error in failures:
            raise error

    def refused() -> bool:
        for error in pings:
            raise error
        return ping()

    worker.before_commit = fail
    monkeypatch.setattr(stack.db, "ping", refused)
    worker.start()
    stack.post()
    stack.until_counted()
    assert worker.forgotten == 2
    assert worker.alive
    assert worker.failure is None
