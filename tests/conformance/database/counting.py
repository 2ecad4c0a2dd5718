"""Plays and actions to count, and how many there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from backbone.database import Database
from backbone.stats.counted import Counted
from backbone.stats.reading import Period, read_counts
from schemas.event import microseconds
from services.actions.stats_tables import COUNTED, STATS

NOW = microseconds(datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
PLAYS, ACTIONS, TASKS = COUNTED
UTC_ZONE = ZoneInfo("UTC")
ALWAYS = Period(None, None)


def play(id_: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_, "partition": 0, "playbook": "p", "playbook_version": 1, "rule": "r", "trigger_id": "t",
        "account": "acme", "scope": "account", "tier": "low", "topic": "x", "status": "open", "reason": None,
        "started_at": NOW, "trigger": {}, "templates": {}, **fields,
    }  # fmt: skip


def action(id_: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_, "partition": 0, "play": "ply_1", "playbook": "p", "account": "acme", "channel": "email", "step": "0",
        "topic": "x", "status": "pending", "reason": None, "created_at": NOW, "due_at": NOW, "done_at": None, **fields,
    }  # fmt: skip


def read(db: Database, counted: Counted, *by: str, period: Period = ALWAYS, zone: ZoneInfo = UTC_ZONE) -> Any:
    with db.read(steady=True) as conn:
        found = read_counts(conn, STATS, counted, by, period, zone)
    return [tuple(item.values()) for item in found]
