"""A backup of the data folder, taken while events flow; then a store is lost, put back, and gone on with."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import Server, items, running
from tests.e2e.stack import until
from tests.e2e.workload import START, batches, configure, events, post

ACCOUNTS, EVENTS = 20, 1_500
SETTINGS = {"CLOCK": "log", "PARTITIONS": "4", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
NOWHERE = "http://127.0.0.1:9/"  # nobody listens: webhooks stay to be done
Batches = list[list[dict[str, Any]]]


def all_batches() -> Batches:
    return list(batches(events(3, EVENTS, range(ACCOUNTS), days=6), 30))


def backup(server: Server, target: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "backup", str(target)],
        env={**os.environ, "TOUCHLINE_DATA_DIR": str(server.folder / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def found(client: httpx.Client) -> dict[str, list[tuple[Any, ...]]]:
    """What was decided and played; without ids, which name places that differ between two logs."""
    triggers, plays = items(client, "/v1/triggers"), items(client, "/v1/plays")
    tasks = items(client, "/v1/tasks")
    return {
        "triggers": sorted(
            (one["rule"], one["account"], one["at"], one["event_id"] or "") for one in triggers
        ),
        "plays": sorted(
            (one["playbook"], one["account"], one["started_at"], one["status"], one["reason"] or "")
            for one in plays
        ),
        "tasks": sorted((one["account"], one["title"], one["status"]) for one in tasks),
    }


def answered(server: Server) -> dict[str, list[tuple[Any, ...]]]:
    with server.client() as client:
        end = START.replace(day=20).isoformat()
        client.post("/v1/clock", json={"time": end}).raise_for_status()
        settle(client)
        return found(client)


def settle(client: httpx.Client) -> None:
    """Until all is decided and played; webhooks to nobody wait for their next attempt."""

    def done() -> bool:
        said = client.get("/v1/status").json()["services"]
        return bool(said["rules"]["lag"] == said["actions"]["lag"] == 0)

    until("all is decided and played", done)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    with running(tmp_path_factory.mktemp("undisturbed"), **SETTINGS) as server:
        with server.client() as client:
            configure(client, NOWHERE, ACCOUNTS)
            for batch in all_batches():
                post(client, batch)
        right = answered(server)
    assert len(right["triggers"]) > 30
    return right


@pytest.mark.parametrize("lost", ["everything", "the tables"])
@pytest.mark.timeout(200)
def test_a_lost_store_is_put_back(tmp_path: Path, undisturbed: dict[str, Any], lost: str) -> None:
    sent, folder, copy = all_batches(), tmp_path / "data", tmp_path / "backup"
    with running(tmp_path, **SETTINGS) as server:
        with server.client() as client:
            configure(client, NOWHERE, ACCOUNTS)
            for batch in sent[:20]:
                post(client, batch)
            said = backup(server, copy)  # in the midst of it
            for batch in sent[20:40]:
                post(client, batch)
        assert "touchline.db, log.db, admin.key, secret.key" in said
        assert {stat.S_IMODE(one.stat().st_mode) for one in copy.iterdir() if one.is_file()} == {0o600}
        server.kill()
        if lost == "everything":
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)
            again = sent[20:]  # what was accepted after the backup is to be sent again
        else:
            for name in ("touchline.db", "touchline.db-wal", "touchline.db-shm"):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / "delivery")
            shutil.copy(copy / "touchline.db", folder)
            again = sent[40:]  # the log has all of it
        server.start()
        with server.client() as client:
            for batch in again:
                post(client, batch)
        after = answered(server)
    for what, rows in undisturbed.items():
        assert after[what] == rows, what


def test_what_a_copy_holds(tmp_path: Path) -> None:
    """The log is not older than the tables: it holds all that they have read."""
    with running(tmp_path, **SETTINGS) as server, server.client() as client:
        configure(client, NOWHERE, ACCOUNTS)
        for number, batch in enumerate(all_batches()[:30]):
            post(client, batch)
            if number % 6 == 0:
                backup(server, tmp_path / f"copy-{number}")
    for copy in tmp_path.glob("copy-*"):
        assert not (copy / "delivery").exists()
        with (
            closing(sqlite3.connect(copy / "log.db")) as log,
            closing(sqlite3.connect(copy / "touchline.db")) as tables,
        ):
            for topic, table, place in (
                ("touchline.events", "rules_partitions", "next_offset"),
                ("touchline.events", "actions_partitions", "next_event"),
                ("touchline.triggers", "actions_partitions", "next_trigger"),
            ):
                ends = dict(log.execute("SELECT partition, next FROM lanes WHERE topic = ?", (topic,)))
                read = dict(tables.execute(f"SELECT partition, {place} FROM {table}"))
                assert all(read[partition] <= ends[partition] for partition in read)
