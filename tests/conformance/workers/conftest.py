"""Both stacks for a worker: the embedded log with SQLite, and Kafka with PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import select

from backbone import database
from backbone.database import Database
from backbone.log import DEAD_LETTERS, EVENTS, Entry, Log, Record
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import load_settings
from deploy.local.process import wait_until
from tests.conformance.log.conftest import PARTITIONS, kafka_twin
from tests.conformance.workers import counting
from tests.conformance.workers.counting import OWNERSHIP, CountingRow, CountingWorker

WAIT_S = 60.0  # how long a test waits at most, not the time it should take
KEYS = [f"k{number}" for number in range(20)]  # enough for every partition to have some

T = TypeVar("T")


@dataclass
class Stack:
    """A log, a database, their workers, and the posted records; `outage` takes the database away for a while."""

    log: Log
    db: Database
    outage: Callable[[], AbstractContextManager[None]]
    posted: Counter[str] = field(default_factory=Counter)
    workers: list[CountingWorker] = field(default_factory=list)

    def worker(self, **options: str) -> CountingWorker:
        """A worker that has not been started."""
        self.workers.append(CountingWorker(self.db, self.log, **options))
        return self.workers[-1]

    def started(self) -> CountingWorker:
        worker = self.worker()
        worker.start()
        return worker

    def post(self, times: int = 5, keys: Sequence[str] = KEYS) -> None:
        entries = [Entry(key=key, value=b"x") for _ in range(times) for key in keys]
        self.log.append(EVENTS, entries).result(30)
        self.posted.update(str(entry.key) for entry in entries)

    def counted(self) -> Counter[str]:
        """The stored count of each key."""
        with self.db.read() as conn:
            rows = conn.execute(select(counting.counts.c.key, counting.counts.c.n)).all()
        return Counter(dict(map(tuple, rows)))

    def rows(self) -> dict[int, CountingRow]:
        with self.db.read() as conn:
            return OWNERSHIP.positions(conn)

    def until(self, what: str, check: Callable[[], T | None]) -> T:
        return wait_until(what, check, WAIT_S)

    def until_counted(self) -> None:
        """Wait until all posted records are stored, and check that none was counted twice.

        The stored offsets must be the log's ends.
        """

        def whole() -> bool:
            places = {number: row.next_offset for number, row in self.rows().items()}
            return places == self.log.end_offsets(EVENTS)

        self.until("counting everything", whole)
        assert self.counted() == self.posted

    def dead_letters(self) -> list[Record]:
        return [record for p in range(PARTITIONS) for record in self.log.read(DEAD_LETTERS, p, 0, 1000)]

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.log.close()
        self.db.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Have another process take SQLite's lock: reads go on, but no write does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@contextmanager
def _shut(server_url: str, name: str) -> Iterator[None]:
    """Have PostgreSQL end all connections to a database and accept no new ones."""
    plain = server_url.replace("+psycopg", "", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        quoted = psycopg.sql.Identifier(name)
        allow = psycopg.sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(quoted, psycopg.sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            connection.execute(allow.format(quoted, psycopg.sql.SQL("true")))


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def stack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Both stacks in turn, with four partitions."""
    log: Log
    outage: Callable[[], AbstractContextManager[None]]
    if request.param == "embedded":
        monkeypatch.setattr(database, "BUSY_S", 0.2)
        path = tmp_path / "touchline.db"
        log, url, outage = EmbeddedLog(tmp_path, PARTITIONS), f"sqlite:///{path}", lambda: _locked(path)
    else:
        url = request.getfixturevalue("fresh_postgres_url")
        server, name = request.getfixturevalue("postgres_server_url"), url.rpartition("/")[2]
        log = kafka_twin(request.getfixturevalue("kafka_server").bootstrap_servers).open()
        outage = lambda: _shut(server, name)  # noqa: E731
    made = Stack(log, Database(load_settings(database_url=url).url), outage)
    counting.metadata.create_all(made.db.engine)
    yield made
    made.close()
