"""The house in which the actions service is tested: on SQLite, and on PostgreSQL if a test asks for both."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.actions.kit import House


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty database; None for SQLite in the test's folder."""
    if request.param == "sqlite":
        return None
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def house(tmp_path: Path, database: str | None) -> Iterator[House]:
    """An empty house on the log clock."""
    made = House(tmp_path, url=database)
    yield made
    made.close()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes houses on SQLite, as many as a test needs."""
    made: list[House] = []

    def make(**options: Any) -> House:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(House(folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
