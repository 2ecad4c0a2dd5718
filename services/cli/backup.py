"""`touchline backup`: a copy of the data folder that belongs together, taken beside a running server or without one."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from backbone.errors import ConfigurationError
from backbone.private_files import open_private, private_database, private_folder
from backbone.settings import Settings

KEYS = ("admin.key", "secret.key")
LOCK = "log.lock"  # held by the process that serves


def backup(settings: Settings, target: Path) -> list[str]:
    """Copy tables, log, keys and mails into a new folder, whole or not at all. Returns what was copied,
    in that order.

    The log is copied after the tables, so that it holds everything they have read. Delivery journals are left
    out on purpose: they belong to the moment, and a later one would say that a mail which had left had not.
    Raises `ConfigurationError` where there is nothing to copy, or a copy is damaged.
    """
    sources = _sources(settings)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} is there already: name a folder that is not, or is empty")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    private_folder(draft)
    try:
        with _alone_or_beside(settings.data_dir) as alone:
            for name, path in sources:
                _copy_database(path, draft / name, alone=alone)
        copied = [name for name, _ in sources]
        copied += [name for name in KEYS if _copy(settings.data_dir / name, draft / name)]
        copied += _mails(settings.data_dir / "outbox", draft / "outbox")
        if target.exists():
            target.rmdir()
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return copied


def _sources(settings: Settings) -> list[tuple[str, Path]]:
    """The databases to copy, the tables first."""
    if not settings.url.startswith("sqlite"):
        raise ConfigurationError(
            "the tables are in PostgreSQL: take a pg_dump of it (docs/operations.md, Backup and restore)"
        )
    found = [("touchline.db", Path(str(make_url(settings.url).database)))]
    if settings.embedded:
        found.append(("log.db", settings.data_dir / "log.db"))
    for _, path in found:
        if not path.is_file():
            raise ConfigurationError(f"{path} is not there: nothing to back up")
    return found


@contextmanager
def _alone_or_beside(folder: Path) -> Iterator[bool]:
    """Whether no server uses this folder; if so, none can start meanwhile."""
    descriptor = open_private(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        alone = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def _copy_database(path: Path, copy: Path, *, alone: bool) -> None:
    """One snapshot by SQLite's backup. Beside a server the file is only read, since the server is its one writer."""
    private_database(copy)
    mode = "rw" if alone else "ro"
    try:
        with (
            closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)
            ) as source,
            closing(sqlite3.connect(copy)) as made,
        ):
            source.backup(made)
            made.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it
            (found,) = made.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be copied: {error}") from error
    if found != "ok":
        raise ConfigurationError(f"{path} is damaged, and so would be its copy: {found}")


def _copy(path: Path, copy: Path) -> bool:
    """Copy a file, if it is there."""
    with suppress(FileNotFoundError), path.open("rb") as source:
        descriptor = open_private(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as made:
            shutil.copyfileobj(source, made)
            made.flush()
            os.fsync(made.fileno())
        return True
    return False


def _mails(folder: Path, copies: Path) -> list[str]:
    found = sorted(folder.glob("*.eml")) if folder.is_dir() else []
    if not found:
        return []
    private_folder(copies)
    return [f"outbox/{path.name}" for path in found if _copy(path, copies / path.name)]
