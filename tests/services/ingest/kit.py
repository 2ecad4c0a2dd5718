"""The ingest service for tests: calls over ASGI, and the records on the log."""

import base64
from typing import Any

import httpx

from backbone.log import EVENTS
from backbone.web.api_keys import create_key
from schemas.event import Event, decode
from services.app import Runtime
from services.ingest.identity.unmatched import Waiting
from services.ingest.identity.whose import Way, Whose
from services.ingest.service import IngestService

NOW = 1_795_338_000_000_000  # 2026-11-22T09:00:00Z


def park(rooms: Runtime, id: str, address: str) -> None:
    """Keep an event of a source that belongs to whoever has this address."""
    ingest = next(one for one in rooms.services if isinstance(one, IngestService))
    said = Event(type="called", source="crm", id=id, data={"note": "she is ill"})
    with rooms.db.write() as conn:
        ingest.unmatched.park(
            conn, [Waiting(id, id.encode(), "crm", said, Whose((Way("email", None, address),)))]
        )


class Kit:
    def __init__(self, rooms: Runtime) -> None:
        self.rooms = rooms
        self.admin = (rooms.settings.data_dir / "admin.key").read_text().strip()
        self.writer = create_key(rooms.db, rooms.clock, "writer", ["events:write"])
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(rooms.app), base_url="http://t")

    async def post(
        self, path: str, data: Any = None, *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self.writer}", **more.pop("headers", {})}
        if data is not None and "content" not in more:
            more["json"] = data
        return await self.http.post(path, headers=headers, **more)

    def events(self) -> list[Event]:
        found = []
        for number in range(self.rooms.log.partitions):
            start = self.rooms.log.start_offsets(EVENTS)[number]
            for record in self.rooms.log.read(EVENTS, number, start):
                found.append(decode(record.value, place="", timestamp=0))
                assert record.key == found[-1].account
        return found

    async def segment(
        self, path: str, data: Any, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """Make a call as Segment's libraries do, with the key as the user of basic auth."""
        basic = base64.b64encode(f"{key or self.writer}:".encode()).decode()
        sent = {"content": data} if isinstance(data, bytes) else {"json": data}
        return await self.http.post(path, headers={"authorization": f"Basic {basic}", **headers}, **sent)
