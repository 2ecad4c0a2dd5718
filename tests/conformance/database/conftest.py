"""Every test here runs on both databases: SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone.database import Database
from backbone.settings import load_settings


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    given = (
        f"sqlite:///{tmp_path / 'x.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("fresh_postgres_url"))
    )
    return load_settings(database_url=given).url


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """That database, open."""
    database = Database(url)
    yield database
    database.close()
