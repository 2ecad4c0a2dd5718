"""Every change of a job's status. A job is queued, running, and in the end done, failed or cancelled.

A row's `worker` says who has the job's process; it may stay set for a moment after the job was cancelled.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Insert, Update, insert, update

from backbone.tables import jobs

JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
STATUSES: tuple[str, ...] = get_args(JobStatus)
WANTED = ("queued", "running")


def change_status(conn: Connection, statement: Insert | Update, given: Mapping[str, Any]) -> int:
    """Run a statement that sets a status; returns the number of rows it changed."""
    return conn.execute(statement.values(dict(given))).rowcount


def new_job(conn: Connection, row: Mapping[str, Any]) -> None:
    """Insert a job that waits."""
    change_status(conn, insert(jobs), {**row, "status": "queued", "progress": 0.0, "epoch": 0, "beat": 0})


def begin(conn: Connection, job: str, worker: str, now: int) -> int:
    """Give the job to a worker, from the start; returns its new epoch."""
    statement = update(jobs).where(jobs.c.id == job).returning(jobs.c.epoch)
    given = {
        "status": "running",
        "worker": worker,
        "progress": 0.0,
        "epoch": jobs.c.epoch + 1,
        "started_at": now,
    }
    return int(conn.execute(statement.values(given)).scalar_one())


def put_back(conn: Connection, job: str, epoch: int) -> None:
    """Its worker stops: let it wait at its place again."""
    mine = update(jobs).where(jobs.c.id == job, jobs.c.epoch == epoch, jobs.c.status == "running")
    change_status(conn, mine, {"status": "queued", "worker": None, "progress": 0.0})


def end(conn: Connection, job: str, epoch: int, status: JobStatus, now: int, **more: Any) -> bool:
    """End a running job, if it is still of this epoch; returns whether it was."""
    mine = update(jobs).where(jobs.c.id == job, jobs.c.epoch == epoch, jobs.c.status == "running")
    return change_status(conn, mine, {"status": status, "worker": None, "ended_at": now, **more}) == 1


def cancel(conn: Connection, job: str, now: int) -> None:
    """Take back a job that waits or runs. Whoever runs it sees that, ends its process and lets go of the row."""
    wanted = update(jobs).where(jobs.c.id == job, jobs.c.status.in_(WANTED))
    change_status(conn, wanted, {"status": "cancelled", "ended_at": now})


def advance(conn: Connection, job: str, epoch: int, progress: float | None) -> bool:
    """Show that the job's worker is alive, and how far it is; returns whether the job is still its."""
    mine = (jobs.c.id == job) & (jobs.c.epoch == epoch) & (jobs.c.status == "running")
    done = jobs.c.progress if progress is None else progress
    return conn.execute(update(jobs).where(mine).values(beat=jobs.c.beat + 1, progress=done)).rowcount == 1


def let_go(conn: Connection, job: str, epoch: int) -> None:
    """Nobody has the process of this job any more, which was cancelled."""
    over = (jobs.c.id == job) & (jobs.c.epoch == epoch) & (jobs.c.status != "running")
    conn.execute(update(jobs).where(over).values(worker=None))
