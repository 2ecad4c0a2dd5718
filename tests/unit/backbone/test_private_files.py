"""Nothing that is kept on this machine is for other users, whatever was there before and whatever the umask says."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from backbone.data_folder import make_data_dir
from backbone.database import Database
from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from backbone.private_files import open_private, private_folder, tighten
from backbone.settings import load_settings
from services.actions.channels.email.eml_files import EmlFile
from services.actions.channels.email.message import Envelope
from services.actions.delivery.journal import Journal
from services.app import open_runtime

LOOSE = 0o666


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def readable_to_others(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in (folder, *folder.rglob("*"))
        if mode(path) != (0o700 if path.is_dir() else 0o600)
    )


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_folder_and_the_missing_ones_above_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_folder(tmp_path / "a" / "b")
    assert (mode(tmp_path), mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o755, 0o700, 0o700)
    (tmp_path / "a" / "b").chmod(0o2775)
    private_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        private_folder(tmp_path / "file")


def test_a_folder_that_is_shared_on_purpose_stays_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    private_folder(tmp_path)
    assert mode(tmp_path) == 0o1777


def test_a_file_new_or_old(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.close(open_private(path, os.O_WRONLY | os.O_CREAT))
    assert mode(path) == 0o600
    path.chmod(0o444)
    os.close(open_private(path, os.O_RDONLY))
    assert mode(path) == 0o400


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    ours = [
        "touchline.db",
        "log.db-wal",
        "admin.key",
        ".secret.key.ab12",
        "outbox/x.eml",
        "delivery/1.journal",
    ]
    others = ["notes.txt", "touchline.db.old", "outbox/readme", "delivery/x", "mine/log.db"]
    for name in [*ours, *others]:
        (tmp_path / name).parent.mkdir(exist_ok=True, mode=0o777)
        (tmp_path / name).touch(mode=LOOSE)
    (tmp_path / "elsewhere").touch(mode=LOOSE)
    (tmp_path / "secret.key").symlink_to(tmp_path / "elsewhere")
    tighten(tmp_path)
    assert [name for name in ours if mode(tmp_path / name) != 0o600] == []
    assert [name for name in others if mode(tmp_path / name) != LOOSE] == []
    assert mode(tmp_path / "elsewhere") == LOOSE
    assert [mode(tmp_path / name) for name in ("outbox", "delivery", "mine")] == [0o700, 0o700, 0o777]


def test_what_belongs_to_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "log.db").touch(mode=LOOSE)
    monkeypatch.setattr(Path, "chmod", refused)
    with capture_logs() as told:
        tighten(tmp_path)
    assert [(one["event"], one["path"]) for one in told] == [
        ("others may read this", str(tmp_path / "log.db"))
    ]


def test_a_database_anywhere(tmp_path: Path) -> None:
    for name in ("x.db", "x.db-wal"):
        (tmp_path / name).touch(mode=LOOSE)
    db = Database(f"sqlite:///{tmp_path}/x.db")
    with db.write() as connection:
        connection.exec_driver_sql("CREATE TABLE things (name TEXT)")
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == dict.fromkeys(
        ("x.db", "x.db-wal", "x.db-shm"), 0o600
    )
    db.close()


def test_a_log(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "data", 1)
    wait([log.append(EVENTS, [Entry(b"x")])])
    assert readable_to_others(tmp_path / "data") == []
    log.close()


@pytest.mark.parametrize("before", ["nothing", "loose"])
def test_a_data_folder_in_use(tmp_path: Path, before: str) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    with open_runtime(settings):
        pass
    if before == "loose":
        for path in (settings.data_dir, *settings.data_dir.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    with open_runtime(settings):
        assert {"touchline.db-wal", "log.db-wal", "log.lock", "admin.key", "secret.key"} <= {
            path.name for path in settings.data_dir.iterdir()
        }
        assert readable_to_others(settings.data_dir) == []


def test_journals_and_mails(tmp_path: Path) -> None:
    for folder, left in (("delivery", "me.new"), ("outbox", ".x.eml.tmp")):  # by a death in the midst of it
        (tmp_path / folder).mkdir(mode=0o777)
        (tmp_path / folder / left).touch(mode=LOOSE)
    journal = Journal(tmp_path / "delivery", "me")
    mail = Envelope("a@x.test", "b@x.test", b"", b"", utf8=False)
    asyncio.run(EmlFile(tmp_path / "outbox" / "x.eml", mail).send(0))
    found = {
        path.name: mode(path) for folder in ("delivery", "outbox") for path in (tmp_path / folder).iterdir()
    }
    assert found == {"me.journal": 0o600, "x.eml": 0o600}
    assert mode(tmp_path / "delivery") == mode(tmp_path / "outbox") == 0o700
    journal.close()


def test_a_command_on_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "admin.key").touch(mode=LOOSE)
    make_data_dir(load_settings(data_dir=tmp_path))
    assert readable_to_others(tmp_path) == []
