"""Logs quote no data: whatever failed, whoever raised it, and however it comes into the log."""

import asyncio
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
import msgspec
import pytest
from pydantic import BaseModel
from sqlalchemy import create_engine, text

from backbone.errors import DatabaseUnavailable, TouchlineError
from backbone.redaction import trace, without_addresses, words
from backbone.telemetry import configure_logging, get_logger

CANARY = "canary Lee"
ADDRESS = "canary@acme.test"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:], root.level = before
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


class Model(BaseModel):
    n: int


def _pydantic() -> None:
    Model.model_validate({"n": CANARY})


def _chained() -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise DatabaseUnavailable("the database cannot be used now") from error


def _grouped() -> None:
    raise ExceptionGroup(CANARY, [ValueError(CANARY), ExceptionGroup("inner", [KeyError(CANARY)])])


def _noted() -> None:
    error = ValueError("x")
    error.add_note(CANARY)
    raise error


def _parameters() -> None:
    with create_engine("sqlite://", hide_parameters=True).connect() as connection:
        connection.execute(text("SELECT * FROM nothing WHERE a = :a"), {"a": CANARY})


def _cell() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("SELECT CAST(? AS TEXT)", (CANARY.encode() + b"\xff",)).fetchall()


def _raise(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


FAILURES: dict[str, Callable[[], Any]] = {
    "a missing key": lambda: {}[CANARY],
    "a number that is none": lambda: int(CANARY),
    "pydantic": _pydantic,
    "msgspec": lambda: msgspec.json.decode(json.dumps(CANARY), type=int),
    "jinja": lambda: jinja2.Environment(undefined=jinja2.StrictUndefined).from_string("{{ x.y }}").render(x=CANARY),
    "bytes that are no text": lambda: (CANARY.encode() + b"\xff").decode(),
    "a cell that is no text": _cell,
    "parameters": _parameters,
    "a chain": _chained,
    "a group": _grouped,
    "a note": _noted,
    "an answer of a mail server": _raise(RuntimeError(f"550 5.1.1 <{ADDRESS}>: {CANARY} is unknown here")),
    "a file": _raise(FileNotFoundError(2, "No such file", f"/outbox/{ADDRESS}")),
}  # fmt: skip


@pytest.mark.parametrize("format", ["json", "pretty"])
@pytest.mark.parametrize("name", FAILURES)
def test_errors_quote_nothing(name: str, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format=format)
    log = get_logger("test")
    try:
        FAILURES[name]()
    except Exception as error:
        log.exception("it failed")
        log.warning("it failed", error=error, more={"errors": [error]})
        logging.getLogger("other").error("it failed", exc_info=error)
    said = capsys.readouterr().err
    assert said.count("it failed") == 3
    assert "canary" not in said
    assert "test_redaction.py" in said  # where it happened is told


def test_debug_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    try:
        int(CANARY)
    except ValueError:
        get_logger("test").exception("it failed")
    assert CANARY in capsys.readouterr().err


def test_what_nobody_caught(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format="json")
    thread = threading.Thread(target=_raise(ValueError(CANARY)))
    thread.start()
    thread.join()
    error = ValueError(CANARY)
    sys.excepthook(ValueError, error, None)

    async def forget() -> None:
        async def fail() -> None:
            raise ValueError(CANARY)

        task = asyncio.create_task(fail())
        await asyncio.wait({task})
        del task

    asyncio.run(forget())
    said = capsys.readouterr().err
    assert said.count('"uncaught"') == 2
    assert "never retrieved" in said
    assert "canary" not in said


def test_addresses_are_marks_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format="json")
    logging.getLogger("other").warning("refused %s", f"<{ADDRESS}>")
    get_logger("test").info(
        f"to {ADDRESS}", detail=f"550 {ADDRESS}: no", many=[{"to": ADDRESS}], n=1, no=None
    )
    said = capsys.readouterr().err
    assert "canary" not in said
    assert said.count("<address>") == 4
    assert json.loads(said.splitlines()[1])["n"] == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseUnavailable("the database is away"), "the database is away"),
        (TouchlineError(), "Internal error"),
        (KeyError("x"), "KeyError"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (sqlite3.OperationalError("database is locked"), "OperationalError: database is locked"),
        (
            sqlite3.IntegrityError("UNIQUE constraint failed: actions.id"),
            "IntegrityError: UNIQUE constraint failed: actions.id",
        ),
        (sqlite3.OperationalError(f"Could not decode to UTF-8 column 'x' with text '{CANARY}'"), "OperationalError"),
    ],
)  # fmt: skip
def test_what_is_about_the_machine_is_told(error: BaseException, expected: str) -> None:
    assert words(error) == expected
    assert expected.rpartition(": ")[2] in trace(error)


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert trace(first).count("ValueError") == 2


@pytest.mark.parametrize("plain", ["a@", "@b", "user@", "1 @ 2", "no address"])
def test_what_is_no_address_stays(plain: str) -> None:
    assert without_addresses(plain) == plain
