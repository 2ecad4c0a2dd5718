"""An analyst who loads the export of tasks, and tasks to load."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert, update

from services.actions.tables import tasks
from tests.conformance.database.reading import NOW, Reader

TASKS = "/v1/export/tasks"
PLAIN = {
    "play": "", "playbook": "", "step": "", "title": "t", "key": "k", "status": "open", "created_at": NOW
}  # fmt: skip


class Analyst:
    """Reads the tasks into a copy, page by page."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.cursor = reader, None
        self.copy: dict[str, dict[str, Any]] = {}
        self.cursors: set[str] = set()

    def read(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """One page, taken over into the copy; no row has a cursor that was there before."""
        asked = {"limit": limit, **({} if self.cursor is None else {"cursor": self.cursor})}
        answer = self.reader.client.get(TASKS, params=asked)
        assert answer.status_code == 200, answer.text
        rows = [json.loads(line) for line in answer.text.splitlines()]
        assert len(rows) <= limit
        assert answer.headers["next-cursor"] == (
            rows[-1]["cursor"] if rows else self.cursor or answer.headers["next-cursor"]
        )
        for row in rows:
            assert row["cursor"] not in self.cursors
            self.cursors.add(row["cursor"])
            if row.pop("deleted", False):
                assert row.keys() == {"cursor", "id"}
                self.copy.pop(row["id"], None)
            else:
                self.copy[row["id"]] = {name: row[name] for name in row if name != "cursor"}
        self.cursor = answer.headers["next-cursor"]
        return rows

    def catch_up(self, limit: int = 10_000) -> None:
        """Pages until there is nothing new."""
        while True:
            before = self.cursor
            if not self.read(limit) and self.cursor == before:
                return


def make(conn: Connection, *ids: str, account: str = "acme") -> None:
    conn.execute(insert(tasks), [{**PLAIN, "id": one, "account": account} for one in ids])


def rename(conn: Connection, one: str, title: str) -> None:
    conn.execute(update(tasks).where(tasks.c.id == one).values(title=title))
