"""Logs on a terminal show what others wrote, and nothing of it steers the terminal."""

import logging
import re
from collections.abc import Iterator

import pytest

from backbone.telemetry import configure_logging, get_logger

HOSTILE = "\x1b[2Jacme\x07\u202e"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_names_in_logs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format="pretty")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        get_logger("test").exception("it failed", account=HOSTILE)
    said = capsys.readouterr().err
    assert "it failed" in said
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)  # the log's own colours
    assert plain.count("acme") == 1  # what an error quotes stays out
    assert all(character.isprintable() or character == "\n" for character in plain)
