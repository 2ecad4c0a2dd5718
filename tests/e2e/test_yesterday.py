"""Data of an earlier version, in the middle of everything: opened, its stored states read, and gone on with."""

from __future__ import annotations

import json
import lzma
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.database import Database
from backbone.migrations import migrate_all
from deploy.local.postgres import tool
from tests.e2e.server import Server, items, running

FOLDER = Path(__file__).parent / "yesterday"
SETTINGS = {"CLOCK": "log", "PARTITIONS": "4"}
SECRET = "a secret of sixteen letters"
EXPECTED: dict[str, Any] = json.loads(lzma.decompress((FOLDER / "expected.json.xz").read_bytes()))


def unpack(name: str, folder: Path) -> None:
    with tarfile.open(FOLDER / name) as archive:
        archive.extractall(folder, filter="data")


def found(client: httpx.Client) -> dict[str, list[list[Any]]]:
    triggers, plays = items(client, "/v1/triggers"), items(client, "/v1/plays")
    return {
        "triggers": sorted(
            [one["id"], one["rule"], one["account"], one["at"], one["event_id"]] for one in triggers
        ),
        "plays": sorted(
            [one["id"], one["playbook"], one["account"], one["status"], one["reason"]] for one in plays
        ),
    }


def gone_on_with(server: Server) -> None:
    with server.client() as client:
        before = found(client)
        assert {what: len(rows) for what, rows in before.items()} == EXPECTED["before"]
        assert [one["address"] for one in items(client, "/v1/suppressions")] == ["ann@a1.test"]
        assert len(items(client, "/v1/accounts")) == 40
        for start in range(0, len(EXPECTED["events"]), 100):
            client.post("/v1/events", json=EXPECTED["events"][start : start + 100]).raise_for_status()
        server.settle()
        after = found(client)
        for what, rows in EXPECTED["after"].items():
            lost = [row for row in rows if row not in after[what]]
            extra = [row for row in after[what] if row not in rows]
            assert (lost, extra) == ([], []), what
        assert {one["status"] for one in items(client, "/v1/rules")} == {"active", "shadow"}


def test_a_data_folder(tmp_path: Path) -> None:
    unpack("data-folder.tar.xz", tmp_path)
    with running(tmp_path, **SETTINGS) as server:
        gone_on_with(server)


@pytest.mark.postgres
def test_a_database(tmp_path: Path, fresh_postgres_url: str) -> None:
    unpack("log-folder.tar.xz", tmp_path)
    plain = fresh_postgres_url.replace("postgresql+psycopg:", "postgresql:")
    dump = lzma.decompress((FOLDER / "postgresql.sql.xz").read_bytes())
    subprocess.run(
        [tool("psql"), "-q", "-v", "ON_ERROR_STOP=1", plain],
        input=dump,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    given = {**SETTINGS, "DATABASE_URL": fresh_postgres_url, "SECRET_KEY": SECRET}
    with closing(Database(fresh_postgres_url)) as database:
        migrate_all(database)
    with running(tmp_path, **given) as server:
        gone_on_with(server)
