"""Files and folders that only this user may read, whatever they were before and whatever the umask says."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from backbone.telemetry import get_logger

FOLDER, FILE, OTHERS = 0o700, 0o600, 0o077
SIDES = ("-wal", "-shm", "-journal")  # suffixes of the files that SQLite puts beside a database
# Our files in the data folder, by pattern; no others are touched.
OURS = (
    *(f"{name}{side}" for name in ("touchline.db", "log.db") for side in ("", *SIDES)),
    *("log.lock", "admin.key", ".admin.key.*", "secret.key", ".secret.key.*"),
    *("server.log", "stack.json", "stack.lock"),
    *("outbox/*.eml", "outbox/.*.eml.tmp", "delivery/*.journal", "delivery/*.new"),
)
FOLDERS = ("outbox", "delivery", "demo", "stack")

log = get_logger("touchline")


def private_folder(folder: Path) -> Path:
    """A folder for this user only; the levels above it that are missing are made likewise. Raises `OSError`."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):  # made by another process meanwhile
            one.mkdir(mode=FOLDER)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    _tighten(folder)
    return folder


def open_private(path: Path, flags: int) -> int:
    """As `os.open`, for a file that only this user may read, be it new or not; its descriptor. Raises `OSError`."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE)
    if os.fstat(descriptor).st_mode & OTHERS:
        _tighten(path)
    return descriptor


def private_database(path: Path) -> None:
    """Make an SQLite file, or tighten it and those beside it. SQLite gives new ones the mode of the database.

    If the file cannot be made, it is left to SQLite, which says why. One that is there is never opened: to close it
    would drop the locks that this process has on it, and the next process to leave would take the write-ahead file
    for nobody's and delete it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(OSError):
        os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    for side in ("", *SIDES):
        beside = path.with_name(path.name + side)
        if _is_file(beside):
            _tighten(beside)


def tighten(folder: Path) -> None:
    """Make the data folder unreadable to others: the files and folders in it that are ours, and no others."""
    for path in _ours(folder):
        _tighten(path)


def _ours(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in FOLDERS if _is_folder(folder / name))
    for pattern in OURS:
        if _is_folder((folder / pattern).parent):
            yield from filter(_is_file, folder.glob(pattern))


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _tighten(path: Path) -> None:
    """Take all rights from others, and keep this user's. A folder that is shared on purpose, such as /tmp,
    stays as it is."""
    try:
        mode = path.stat().st_mode
        if mode & OTHERS and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
    except FileNotFoundError:  # gone meanwhile
        return
    except OSError as error:  # another user's
        log.warning("others may read this", path=str(path), error=error.strerror)
