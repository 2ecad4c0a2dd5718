"""Long jobs in processes of their own: what they may take, how they end, and who notices."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backbone.clock import WallClock
from backbone.database import Database
from backbone.errors import NotFound
from backbone.jobs import runner as module
from backbone.jobs.limits import JobFailed
from backbone.jobs.queue import JobQueue, JobView
from backbone.jobs.runner import JobRunner
from backbone.jobs.scratch import Scratch, is_full
from backbone.jobs.wire import Failed, Frames, Part, Progress, framed
from backbone.settings import Settings, load_settings
from deploy.local.process import wait_until
from tests.migrated import migrated

MODULE = "tests.unit.backbone.job_process"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, partitions=3, job_disk=16)


@pytest.fixture
def queue(settings: Settings) -> Iterator[JobQueue]:
    db = Database(settings.url)
    migrated(db, ["backbone"])
    yield JobQueue(db, WallClock(), "backtest")
    db.close()


@pytest.fixture
def runner(queue: JobQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobRunner]:
    monkeypatch.setattr(module, "NICENESS", 1)  # a test waits for it
    made = JobRunner(queue, settings, MODULE)
    made.start()
    yield made
    made.stop()


def submitted(queue: JobQueue, body: str) -> str:
    with queue.write() as conn:
        return queue.submit(conn, "key", body.encode(), {"asked": body}).id


def ended(queue: JobQueue, job: str) -> JobView:
    wait_until("the end", lambda: queue.get(job).status not in {"queued", "running"}, 30)
    return queue.get(job)


def pids() -> set[int]:
    """The processes of this user's jobs."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if MODULE.encode() in (folder / "cmdline").read_bytes() and int(parent) == os.getpid():
                    found.add(int(folder.name))
    return found


def test_a_job_tells_its_parts_and_its_result(queue: JobQueue, runner: JobRunner) -> None:
    job = submitted(queue, "count")
    runner.wake()
    view = ended(queue, job)
    assert (view.status, view.progress, view.error) == ("done", 1.0, None)
    assert view.shown | {"pid": 0} == {"asked": "count", "pid": 0, "nice": os.nice(0) + 1, "partitions": 3}
    assert view.shown["pid"] != os.getpid()
    assert list(queue.parts(job, "numbers", 0)) == [(0, b"\0\1"), (2, b"\2\3"), (4, b"\4\5")]
    assert list(queue.parts(job, "numbers", 3)) == [(2, b"\2\3"), (4, b"\4\5")]
    assert list(queue.parts(job, "others", 0)) == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("memory", "it needs more than 1,024 MiB of memory"),
        ("disk", "it needs more than 16 MiB of temporary disk; TOUCHLINE_JOB_DISK allows no more"),
        ("refuse", "the log is empty"),
        ("die", "its process was ended by SIGKILL"),
        ("left", "its worker was too busy to follow it: silent for 10 s, 5 times"),
    ],
)
def test_a_job_that_fails_says_why_and_the_next_one_runs(
    queue: JobQueue, runner: JobRunner, body: str, error: str
) -> None:
    failing, next_one = submitted(queue, body), submitted(queue, "count")
    view = ended(queue, failing)
    assert (view.status, view.error) == ("failed", error)
    assert ended(queue, next_one).status == "done"


def test_a_job_whose_worker_was_silent_for_a_while_starts_again(queue: JobQueue, runner: JobRunner) -> None:
    assert ended(queue, submitted(queue, "left once")).status == "done"


def test_a_job_that_runs_is_cancelled_with_its_process(queue: JobQueue, runner: JobRunner) -> None:
    job = submitted(queue, "wait")
    wait_until("half of it", lambda: queue.get(job).progress == 0.5, 30)
    assert len(pids()) == 1
    queue.remove(job)
    assert pids() == set()
    with pytest.raises(NotFound):
        queue.get(job)
    assert ended(queue, submitted(queue, "count")).status == "done"


def test_a_runner_that_stops_lets_another_one_start_again(
    queue: JobQueue, runner: JobRunner, settings: Settings
) -> None:
    job = submitted(queue, "wait")
    wait_until("half of it", lambda: queue.get(job).progress == 0.5, 30)
    runner.stop()
    assert pids() == set()
    view = queue.get(job)
    assert (view.status, view.progress) == ("queued", 0.0)
    other = JobRunner(queue, settings, MODULE)
    other.start()
    wait_until("half of it", lambda: queue.get(job).progress == 0.5, 30)
    other.stop()


def test_files_and_databases_share_one_limit() -> None:
    scratch = Scratch(1 << 20)
    scratch.wrote(600_000)
    db = scratch.database()
    db.execute("CREATE TABLE much (body BLOB)")
    db.execute("INSERT INTO much VALUES (randomblob(300000))")
    scratch.check()
    with pytest.raises(JobFailed, match="more than 1 MiB of temporary disk"):
        scratch.wrote(400_000)
    with pytest.raises(sqlite3.OperationalError) as refused:
        db.execute("INSERT INTO much VALUES (randomblob(1000000))")
    assert is_full(refused.value)
    assert not is_full(ValueError())


def test_messages_arrive_whole_however_they_are_cut() -> None:
    said = [Progress(0.5), Part("numbers", 2, b"x" * 100), Failed("no")]
    stream, frames = b"".join(map(framed, said)), Frames()
    assert [message for byte in stream for message in frames.feed(bytes([byte]))] == said
