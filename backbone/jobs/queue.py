"""The queue of one kind of long job, in a table that all workers share."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound, RateLimited
from backbone.jobs import status
from backbone.jobs.limits import KEPT_US, LEASE_S, PER_KEY, RETRY_AFTER_S, TRIES, WAITING
from backbone.ownership import Fenced
from backbone.tables import job_parts as parts
from backbone.tables import jobs
from backbone.web.pagination import Paging, page
from schemas.event import rfc3339

CANCEL_S = 2.0  # how long a DELETE waits for the worker to end the process
_WITHOUT_BODY: list[Any] = [column for column in jobs.c if column.name != "body"]
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Job(NamedTuple):
    """A job in the hands of this worker, under an epoch."""

    id: str
    epoch: int
    body: bytes


class JobView(NamedTuple):
    """A job as others see it. `shown`: what was asked for, and once it is done the result, as fields of the answer."""

    id: str
    status: str
    progress: float
    shown: dict[str, Any]
    error: str | None
    created_at: int

    def answer(self) -> dict[str, Any]:
        """The job as the API shows it."""
        said = {"id": self.id, "status": self.status, "progress": self.progress, "error": self.error}
        return {**said, "created_at": rfc3339(self.created_at), **self.shown}


class JobQueue:
    """The jobs of one kind, such as `backtest`. Safe to use from several threads."""

    def __init__(self, db: Database, clock: Clock, kind: str) -> None:
        self._db, self._clock, self.kind = db, clock, kind
        self._seen: dict[
            tuple[str, int, int], float
        ] = {}  # (job, epoch, beat) → when we first saw it, monotonic

    # -- for the API

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction for `submit`."""
        with self._db.write() as conn:
            yield conn

    def submit(self, conn: Connection, owner: str, body: bytes, shown: Mapping[str, Any]) -> JobView:
        """Put a job into the queue. `owner` is the id of the API key, `body` what its process is given.

        Raises `RateLimited` where too many wait, or the key has two jobs already.
        """
        self._lock(conn)
        self._refuse_if_full(conn, owner)
        row: dict[str, Any] = {
            "id": f"{self.kind[:3]}_{secrets.token_hex(13)}",
            "kind": self.kind,
            "owner": owner,
            "body": body,
            "shown": msgspec.json.encode(shown),
            "created_at": self._clock.now(),
        }
        status.new_job(conn, row)
        return JobView(row["id"], "queued", 0.0, dict(shown), None, row["created_at"])

    def _refuse_if_full(self, conn: Connection, owner: str) -> None:
        mine = select(jobs.c.status, jobs.c.owner).where(
            jobs.c.kind == self.kind, jobs.c.status.in_(status.WANTED)
        )
        rows = conn.execute(mine).all()
        if sum(row.owner == owner for row in rows) >= PER_KEY:
            message = f"this key has {PER_KEY} {self.kind}s that wait or run; wait for one, or delete it"
            raise RateLimited(message, retry_after=RETRY_AFTER_S, code="jobs_of_key")
        if sum(row.status == "queued" for row in rows) >= WAITING:
            message = f"{WAITING} {self.kind}s wait already; try again later"
            raise RateLimited(message, retry_after=RETRY_AFTER_S, code="jobs_waiting")

    def get(self, job: str) -> JobView:
        """The job. Raises `NotFound`."""
        query = select(*_WITHOUT_BODY).where(jobs.c.id == job, jobs.c.kind == self.kind)
        with self._db.read() as conn:
            row = conn.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"there is no {self.kind} {job}")
        return _view(row)

    def body(self, job: str) -> bytes:
        """What its process is given. Raises `NotFound`."""
        query = select(jobs.c.body).where(jobs.c.id == job, jobs.c.kind == self.kind)
        with self._db.read() as conn:
            found = conn.scalar(query)
        if found is None:
            raise NotFound(f"there is no {self.kind} {job}")
        return bytes(found)

    def page(self, pages: Paging) -> dict[str, Any]:
        """A page of the list, newest first."""
        query = select(*_WITHOUT_BODY).where(jobs.c.kind == self.kind)
        with self._db.read() as conn:
            return page(conn, query, [jobs.c.seq], pages, lambda row: _view(row).answer())

    def parts(self, job: str, series: str, skip: int) -> Iterator[tuple[int, bytes]]:
        """The parts of a series that hold items from number `skip` on: (number of its first item, body)."""
        first = 0
        query = select(parts.c.seq, parts.c.size).where(parts.c.job == job, parts.c.series == series)
        with self._db.read() as conn:
            sizes = [(row.seq, row.size) for row in conn.execute(query.order_by(parts.c.seq))]
        for seq, items in sizes:
            if first + items > skip:
                one = select(parts.c.body).where(
                    parts.c.job == job, parts.c.series == series, parts.c.seq == seq
                )
                with self._db.read() as conn:
                    body = conn.scalar(one)
                if body is None:
                    return  # deleted meanwhile
                yield first, body
            first += items

    def remove(self, job: str) -> None:
        """Cancel the job if it waits or runs, then forget it. Returns once its process has ended, or after `CANCEL_S`.

        Raises `NotFound`.
        """
        self.get(job)
        with self._db.write() as conn:
            status.cancel(conn, job, self._clock.now())
        deadline = time.monotonic() + CANCEL_S
        while self._held(job) and time.monotonic() < deadline:
            time.sleep(0.05)
        with self._db.write() as conn:
            conn.execute(delete(parts).where(parts.c.job == job))
            conn.execute(delete(jobs).where(jobs.c.id == job))

    def _held(self, job: str) -> bool:
        with self._db.read() as conn:
            return conn.scalar(select(jobs.c.worker).where(jobs.c.id == job)) is not None

    def prune(self) -> None:
        """Forget the jobs that ended long ago."""
        old = (jobs.c.kind == self.kind) & (jobs.c.ended_at < self._clock.now() - KEPT_US)
        with self._db.read() as conn:
            gone = list(conn.scalars(select(jobs.c.id).where(old)))
        for job in gone:
            with self._db.write() as conn:
                conn.execute(delete(parts).where(parts.c.job == job))
                conn.execute(delete(jobs).where(jobs.c.id == job))

    def running_since(self) -> int | None:
        """When the running job was started, in microseconds; None if none runs."""
        running = (jobs.c.kind == self.kind) & (jobs.c.status == "running")
        with self._db.read() as conn:
            found: int | None = conn.scalar(select(func.min(jobs.c.started_at)).where(running))
        return found

    def rewrite(self, change: Callable[[bytes], tuple[int, bytes] | None]) -> None:
        """Change the parts of the results that are kept: `change(body)` is (items, new body), or None to leave it."""
        mine = select(jobs.c.id).where(jobs.c.kind == self.kind, jobs.c.status == "done")
        with self._db.read() as conn:
            places = conn.execute(
                select(parts.c.job, parts.c.series, parts.c.seq).where(parts.c.job.in_(mine))
            ).all()
        for job, series, seq in places:
            here = (parts.c.job == job) & (parts.c.series == series) & (parts.c.seq == seq)
            with self._db.read() as conn:
                body = conn.scalar(select(parts.c.body).where(here))
            changed = None if body is None else change(bytes(body))
            if changed is not None:
                with self._db.write() as conn:
                    conn.execute(update(parts).where(here).values(size=changed[0], body=changed[1]))

    # -- for the worker that runs jobs

    def claim(self, worker: str) -> Job | None:
        """The next job, if none of the kind runs: the oldest that waits, or one whose worker has died."""
        with self._db.read() as conn:  # most looks find nothing to do
            if not conn.scalar(select(func.count()).where(self._open)):
                self._seen.clear()
                return None
        with self._db.write() as conn:
            self._lock(conn)
            rows = conn.execute(select(*_WITHOUT_BODY).where(self._open).order_by(jobs.c.seq)).all()
            held = [row for row in rows if row.worker is not None]
            dead = self._dead(held)
            for row in list(dead):
                if row.status == "cancelled" or row.epoch >= TRIES:
                    self._let_go(conn, row)
                    dead.remove(row)
                    held.remove(row)
            if len(dead) < len(held):
                return None
            found = dead or [row for row in rows if row.status == "queued"]
            return self._begin(conn, found[0], worker) if found else None

    @property
    def _open(self) -> Any:
        return (jobs.c.kind == self.kind) & (jobs.c.status.in_(status.WANTED) | jobs.c.worker.is_not(None))

    def _dead(self, held: list[Row[Any]]) -> list[Row[Any]]:
        """The rows whose beat has not changed for as long as we have seen it."""
        now = time.monotonic()
        self._seen = {place: self._seen.get(place, now) for place in map(_beat_of, held)}
        return [row for row in held if now - self._seen[_beat_of(row)] >= LEASE_S]

    def _let_go(self, conn: Connection, row: Row[Any]) -> None:
        if row.status == "running":
            message = f"{TRIES} workers died while they ran it"
            status.end(conn, row.id, row.epoch, "failed", self._clock.now(), error=message)
        else:
            status.let_go(conn, row.id, row.epoch)

    def _begin(self, conn: Connection, row: Row[Any], worker: str) -> Job:
        conn.execute(delete(parts).where(parts.c.job == row.id))
        epoch = status.begin(conn, row.id, worker, self._clock.now())
        body = conn.scalar(select(jobs.c.body).where(jobs.c.id == row.id))
        return Job(row.id, epoch, bytes(body or b""))

    def wanted(self, job: Job) -> bool:
        """Whether the job is still ours and was not cancelled."""
        query = select(jobs.c.id).where(
            jobs.c.id == job.id, jobs.c.epoch == job.epoch, jobs.c.status == "running"
        )
        with self._db.read() as conn:
            return conn.scalar(query) is not None

    def beat(self, job: Job, progress: float) -> None:
        """Show that the job's worker is alive, and how far it is. Raises `Fenced`."""
        with self._db.write() as conn:
            self._advance(conn, job, progress)

    def add_part(self, job: Job, series: str, seq: int, count: int, body: bytes) -> None:
        """Store the next part of a result. Raises `Fenced`."""
        with self._db.write() as conn:
            self._advance(conn, job)
            row = {"job": job.id, "series": series, "seq": seq, "size": count, "body": body}
            conn.execute(insert(parts).values(row))

    def _advance(self, conn: Connection, job: Job, progress: float | None = None) -> None:
        if not status.advance(conn, job.id, job.epoch, progress):
            raise self._fenced(job)

    def _fenced(self, job: Job) -> Fenced:
        return Fenced(f"the {self.kind} {job.id} was cancelled, or another worker has it")

    def finish(self, job: Job, result: bytes) -> None:
        """The job is done. Raises `Fenced`."""
        with self._db.write() as conn:
            if not status.end(
                conn, job.id, job.epoch, "done", self._clock.now(), result=result, progress=1.0
            ):
                raise self._fenced(job)

    def fail(self, job: Job, message: str) -> None:
        """The job cannot be done. Raises `Fenced`."""
        with self._db.write() as conn:
            if not status.end(conn, job.id, job.epoch, "failed", self._clock.now(), error=message):
                raise self._fenced(job)
            conn.execute(delete(parts).where(parts.c.job == job.id))

    def put_back(self, job: Job) -> None:
        """This worker stops: another one may start the job again."""
        with self._db.write() as conn:
            status.put_back(conn, job.id, job.epoch)

    def release(self, job: Job) -> None:
        """The process of a job that was cancelled has ended."""
        with self._db.write() as conn:
            status.let_go(conn, job.id, job.epoch)

    def _lock(self, conn: Connection) -> None:
        """Let nobody else count or claim among these jobs until the end of the transaction."""
        if conn.dialect.name == "postgresql":
            number = crc32(f"jobs {self.kind}".encode())
            conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": number})


def _beat_of(row: Row[Any]) -> tuple[str, int, int]:
    return row.id, row.epoch, row.beat


def _view(row: Row[Any]) -> JobView:
    shown = _decode(row.shown) | (_decode(row.result) if row.result is not None else {})
    return JobView(row.id, row.status, row.progress, shown, row.error, row.created_at)
