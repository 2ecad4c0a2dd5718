"""How large a record may be, the same on every backend."""

from collections.abc import Sequence

from backbone.log.records import MAX_HEADER_BYTES, MAX_RECORD_BYTES, Entry, RecordTooLarge

RECORD_OVERHEAD = 200  # bytes that a record takes in memory beside its value, roughly


def checked_size(entries: Sequence[Entry]) -> int:
    """Bytes of memory these take, roughly. Raises `RecordTooLarge`, naming the entry."""
    size = RECORD_OVERHEAD * len(entries)
    for index, entry in enumerate(entries):
        size += len(entry.value)
        if len(entry.value) > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"entry {index}: {len(entry.value)} bytes, the log takes {MAX_RECORD_BYTES}")
        if entry.headers or (entry.key is not None and len(entry.key) > 1024):
            size += _checked_head(index, entry)
    return size


def _checked_head(index: int, entry: Entry) -> int:
    size = 4 * len(entry.key or "") + sum(len(name) + len(value) for name, value in entry.headers)
    if size > MAX_HEADER_BYTES:
        raise RecordTooLarge(f"entry {index}: key and headers exceed {MAX_HEADER_BYTES} bytes")
    return size
