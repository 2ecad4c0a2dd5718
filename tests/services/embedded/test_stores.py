"""The log and the tables of one installation, and what becomes of a start with one of them lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.errors import ConfigurationError
from backbone.settings import Settings, load_settings
from services.app import running
from tests.e2e.server import items

RULE = {
    "name": "each",
    "status": "active",
    "cooldown": "0s",
    "when": {"threshold": {"event": "a", "at_least": 1}},
}


def settings(folder: Path, **given: Any) -> Settings:
    return load_settings(data_dir=folder, port=0, clock="log", partitions=2, **given)


@contextmanager
def client(folder: Path, **given: Any) -> Iterator[httpx.Client]:
    made = settings(folder, **given)
    with running(made) as (_, url):
        key = (folder / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as caller:
            yield caller


def idle(caller: httpx.Client) -> None:
    while not caller.get("/v1/status").json()["idle"]:
        pass


def lived(folder: Path) -> None:
    """A folder that has seen something."""
    with client(folder) as caller:
        caller.post("/v1/rules", json=RULE).raise_for_status()
        post(caller, 20)
        assert len(items(caller, "/v1/triggers")) == 20


def post(caller: httpx.Client, count: int, name: str = "e") -> None:
    sent = [{"type": "a", "id": f"{name}{n}", "account": f"acme{n % 4}"} for n in range(count)]
    caller.post("/v1/events", json=sent).raise_for_status()
    idle(caller)


def remove(folder: Path, name: str) -> None:
    gone = list(folder.glob(f"{name}*"))
    assert gone
    for path in gone:
        path.unlink()


def refused(folder: Path, **given: Any) -> str:
    with pytest.raises(ConfigurationError) as caught, running(settings(folder, **given)):
        pass
    return caught.value.message


def test_a_start_again_is_none_of_this(tmp_path: Path) -> None:
    lived(tmp_path)
    with client(tmp_path) as caller:
        post(caller, 5, "more")
        assert len(items(caller, "/v1/triggers")) == 25


def test_a_log_that_was_lost(tmp_path: Path) -> None:
    lived(tmp_path)
    remove(tmp_path, "log.db")
    for given in ({}, {"accept_loss": "tables"}):
        message = refused(tmp_path, **given)
        assert message.startswith("log.db is not the log that touchline.db has read")
        assert "TOUCHLINE_ACCEPT_LOSS=log" in message
    with client(tmp_path, accept_loss="log") as caller:
        post(caller, 7, "new")
        assert len(items(caller, "/v1/triggers")) == 27
    with client(tmp_path) as caller:  # once is enough
        post(caller, 1, "last")
        assert len(items(caller, "/v1/triggers")) == 28


def test_tables_that_were_lost(tmp_path: Path) -> None:
    lived(tmp_path)
    remove(tmp_path, "touchline.db")
    for given in ({}, {"accept_loss": "log"}):
        message = refused(tmp_path, **given)
        assert message.startswith("touchline.db is new, and log.db is not")
        assert "TOUCHLINE_ACCEPT_LOSS=tables" in message
    with client(tmp_path, accept_loss="tables") as caller:
        idle(caller)
        assert items(caller, "/v1/triggers") == items(caller, "/v1/rules") == []
    with client(tmp_path) as caller:
        idle(caller)


def test_a_log_of_another_installation(tmp_path: Path) -> None:
    lived(tmp_path / "one")
    lived(tmp_path / "other")
    remove(tmp_path / "one", "log.db")
    for path in (tmp_path / "other").glob("log.db*"):
        (tmp_path / "one" / path.name).write_bytes(path.read_bytes())
    assert refused(tmp_path / "one").startswith("log.db is not the log")


def test_a_log_that_is_older_than_the_tables(tmp_path: Path) -> None:
    lived(tmp_path)
    copies = {path: path.read_bytes() for path in tmp_path.glob("log.db*")}
    with client(tmp_path) as caller:
        post(caller, 20, "later")
    remove(tmp_path, "log.db")
    for path, content in copies.items():
        path.write_bytes(content)
    message = refused(tmp_path)
    assert message.startswith("the log is older than the tables: touchline.")
    assert "was read up to" in message


def test_tables_that_are_older_than_the_log_go_on(tmp_path: Path) -> None:
    """A backup of the tables: events since are read again, and decided alike."""
    lived(tmp_path)
    copies = {path: path.read_bytes() for path in tmp_path.glob("touchline.db*")}
    with client(tmp_path) as caller:
        post(caller, 20, "later")
        before = {one["id"] for one in items(caller, "/v1/triggers")}
    remove(tmp_path, "touchline.db")
    for path, content in copies.items():
        path.write_bytes(content)
    with client(tmp_path) as caller:
        idle(caller)
        assert {one["id"] for one in items(caller, "/v1/triggers")} == before
