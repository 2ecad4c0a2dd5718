"""Who matches the rule of a backtest when the log ends, and who is near: the greatest share first."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from services.rules.backtest.plan import MATCHES
from services.rules.engine.matches import Matching

KEPT = 100_000
SPARE = 25_000  # how many more are in memory at times: they take some 500 bytes each
PART = 2_000
_encode = msgspec.json.Encoder().encode

Place = tuple[float, str, str, str]


def tell(found: Iterable[Matching], part: Callable[[str, int, bytes], None]) -> None:
    """Hand out those with the greatest shares, in parts."""
    kept: list[tuple[Place, bytes]] = []
    last: Place | None = None  # nothing behind this is kept
    for one in found:
        place = one.place
        if last is None or place < last:
            kept.append((place, _encode(one.shown() | {"holds": one.holds})))
            if len(kept) >= KEPT + SPARE:
                kept = sorted(kept)[:KEPT]
                last = kept[-1][0]
    kept = sorted(kept)[:KEPT]
    for start in range(0, len(kept), PART):
        bodies = [body for _, body in kept[start : start + PART]]
        part(MATCHES, len(bodies), zlib.compress(b"[" + b",".join(bodies) + b"]", 3))


def chosen(
    parts: Iterator[tuple[int, bytes]], skip: int, near: float | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, subject) from number `skip` on: for which the rule holds, with `near` also those at that share."""
    for first, body in parts:
        for number, one in enumerate(msgspec.json.decode(zlib.decompress(body)), first):
            if number >= skip and (one.pop("holds") or (near is not None and one["share"] >= near)):
                yield number, one
