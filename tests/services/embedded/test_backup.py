"""`touchline backup`: whole or not at all, and only of what it can copy."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from backbone.errors import ConfigurationError
from backbone.private_files import FILE
from backbone.settings import Settings, load_settings
from services.app import open_runtime
from services.cli.backup import backup


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load_settings(data_dir=tmp_path / "data")
    with open_runtime(made):
        pass
    return made


def test_of_a_stopped_server(settings: Settings, tmp_path: Path) -> None:
    (settings.data_dir / "outbox").mkdir()
    (settings.data_dir / "outbox" / "x.eml").write_text("Subject: x")
    (settings.data_dir / "outbox" / ".y.eml.tmp").write_text("half")
    (settings.data_dir / "delivery").mkdir(exist_ok=True)
    (settings.data_dir / "delivery" / "me.journal").write_text("of the moment")
    (tmp_path / "copy").mkdir()
    before = os.umask(0)
    try:
        copied = backup(settings, tmp_path / "copy")
    finally:
        os.umask(before)
    assert copied == ["touchline.db", "log.db", "admin.key", "secret.key", "outbox/x.eml"]
    files = [one for one in (tmp_path / "copy").rglob("*") if one.is_file()]
    assert sorted(str(one.relative_to(tmp_path / "copy")) for one in files) == sorted(copied)
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {FILE}
    with open_runtime(load_settings(data_dir=tmp_path / "copy")) as rooms:
        assert rooms.new_admin_key is None


def test_beside_a_server(settings: Settings, tmp_path: Path) -> None:
    with open_runtime(settings):
        assert backup(settings, tmp_path / "copy")[:2] == ["touchline.db", "log.db"]


def test_what_is_there_is_not_overwritten(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").touch()
    with pytest.raises(ConfigurationError, match="is there already"):
        backup(settings, tmp_path / "copy")
    assert [one.name for one in (tmp_path / "copy").iterdir()] == ["mine"]


def test_a_damaged_database_gives_no_backup(settings: Settings, tmp_path: Path) -> None:
    path = settings.data_dir / "touchline.db"
    data = bytearray(path.read_bytes())
    for place in range(4_096, len(data), 4_096):
        data[place : place + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"touchline\.db"):
        backup(settings, tmp_path / "copy")
    assert [one.name for one in tmp_path.iterdir()] == ["data"]


def test_where_there_is_nothing_to_copy(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigurationError, match="nothing to back up"):
        backup(load_settings(data_dir=tmp_path / "data"), tmp_path / "copy")
    given = load_settings(data_dir=tmp_path, database_url="postgresql://x@127.0.0.1/x")
    with pytest.raises(ConfigurationError, match="pg_dump"):
        backup(given, tmp_path / "copy")
