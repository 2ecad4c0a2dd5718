"""The triggers of a backtest, on temporary disk: what is reported of them is counted at the end.

The earliest `KEPT` of each series are kept as they are, of the others only what is needed to count them.
"""

# ruff: noqa: S608 - the texts that queries are made of are our own

import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from backbone.jobs.scratch import Scratch
from schemas.event import from_microseconds, microseconds
from schemas.tiered import TIERS
from schemas.trigger import Trigger
from services.rules.backtest.plan import AGAINST, BASE, Plan

KEPT = 100_000
PART = 500  # triggers in a part of the result
ADDED, DROPPED = "added", "dropped"

_SCHEMA = """
CREATE TABLE triggers (
  series TEXT NOT NULL, at INTEGER NOT NULL, seq INTEGER NOT NULL, tier TEXT NOT NULL, subject BLOB NOT NULL,
  same BLOB NOT NULL, account TEXT NOT NULL, contact TEXT, body BLOB, PRIMARY KEY (series, at, seq)) WITHOUT ROWID;
"""
_encode = msgspec.json.Encoder().encode
_WITHIN = "series = :series"


class Ledger:
    """Takes triggers while the log is judged, and reports them after that."""

    def __init__(self, plan: Plan, scratch: Scratch) -> None:
        self._plan, self._scratch = plan, scratch
        self._disk = scratch.database(_SCHEMA)
        self._begin = -(1 << 62) if plan.begin is None else plan.begin
        self._end = 1 << 62 if plan.end is None else plan.end
        self._seq = 0
        self._bodies: dict[str, int] = {}
        self._last: dict[str, int] = {}  # series to the time from which no body is kept

    def add(self, series: str, trigger: Trigger) -> None:
        """Take a trigger, if its time is to be reported."""
        at = microseconds(datetime.fromisoformat(trigger.at))
        if not self._begin <= at < self._end:
            return
        self._seq += 1
        contact = trigger.contact if trigger.scope == "contact" else None
        subject = _digest(trigger.account, contact, trigger.key)
        same = _digest(trigger.account, trigger.contact, trigger.key, at, trigger.event_id)
        body = _encode(trigger) if at < self._last.get(series, 1 << 62) else None
        row = (series, at, self._seq, trigger.tier, subject, same, trigger.account, trigger.contact, body)
        self._disk.execute("INSERT INTO triggers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        if body is not None:
            self._bodies[series] = self._bodies.get(series, 0) + 1
            if self._bodies[series] >= 2 * KEPT:
                self._thin(series)

    def _thin(self, series: str) -> None:
        """Drop the bodies of all but the earliest: they are never shown."""
        query = f"SELECT at FROM triggers WHERE {_WITHIN} ORDER BY at, seq LIMIT 1 OFFSET {KEPT}"
        (last,) = self._disk.execute(query, {"series": series}).fetchone()
        late = {"series": series, "last": last}
        self._disk.execute(f"UPDATE triggers SET body = NULL WHERE {_WITHIN} AND at > :last", late)
        self._last[series], self._bodies[series] = last + 1, KEPT

    def erase(self, erased: Iterable[tuple[str, str | None]]) -> None:
        """Drop the triggers of an account, or of a contact of it, that was erased."""
        for account, contact in erased:
            whose = "account = ?" if contact is None else "account = ? AND contact = ?"
            given = (account,) if contact is None else (account, contact)
            self._disk.execute(f"DELETE FROM triggers WHERE {whose}", given)

    # -- the report

    def result(self) -> dict[str, Any]:
        """The numbers."""
        day = "at / 86400000000 - (at % 86400000000 < 0)"
        days: dict[int, dict[str, int]] = {}
        rows = self._rows(
            f"SELECT {day}, tier, count(*) FROM triggers WHERE {_WITHIN} GROUP BY 1, 2 ORDER BY 1", BASE
        )
        for number, tier, count in rows:
            days.setdefault(number, dict.fromkeys(TIERS, 0))[tier] = count
        by_day = [
            {"day": from_microseconds(number * 86_400_000_000).date().isoformat(), **tiers}
            for number, tiers in days.items()
        ]
        variants = [
            {"value": value, **self._numbers(str(place))} for place, value in enumerate(self._plan.values)
        ]
        return {**self._numbers(BASE), "by_day": by_day, "variants": variants, "against": self._against()}

    def _rows(self, query: str, series: str) -> list[Any]:
        return self._disk.execute(query, {"series": series}).fetchall()

    def _numbers(self, series: str) -> dict[str, Any]:
        query = f"SELECT count(*), count(DISTINCT subject) FROM triggers WHERE {_WITHIN}"
        ((triggers, subjects),) = self._rows(query, series)
        tiers = self._rows(f"SELECT tier, count(*) FROM triggers WHERE {_WITHIN} GROUP BY 1", series)
        return {
            "triggers": triggers,
            "subjects": subjects,
            "by_tier": dict.fromkeys(TIERS, 0) | dict(tiers),
        }

    def _against(self) -> dict[str, Any] | None:
        other = next((rule for rule in self._plan.rules if rule.series == AGAINST), None)
        if other is None:
            return None
        counts = [
            self._rows(f"SELECT count(*) FROM ({_difference(BASE, AGAINST, has)})", BASE)[0][0]
            for has in (1, 0)
        ]
        ((dropped,),) = self._rows(f"SELECT count(*) FROM ({_difference(AGAINST, BASE, 0)})", AGAINST)
        return {"rule": other.doc["name"], "same": counts[0], "added": counts[1], "dropped": dropped}

    def tell(self, part: Callable[[str, int, bytes], None]) -> None:
        """Hand out the earliest triggers of every series and difference, in parts (see `series_of`)."""
        compared = any(rule.series == AGAINST for rule in self._plan.rules)
        for series in [BASE, *map(str, range(len(self._plan.values)))]:
            self._part(series, f"SELECT body FROM triggers WHERE {_WITHIN}", series, part)
            if compared:
                self._part(series_of(series, ADDED), _difference(series, AGAINST, 0), series, part)
                self._part(series_of(series, DROPPED), _difference(AGAINST, series, 0), AGAINST, part)

    def _part(self, name: str, query: str, series: str, part: Callable[[str, int, bytes], None]) -> None:
        found = self._disk.execute(
            f"{query} AND body IS NOT NULL ORDER BY at, seq LIMIT {KEPT}", {"series": series}
        )
        while rows := found.fetchmany(PART):
            bodies = [row[0] for row in rows]
            part(name, len(bodies), zlib.compress(b"[" + b",".join(bodies) + b"]", 3))
        self._scratch.check()


def series_of(series: str, change: str | None = None) -> str:
    """The name of the part of the result that holds a series, or its difference from the other rule."""
    return series if change is None else f"{series} {change}"


def triggers_in(body: bytes) -> list[dict[str, Any]]:
    """The triggers in a part of the result."""
    found: list[dict[str, Any]] = msgspec.json.decode(zlib.decompress(body))
    return found


def pages_of(parts: Iterator[tuple[int, bytes]], skip: int, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` triggers from number `skip` on."""
    found: list[dict[str, Any]] = []
    for first, body in parts:
        found += triggers_in(body)[max(0, skip - first) :]
        if len(found) >= limit:
            break
    return found[:limit]


def _difference(mine: str, other: str, has: int) -> str:
    """The triggers of one series that another has too (1), or has not (0)."""
    there = (
        f"EXISTS (SELECT 1 FROM triggers o WHERE o.series = '{other}' AND o.at = t.at AND o.same = t.same)"
    )
    return (
        f"SELECT body, at, seq FROM triggers t WHERE t.series = '{mine}' AND {'' if has else 'NOT '}{there}"
    )


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
