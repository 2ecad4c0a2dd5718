"""Who matches the rule of a backtest when the log ends, and who is near: the greatest share first."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from backbone.jobs.scratch import Scratch
from schemas.event import rfc3339
from services.rules.backtest.plan import MATCHES
from services.rules.engine.matches import Matching

KEPT = 100_000
PART = 2_000
LAST = 253_402_214_400_000_000  # 9999-12-31: a date may lead beyond what can be shown
_encode = msgspec.json.Encoder().encode

_SCHEMA = """
CREATE TABLE matches (share REAL, account TEXT, contact TEXT, key TEXT, body BLOB,
  PRIMARY KEY (share, account, contact, key)) WITHOUT ROWID;
"""
_SORTED = "SELECT body FROM matches ORDER BY share, account, contact, key LIMIT ?"


def tell(found: Iterable[Matching], scratch: Scratch, part: Callable[[str, int, bytes], None]) -> None:
    """Hand out those with the greatest shares, in parts."""
    disk = scratch.database(_SCHEMA)
    for one in found:
        disk.execute(
            "INSERT OR REPLACE INTO matches VALUES (?, ?, ?, ?, ?)", (*one.place, _encode(_shown(one)))
        )
    rows = disk.execute(_SORTED, (KEPT,))
    while bodies := [body for (body,) in rows.fetchmany(PART)]:
        part(MATCHES, len(bodies), zlib.compress(b"[" + b",".join(bodies) + b"]", 3))


def _shown(one: Matching) -> dict[str, Any]:
    due = None if one.due is None or one.due > LAST else rfc3339(one.due)
    named = {
        name: getattr(one, name)
        for name in ("account", "contact", "key", "tier", "share", "value", "threshold")
    }
    return {**named, "due": due, "holds": one.holds}


def chosen(
    parts: Iterator[tuple[int, bytes]], skip: int, near: float | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, subject) from number `skip` on: for which the rule holds, with `near` also those at that share."""
    for first, body in parts:
        for number, one in enumerate(msgspec.json.decode(zlib.decompress(body)), first):
            if number >= skip and (one.pop("holds") or (near is not None and one["share"] >= near)):
                yield number, one
