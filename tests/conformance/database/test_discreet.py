"""What a database says of a row that it refuses does not come into the log, nor into an answer."""

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import exc, text

from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.redaction import words
from backbone.telemetry import configure_logging, get_logger

CANARY = "canary@acme.test Lee"
REFUSED = {
    "a row that is there": "INSERT INTO t (name, n) VALUES (:given, 1), (:given, 1)",
    "a row against a check": "INSERT INTO t (name, n) VALUES (:given, -1)",
    "a row without a value": "INSERT INTO t (name) VALUES (:given)",
    "a value of another type": "INSERT INTO t (name, n) VALUES (:given, CAST(CAST(:given AS TEXT) AS INTEGER) - 1)",
    "an unknown column": "SELECT nothing FROM t WHERE name = :given",
}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_row_is_not_quoted(db: Database, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format="json")
    with db.write() as connection:
        connection.execute(text("CREATE TABLE t (name TEXT UNIQUE, n INTEGER NOT NULL CHECK (n >= 0))"))
    error: Exception | None = None
    try:
        with db.write() as connection:
            connection.execute(text(REFUSED[name]), {"given": CANARY})
    except (exc.DBAPIError, DatabaseUnavailable) as found:
        error = found
        get_logger("test").exception("it failed", error=error)
    assert error is not None
    said = capsys.readouterr().err
    assert "it failed" in said
    assert "canary" not in said
    assert "canary" not in words(error)
