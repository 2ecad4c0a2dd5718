"""The queue of long jobs, on both databases: its limits, and that one job has one worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from backbone.database import Database
from backbone.errors import NotFound, RateLimited
from backbone.jobs import limits
from backbone.jobs import queue as module
from backbone.jobs.queue import JobQueue
from backbone.ownership import Fenced
from backbone.tables import job_parts, jobs
from backbone.web.pagination import Paging
from tests.migrated import migrated


class Hand:
    """A clock that stands."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000_000

    def now(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def queue(db: Database, clock: Hand) -> JobQueue:
    migrated(db, ["backbone"])
    return JobQueue(db, clock, "backtest")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker counts as dead as soon as another one looks."""
    monkeypatch.setattr(module, "LEASE_S", 0.0)


def submitted(queue: JobQueue, owner: str = "key", body: bytes = b"{}") -> str:
    with queue.write() as conn:
        return queue.submit(conn, owner, body, {"rule": "r"}).id


def test_jobs_run_one_at_a_time_in_order(queue: JobQueue) -> None:
    first, second = submitted(queue, body=b"1"), submitted(queue, body=b"2")
    job = queue.claim("a")
    assert job is not None
    assert (job.id, job.epoch, job.body) == (first, 1, b"1")
    assert queue.claim("a") is None
    assert queue.claim("b") is None
    queue.finish(job, b'{"triggers": 3}')
    assert queue.get(first).answer()["triggers"] == 3
    after = queue.claim("b")
    assert after is not None
    assert after.id == second


def test_another_kind_has_a_queue_of_its_own(db: Database, queue: JobQueue, clock: Hand) -> None:
    other = JobQueue(db, clock, "rehearsal")
    mine, theirs = submitted(queue), submitted(other)
    assert queue.claim("a") is not None
    found = other.claim("a")
    assert found is not None
    assert found.id == theirs
    with pytest.raises(NotFound):
        other.get(mine)
    with pytest.raises(NotFound):
        other.remove(mine)
    assert [item["id"] for item in other.page(Paging())["items"]] == [theirs]


def test_of_one_key_two_wait_or_run(queue: JobQueue) -> None:
    first = submitted(queue)
    assert queue.claim("a") is not None
    submitted(queue)
    with pytest.raises(RateLimited) as refused:
        submitted(queue)
    assert refused.value.headers["Retry-After"] == "5"
    submitted(queue, "another key")
    queue.remove(first)
    submitted(queue)


def test_twenty_wait_and_one_runs(queue: JobQueue) -> None:
    for number in range(limits.WAITING):
        submitted(queue, f"key {number}")
    with pytest.raises(RateLimited):
        submitted(queue, "one more")
    assert queue.claim("a") is not None
    submitted(queue, "one more")
    with pytest.raises(RateLimited):
        submitted(queue, "and one more")


def test_who_asks_at_the_same_time_passes_no_limit(queue: JobQueue) -> None:
    def ask(_: int) -> bool:
        try:
            submitted(queue)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == limits.PER_KEY


def test_who_claims_at_the_same_time_gets_no_job_twice(queue: JobQueue) -> None:
    for number in range(4):
        submitted(queue, f"key {number}")
    with ThreadPoolExecutor(8) as pool:
        assert sum(job is not None for job in pool.map(lambda n: queue.claim(f"w{n}"), range(8))) == 1


@pytest.mark.usefixtures("at_once")
def test_a_worker_that_died_is_followed_and_fenced(db: Database, queue: JobQueue) -> None:
    submitted(queue, body=b"1")
    lost = queue.claim("a")
    assert lost is not None
    queue.add_part(lost, "triggers", 0, 2, b"old")
    job = queue.claim("b")
    assert job is not None
    assert (job.id, job.epoch, job.body) == (lost.id, 2, b"1")
    assert list(queue.parts(job.id, "triggers", 0)) == []
    assert not queue.wanted(lost)
    for write in (
        lambda: queue.beat(lost, 0.5),
        lambda: queue.add_part(lost, "triggers", 0, 1, b"late"),
        lambda: queue.finish(lost, b"{}"),
        lambda: queue.fail(lost, "late"),
    ):
        with pytest.raises(Fenced):
            write()
    queue.put_back(lost)
    queue.release(lost)
    assert queue.wanted(job)
    queue.beat(job, 0.25)
    assert queue.get(job.id).progress == 0.25
    assert list(queue.parts(job.id, "triggers", 0)) == []


def test_a_worker_that_lives_keeps_its_job(queue: JobQueue) -> None:
    submitted(queue)
    job = queue.claim("a")
    assert job is not None
    assert queue.claim("b") is None
    queue.beat(job, 0.1)
    assert queue.claim("b") is None
    queue.finish(job, b"{}")


@pytest.mark.usefixtures("at_once")
def test_a_job_that_kills_its_workers_fails(queue: JobQueue) -> None:
    job, after = submitted(queue), submitted(queue)
    for _ in range(limits.TRIES):
        found = queue.claim("a")
        assert found is not None
        assert found.id == job
    found = queue.claim("a")
    assert found is not None
    assert found.id == after
    view = queue.get(job)
    assert (view.status, view.error) == ("failed", "5 workers died while they ran it")


def test_a_job_that_waits_is_cancelled_and_forgotten(queue: JobQueue) -> None:
    job = submitted(queue)
    queue.remove(job)
    with pytest.raises(NotFound):
        queue.get(job)
    assert queue.claim("a") is None


def test_what_failed_keeps_its_reason_and_no_parts(queue: JobQueue) -> None:
    submitted(queue)
    job = queue.claim("a")
    assert job is not None
    queue.add_part(job, "triggers", 0, 1, b"x")
    queue.fail(job, "too much")
    assert queue.get(job.id).answer()["error"] == "too much"
    assert list(queue.parts(job.id, "triggers", 0)) == []


def test_ended_jobs_are_kept_for_seven_days(db: Database, queue: JobQueue, clock: Hand) -> None:
    submitted(queue)
    job = queue.claim("a")
    assert job is not None
    queue.add_part(job, "triggers", 0, 1, b"x")
    queue.finish(job, b"{}")
    waiting = submitted(queue)
    clock.at += limits.KEPT_US
    queue.prune()
    assert queue.get(job.id).status == "done"
    clock.at += 1
    queue.prune()
    with pytest.raises(NotFound):
        queue.get(job.id)
    assert queue.get(waiting).status == "queued"
    with db.read() as conn:
        assert conn.scalar(select(func.count()).select_from(job_parts)) == 0
        assert conn.scalar(select(func.count()).select_from(jobs)) == 1
