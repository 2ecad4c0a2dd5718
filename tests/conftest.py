"""What every test may ask for: a real Kafka and a real PostgreSQL, started when the first test needs them.

With TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS or TOUCHLINE_DATABASE_URL set when pytest starts, those servers are
used instead (a test that asks for `kafka` deletes the topics there; databases are made beside the given one).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings
from kafka.admin import KafkaAdminClient

from deploy.local.kafka import Kafka, clear_topics
from deploy.local.postgres import Postgres, create_database, drop_database

# How long an example takes says something about the machine, not about the code.
settings.register_profile("touchline", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "touchline")

_GIVEN = {name: value for name, value in os.environ.items() if name.startswith("TOUCHLINE_")}


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> Iterator[None]:
    """No test reads TOUCHLINE_* of the shell by accident; those are for the servers below alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _GIVEN:
            patch.delenv(name, raising=False)
        yield


# The quick ones first, so that a run that fails fails soon.
_ORDER = ("house", "unit", "oracle", "conformance", "scenarios", "services", "e2e", "chaos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the rooms of tests; within a room the order stays, so that module fixtures live once."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(here).parts[0] if here in item.path.parents else ""
        return _ORDER.index(room) if room in _ORDER else len(_ORDER)

    items.sort(key=rank)


class KafkaServer(Protocol):
    """What tests use of a broker; deploy.local.kafka.Kafka has more (kill9, restart)."""

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
    """One broker for the whole run; tests that share it use topics of their own, or ask for `kafka`."""
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
    """A function that makes an empty PostgreSQL database and returns its address; dropped at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(f"touchline_test_{uuid.uuid4().hex[:12]}")
        create_database(postgres_server_url, made[-1])
        return f"{postgres_server_url.rpartition('/')[0]}/{made[-1]}"

    yield make
    for name in made:
        drop_database(postgres_server_url, name)


@pytest.fixture(scope="module")
def postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database for this module."""
    return new_database()


@pytest.fixture
def fresh_postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database for this test."""
    return new_database()
