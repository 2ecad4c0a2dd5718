"""The limits of an append, the same on every backend: how large a record may be, and which append it may follow."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

from backbone.log.records import (
    MAX_HEADER_BYTES,
    MAX_RECORD_BYTES,
    Entry,
    Headers,
    LogUnavailable,
    Place,
    RecordTooLarge,
)

APPEND_BYTES = 4 << 20  # bytes of one append, for callers with many records
RECORD_OVERHEAD = 200  # bytes that a record takes in memory beside its value, roughly
_SHORT_KEY = 1024  # characters

Item = TypeVar("Item")


def checked_size(entries: Sequence[Entry]) -> int:
    """Bytes of memory these take, roughly. Raises `RecordTooLarge`, naming the entry."""
    size = RECORD_OVERHEAD * len(entries)
    fitting: Headers = ()  # with any short key; mostly the same object in all entries: looked at once
    for index, entry in enumerate(entries):
        length, key = len(entry.value), entry.key
        size += length
        if length > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"entry {index}: {length} bytes, the log takes {MAX_RECORD_BYTES}")
        if entry.headers is fitting and (key is None or len(key) <= _SHORT_KEY):
            continue
        head = _checked_head(index, entry)
        size += head
        if head <= MAX_HEADER_BYTES - 4 * _SHORT_KEY:
            fitting = entry.headers
    return size


def _checked_head(index: int, entry: Entry) -> int:
    size = 4 * len(entry.key or "") + sum(len(name) + len(value) for name, value in entry.headers)
    if size > MAX_HEADER_BYTES:
        raise RecordTooLarge(f"entry {index}: key and headers exceed {MAX_HEADER_BYTES} bytes")
    return size


def check_followed(after: Future[list[Place]] | None) -> None:
    """Raises `LogUnavailable` if the append that another is to follow has failed.

    Called when an append is accepted. One that fails later also fails all that were accepted after it.
    """
    if after is not None and after.done() and (after.cancelled() or after.exception() is not None):
        raise LogUnavailable("what this was to follow has not been written")


def memory_of(entry: Entry) -> int:
    """Bytes that an entry takes, roughly."""
    return len(entry.value) + RECORD_OVERHEAD


def chunked(
    items: Iterable[Item], size: Callable[[Item], int], limit: int = APPEND_BYTES
) -> Iterator[list[Item]]:
    """Parts of about `limit` bytes, in order: what is appended at once has to be delivered at once."""
    part: list[Item] = []
    taken = 0
    for item in items:
        part.append(item)
        taken += size(item)
        if taken >= limit:
            yield part
            part, taken = [], 0
    if part:
        yield part
