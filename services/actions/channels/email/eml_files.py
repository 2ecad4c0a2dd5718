"""The transport without a server: each mail becomes an `.eml` file, which is whole or not there at all."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from backbone.private_files import open_private, private_folder
from services.actions.channels.email.message import Envelope
from services.actions.plays.retry_policy import Outcome

OUTBOX = "outbox"  # in the data folder


class EmlFolder:
    """Writes mails to a folder. Sending an action again overwrites its file, so there is never a second copy."""

    idempotent, marks_effect = True, False
    concurrency = per_domain = 200  # these are our own files: there is no server to spare
    trouble = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self, action: str, due_at: int, envelope: Envelope) -> "EmlFile":
        """A mail for this folder; `due_at` (microseconds) orders the files."""
        return EmlFile(self._folder / file_name(action, due_at), envelope)

    async def close(self) -> None:
        """Nothing to close."""


def file_name(action: str, due_at: int) -> str:
    """The name of a mail's file."""
    moment = datetime.fromtimestamp(due_at // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{action}.eml"


def remove(folder: Path, action: str, due_at: int) -> None:
    """Remove a mail's file, if there is one, and any draft of it that a process left when it died."""
    path = folder / file_name(action, due_at)
    path.unlink(missing_ok=True)
    _draft(path).unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


class EmlFile:
    """One mail on its way to its file."""

    def __init__(self, path: Path, envelope: Envelope) -> None:
        self._path = path
        self._envelope = envelope

    async def send(self, begun_at: int) -> Outcome:
        """Write the file; a full disk is a temporary failure."""
        try:
            await asyncio.to_thread(self._write, await self._envelope.whole(begun_at))
        except OSError as error:
            return Outcome(
                kind="temporary", reason="unreachable", detail=f"{self._path.name}: {error.strerror}"
            )
        return Outcome(kind="done", detail=self._path.name)

    async def drop(self) -> None:
        """Nothing to undo: nothing was written."""

    def _write(self, message: bytes) -> None:
        private_folder(self._path.parent)
        draft = _draft(self._path)
        descriptor = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
