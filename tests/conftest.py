"""Fixtures for every test: a real Kafka and a real PostgreSQL, started when the first test needs them.

With TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS or TOUCHLINE_DATABASE_URL set when pytest starts, those servers are
used instead (a test that asks for `kafka` deletes the topics there; databases are made beside the given one).
"""

from __future__ import annotations

import gc
import math
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings
from kafka.admin import KafkaAdminClient
from sqlalchemy.exc import DatabaseError

from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from deploy.local.kafka import Kafka, clear_topics
from deploy.local.postgres import Postgres, create_database, drop_database
from tests.migrated import migrated, templates
from tests.recount import check_counts

# Every run judges the same examples, so that a change is judged by what it changed; `--hypothesis-profile=new` looks
# for new ones. Neither has a deadline: the time that an example takes depends on the machine, not on the code.
settings.register_profile("new", deadline=None)
settings.load_profile("ci")

ROUTES_KEPT = 2_000  # of some twelve servers; letting them go takes the collector a while

_GIVEN = {name: value for name, value in os.environ.items() if name.startswith("TOUCHLINE_")}


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> Iterator[None]:
    """Hide the shell's TOUCHLINE_* from every test; they are only for the servers below."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _GIVEN:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _new_files_come_migrated() -> Iterator[None]:
    """Servers in the tests' processes start on an empty file without running every migration again."""
    with pytest.MonkeyPatch.context() as patch:
        if "services.app" in sys.modules:
            patch.setattr("services.app.migrate_all", migrated)
        yield


@pytest.fixture(scope="module", autouse=True)
def _apps_are_let_go() -> Iterator[None]:
    """FastAPI remembers the functions of the last 4,096 routes, and they hold their servers: gigabytes in the end."""
    yield
    known = vars(sys.modules.get("fastapi.dependencies.models", object)).values()
    caches = [one for one in known if hasattr(one, "cache_clear")]
    if any(one.cache_info().currsize > ROUTES_KEPT for one in caches):
        for one in caches:
            one.cache_clear()
        gc.collect()  # by itself it hardly ever comes to it: see backbone/gc_tuning.py


@pytest.fixture(scope="session", autouse=True)
def _counts_of_every_database() -> Iterator[None]:
    """Whenever a test closes a database, the counts in it are those of its rows, if it can be read."""
    close = Database.close

    def checked(database: Database) -> None:
        try:
            with suppress(DatabaseUnavailable, DatabaseError):
                check_counts(database)
        finally:
            close(database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "close", checked)
        yield


# What `make test` runs first comes first. Then come the rooms with the longest tests, so that no process is left alone
# with one of those at the end.
_ORDER = ("house", "unit", "e2e", "scenarios", "services", "conformance", "oracle", "chaos")

# The time budget of each room's tests together, in seconds, on a machine with two processors. It is only shown at the
# end of a run: a slow machine fails no test. With two tests at a time, all budgets add up to less than 20 minutes.
_BUDGET_S = {"house": 80, "unit": 300, "conformance": 260, "scenarios": 80, "services": 660, "e2e": 880}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by room. Within a room the order stays, so that each module fixture is made once."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(here).parts[0] if here in item.path.parents else ""
        return _ORDER.index(room) if room in _ORDER else len(_ORDER)

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the time that each room of tests took beside its budget."""
    took: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                room = report.nodeid.split("/")[1]
                took[room] += report.duration
                number[room] += report.when == "call"
    if took.keys() & _BUDGET_S.keys():
        terminalreporter.section("time by room")
        for room in sorted(took, key=_ORDER.index):
            over = "  over its budget" if took[room] > _BUDGET_S.get(room, math.inf) else ""
            terminalreporter.line(
                f"{room:12} {number[room]:6} tests {took[room]:6.0f} s of {_BUDGET_S.get(room, math.inf):4.0f}{over}"
            )


class KafkaServer(Protocol):
    """The part of a broker that tests use; deploy.local.kafka.Kafka has more (kill9, restart)."""

    @property
    def bootstrap_servers(self) -> str: ...

    def clear(self, timeout_s: float = 30.0) -> None: ...


@dataclass(frozen=True)
class GivenKafka:
    """A broker that somebody else runs."""

    bootstrap_servers: str

    def clear(self, timeout_s: float = 30.0) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            clear_topics(admin, timeout_s)
        finally:
            admin.close()


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """One broker for the whole run. Tests that share it use topics of their own, or ask for `kafka`."""
    if given := _GIVEN.get("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS"):
        yield GivenKafka(given)
        return
    with Kafka(quick=True) as server:
        yield server


@pytest.fixture
def kafka(kafka_server: KafkaServer) -> KafkaServer:
    """The broker with no topics on it."""
    kafka_server.clear()
    return kafka_server


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """The address of a database on a server where databases may be created."""
    if given := _GIVEN.get("TOUCHLINE_DATABASE_URL"):
        yield given
        return
    with Postgres() as server:
        yield server.url()


@pytest.fixture(scope="session")
def new_database(postgres_server_url: str) -> Iterator[Callable[[], str]]:
    """A function that makes an empty PostgreSQL database and returns its address. On a server that was given they
    are dropped at the end; one of our own goes as a whole."""
    made: list[str] = []

    def make() -> str:
        made.append(f"touchline_test_{uuid.uuid4().hex[:12]}")
        create_database(postgres_server_url, made[-1])
        return f"{postgres_server_url.rpartition('/')[0]}/{made[-1]}"

    yield make
    for name in (*made, *templates()) if _GIVEN.get("TOUCHLINE_DATABASE_URL") else ():
        drop_database(postgres_server_url, name)


@pytest.fixture(scope="module")
def postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database for this module."""
    return new_database()


@pytest.fixture
def fresh_postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database for this test."""
    return new_database()
