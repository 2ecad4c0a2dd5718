"""Migrations of databases that hold yesterday's data: what newer columns say is filled in from what is there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from sqlalchemy import select

from backbone.database import Database
from backbone.migrations import migrate
from schemas.event import microseconds, rfc3339
from schemas.trigger import Position, Trigger
from services.rules import store
from services.rules.tables import triggers

NOW = microseconds(datetime(2026, 11, 1, tzinfo=UTC))


def of_r001(number: int) -> dict[str, object]:
    trigger = Trigger(
        id=f"trg_{number}", rule="r", rule_version=1, account="acme", tier=("high", "low")[number % 2],
        key=None if number % 3 == 0 else f"k{number}", at=rfc3339(NOW), reason="absent", position=Position(0, number),
    )  # fmt: skip
    doc = msgspec.json.encode(trigger)
    return {"id": trigger.id, "rule": "r", "account": "acme", "at": NOW, "partition": 0, "doc": doc}


def test_triggers_are_found_by_their_tier_and_key(db: Database) -> None:
    migrate(db, "rules", "r001")
    names = ("id", "rule", "account", "at", "partition", "doc")
    old = triggers.insert().values(dict.fromkeys(names))
    with db.write() as conn:
        conn.execute(old, [of_r001(n) for n in range(2_100)])
    migrate(db, "rules")
    with db.read() as conn:
        assert (
            conn.scalar(select(triggers.c.id).where(triggers.c.key_digest == store.key_digest("k2000")))
            == "trg_2000"
        )
        high = list(conn.scalars(select(triggers.c.id).where(triggers.c.tier == "high")))
        keyless = list(conn.scalars(select(triggers.c.id).where(triggers.c.key_digest.is_(None))))
    assert (len(high), len(keyless)) == (1_050, 700)
