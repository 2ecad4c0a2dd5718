"""A dead letter always fits, whatever it was made of."""

from __future__ import annotations

from typing import Any

import pytest

from backbone.log import DEAD_LETTERS, MAX_RECORD_BYTES, Log, Record, dead_letter

MONSTERS: dict[str, dict[str, Any]] = {
    "plain": {"value": b"not json", "key": "acme", "headers": [("a", b"b")]},
    "ten megabytes": {"value": b"x" * 10_000_000, "key": None, "headers": []},
    "a long key": {"value": b"", "key": "\U0001f600" * 100_000, "headers": []},
    "large headers": {
        "value": b"{}",
        "key": "k",
        "headers": [("big", b"x" * 60_000), ("more", b"x" * 60_000)],
    },
    "many headers": {"value": b"{}", "key": "k", "headers": [(f"h{n}", b"") for n in range(50_000)]},
    "a header without a value": {"value": b"{}", "key": "k", "headers": [("empty", None)]},
}


@pytest.mark.parametrize("monster", MONSTERS.values(), ids=MONSTERS)
def test_it_fits_and_tells_its_origin(log: Log, monster: dict[str, Any]) -> None:
    record = Record(topic="touchline.events", partition=3, offset=77, timestamp=1, **monster)
    ((partition, offset),) = log.append(DEAD_LETTERS, [dead_letter(record, "ü" * 5_000)]).result(30)
    (found,) = log.read(DEAD_LETTERS, partition, offset)
    headers = dict(found.headers)
    assert headers["origin"] == b"touchline.events/3/77"
    assert headers["error"].startswith("üü".encode())
    assert found.value == monster["value"][:MAX_RECORD_BYTES]
    assert ("truncated" in headers) == (len(monster["value"]) > MAX_RECORD_BYTES)


def test_what_fits_is_kept_whole() -> None:
    headers = [("content-type", b"text/plain")]
    record = Record("touchline.events", 0, 5, "acme", b"not json", 1, headers)
    letter = dead_letter(record, "no JSON")
    assert (letter.key, letter.value) == ("acme", b"not json")
    assert letter.headers == [*headers, ("origin", b"touchline.events/0/5"), ("error", b"no JSON")]
