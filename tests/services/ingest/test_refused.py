"""Requests that the log does not take leave nothing behind: while it is away there may be many, and large."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx

from backbone.clock import ManualClock
from backbone.errors import LogUnavailable
from backbone.log import Entry
from backbone.settings import load_settings
from services.app import open_runtime

NOW = 1_795_338_000_000_000
EVENT = {"type": "ticket.opened", "account": "acme"}


class Away:
    """A log that takes nothing; it remembers what it was offered by weak references."""

    def __init__(self) -> None:
        self.offered: list[weakref.ref[Any]] = []

    def append(self, _topic: str, entries: Sequence[Entry]) -> Future[list[tuple[int, int]]]:
        refused: Future[list[tuple[int, int]]] = Future()
        self.offered.append(weakref.ref(refused))
        refused.set_exception(LogUnavailable("no Kafka server can be reached"))
        return refused


async def test_what_was_refused_is_let_go_without_the_collector(tmp_path: Path) -> None:
    with open_runtime(load_settings(data_dir=tmp_path), ["ingest"], clock=ManualClock(NOW)) as rooms:
        away = Away()
        rooms.services[0].intake._log = away  # type: ignore[attr-defined]
        key = (tmp_path / "admin.key").read_text().strip()
        headers = {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(rooms.app)
        gc.collect()
        gc.disable()  # what only the collector finds stays for as long as little is made beside it
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as http:
                answers = [(await http.post("/v1/events", json=EVENT)).status_code for _ in range(5)]
            held = [one for one in away.offered if one() is not None]
        finally:
            gc.enable()
    assert answers == [503] * 5
    assert held == []
