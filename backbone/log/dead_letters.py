"""Dead letters: records that cannot be applied, with where they came from and why."""

from backbone.log.records import MAX_HEADER_BYTES, MAX_RECORD_BYTES, Entry, Record

ERROR_BYTES = 1_000
KEY_CHARACTERS = 1_024


def dead_letter(record: Record, error: str) -> Entry:
    """An entry for `touchline.dead-letters`: the record as it came, with headers `origin` and `error`.

    It always fits the log. Other programs may write larger records than we do: of those the beginning is
    kept, the header `truncated` gives the original size, and headers without room are left out.
    """
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    reason = error.encode("utf-8", "backslashreplace")[:ERROR_BYTES]
    headers = [("origin", origin.encode()), ("error", reason)]
    if len(record.value) > MAX_RECORD_BYTES:
        headers.append(("truncated", b"%d" % len(record.value)))
    key = None if record.key is None else record.key[:KEY_CHARACTERS]
    room = MAX_HEADER_BYTES - 4 * len(key or "") - sum(len(n) + len(v) for n, v in headers)
    kept = []
    for name, value in record.headers:
        room -= 4 * len(name) + len(value or b"")
        if room >= 0:
            kept.append((name, value or b""))
    return Entry(value=record.value[:MAX_RECORD_BYTES], key=key, headers=[*kept, *headers])
