"""Reads lists over HTTP, without a server, and joins their pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import Table, delete, insert

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import Settings
from backbone.web.api_keys import create_key
from backbone.web.app import create_app

NOW = 1_793_491_200_000_000  # 1 November 2026
DAY = 86_400_000_000


class Lists:
    """A service that has only the given routes, over an empty database."""

    name = "lists"

    def __init__(self, routers: list[APIRouter]) -> None:
        self.routers = routers

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ready(self) -> bool:
        return True

    def status(self) -> dict[str, Any]:
        return {}


class Reader:
    """Reads lists."""

    def __init__(self, db: Database, folder: Path, *routers: APIRouter) -> None:
        self.db, clock, log = db, ManualClock(NOW), EmbeddedLog(folder, 1)
        app = create_app("t", settings=Settings(), db=db, log=log, clock=clock, services=[Lists([*routers])])
        key = create_key(db, clock, "test", ["admin"])
        self.client = TestClient(app, headers={"authorization": f"Bearer {key}"})
        self.close = log.close

    def whole(self, path: str, **asked: Any) -> list[dict[str, Any]]:
        """The items of all pages of a list."""
        asked = {name: value for name, value in asked.items() if value is not None}
        found, cursor = [], None
        while True:
            answer = self.client.get(path, params=asked if cursor is None else {**asked, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            found += body["items"]
            assert len(body["items"]) <= asked["limit"]
            cursor = body["next_cursor"]
            if cursor is None:
                return found
            assert len(body["items"]) == asked["limit"], "only the last page is short"

    def fill(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Fill a table with these rows and no others, in this order."""
        with self.db.write() as conn:
            conn.execute(delete(table))
            if rows:
                conn.execute(insert(table), rows)
