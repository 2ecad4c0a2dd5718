"""The journal: a file of what this process sent and has not committed yet. It outlives `kill -9`.

Two facts are written, each by one `os.write`, so that only the death of the machine loses them: that an effect which
cannot be repeated is about to happen (`before_effect`), and how an attempt ended. The file is locked (`flock`) for
as long as its process lives. A process that finds an unlocked journal on its machine knows that the owner is dead,
and what became of every attempt that the owner had begun. It commits that and deletes the file (`recovery`).

A missing line proves something only within one boot of one kernel: a machine that lost its power may have lost lines.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from backbone import telemetry
from backbone.private_files import open_private, private_folder
from services.actions.plays.retry_policy import Outcome

SUFFIX, DRAFT = ".journal", ".new"
RENEW_BYTES = 1 << 20  # a longer file is written anew, without the entries that have been committed
DETAIL_CHARS = 500
_BOOT = Path("/proc/sys/kernel/random/boot_id")

log_ = telemetry.get_logger("touchline.delivery")


class JournalHead(msgspec.Struct, frozen=True):
    """The first line of a journal. `boot` is "" where the system does not tell one boot from another."""

    owner: str
    boot: str


class JournalEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line about attempt `n` at an action. Without an outcome: its effect is about to happen."""

    action: str
    n: int
    outcome: Outcome | None = None


class JournalRest(msgspec.Struct, frozen=True):
    """The journal that a dead process left. `complete`: an attempt that is not in `begun_effects` had no effect."""

    owner: str
    complete: bool
    begun_effects: frozenset[tuple[str, int]]
    ends: dict[tuple[str, int], Outcome]


_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(JournalHead).decode
_line = msgspec.json.Decoder(JournalEntry).decode


def boot_id() -> str:
    """The name of this boot of this kernel; "" where there is none."""
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return ""


class Journal:
    """The journal of this process, for use by one thread.

    If it cannot be written, it is withdrawn until it can be written again and nothing is under way. A process that
    dies without a journal is treated like one whose machine died.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self._path = folder / f"{owner}{SUFFIX}"
        self._head = _encode(JournalHead(owner, boot_id())) + b"\n"
        self._begun: dict[str, int] = {}  # attempts whose end is not committed, by action
        self._lines: dict[str, bytes] = {}  # the lines written about them
        self._size = 0
        self._file: int | None = None
        self._told = False  # whether the log says that it is withdrawn
        try:
            self._renew()
        except OSError as error:
            self._fail(error)

    def begun(self, attempts: Iterable[tuple[str, int]]) -> None:
        """Note that these attempts (action, number) are committed as begun."""
        self._begun.update(attempts)

    def before_effect(self, action: str) -> None:
        """Write that the effect of this action's attempt is about to happen; it must not happen twice.

        Raises `OSError` if it can neither write the line nor withdraw the journal: then the effect must not happen.
        """
        self._write(action, None)

    def ended(self, action: str, outcome: Outcome) -> None:
        """Write how the attempt at this action ended."""
        with suppress(OSError):  # an attempt without a known end is repeated, if its channel can do so
            self._write(action, outcome)

    def settled(self, actions: Iterable[str]) -> None:
        """Forget these actions, whose ends are committed."""
        for action in actions:
            self._begun.pop(action, None)
            self._lines.pop(action, None)

    def tidy(self) -> None:
        """Drop committed entries if that is worth it, or begin again after a withdrawal. Call it now and then."""
        if (
            self._file is None
        ):  # an attempt begun without a journal has no lines in it, as if it had had no effect
            worth = not self._begun
        else:
            worth = self._size > RENEW_BYTES or (self._size > len(self._head) and not self._lines)
        if worth:
            try:
                self._renew()
            except OSError as error:
                with suppress(OSError):
                    self._fail(error)

    def close(self) -> None:
        """Delete the file, unless something in it is not committed: that is for another process to read."""
        if self._file is not None:
            if not self._begun:
                with suppress(OSError):  # it holds nothing that its next reader would have to do
                    self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _write(self, action: str, outcome: Outcome | None) -> None:
        n = self._begun.get(action)
        if self._file is None or n is None:
            return
        if outcome is not None and not (outcome.detail.isascii() and len(outcome.detail) <= DETAIL_CHARS):
            shown = outcome.detail[:DETAIL_CHARS].encode("utf-8", "replace").decode()
            outcome = msgspec.structs.replace(outcome, detail=shown)
        line = _encode(JournalEntry(action, n, outcome)) + b"\n"
        try:
            _put(self._file, line)
        except OSError as error:
            self._fail(error)
        else:
            self._size += len(line)
            self._lines[action] = self._lines.get(action, b"") + line

    def _renew(self) -> None:
        """Write a new file with the lines that still count; lock it before it takes the old one's place."""
        draft = self._path.with_suffix(DRAFT)
        private_folder(draft.parent)
        made = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = self._head + b"".join(self._lines.values())
            _put(made, text)
            draft.replace(self._path)
        except BaseException:
            os.close(made)
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        old, self._file, self._size, self._told = self._file, made, len(text), False
        if old is not None:
            os.close(old)

    def _fail(self, error: OSError) -> None:
        """Withdraw the journal after a disk error, so that the work goes on. Raises `OSError` as `_withdraw` does."""
        if not self._told:
            log_.warning("delivery goes on without its journal", path=str(self._path), error=error)
            self._told = True
        self._withdraw()

    def _withdraw(self) -> None:
        """Remove the journal. Raises `OSError` if that cannot be done: see `before_effect`."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:  # a read-only disk raises even if there is no file
            if self._path.exists():
                raise
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _put(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError("the disk took only a part")


def read(text: bytes) -> JournalRest:
    """Read a journal; one without a readable head counts as empty. A last line that is torn is left out."""
    head, *lines = text.split(b"\n")[:-1] or [b""]
    try:
        owner = _head(head)
    except msgspec.DecodeError:
        return JournalRest("", False, frozenset(), {})
    complete = owner.boot != "" and owner.boot == boot_id()
    found: list[JournalEntry] = []
    for line in lines:
        try:
            found.append(_line(line))
        except msgspec.DecodeError:
            complete = False
    passed = frozenset((one.action, one.n) for one in found)
    ends = {(one.action, one.n): one.outcome for one in found if one.outcome is not None}
    return JournalRest(owner.owner, complete, passed, ends)


@contextmanager
def taken(path: Path) -> Iterator[JournalRest | None]:
    """A dead process's journal, locked, and deleted at the end of the block unless the block raises.

    None: its process lives, or another process has dealt with it. Raises `OSError`.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        left = _left(file)
        yield left
        if left is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(DRAFT).unlink(missing_ok=True)
    finally:
        os.close(file)


def _left(file: int) -> JournalRest | None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    if os.fstat(file).st_nlink == 0:  # renewed or dealt with since it was opened
        return None
    with os.fdopen(os.dup(file), "rb") as text:
        return read(text.read())
