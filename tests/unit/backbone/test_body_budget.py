"""The small room for bodies that nobody has vouched for, and the doors that need it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import RateLimited
from backbone.log import open_log
from backbone.settings import load_settings
from backbone.web.api_keys import Principal, create_key, open_route, require
from backbone.web.app import create_app
from backbone.web.body_budget import MAX_OPEN_BODY, BodyBudget, key_in_body
from tests.migrated import migrated

CLOCK = ManualClock()


async def test_the_oldest_goes_when_the_room_is_full() -> None:
    room = BodyBudget(100)
    began: list[int] = []

    async def come(number: int, size: int) -> int:
        async with room.hold() as came:
            came(size)
            began.append(number)
            await asyncio.sleep(0.05 if number == 3 else 60)
        return number

    coming = []
    for number, size in enumerate((40, 40, 20, 30)):
        coming.append(asyncio.create_task(come(number, size)))
        while len(began) <= number:
            await asyncio.sleep(0)
    assert await coming[3] == 3
    with pytest.raises(RateLimited):
        await coming[0]
    assert room.size == 60
    assert not coming[1].done()
    assert not coming[2].done()
    for task in coming[1:3]:
        task.cancel()
    await asyncio.gather(*coming, return_exceptions=True)
    assert room.size == 0


async def test_a_single_body_larger_than_the_room_goes_itself() -> None:
    room = BodyBudget(100)

    async def come() -> None:
        async with room.hold() as came:
            came(101)
            await asyncio.sleep(60)

    with pytest.raises(RateLimited):
        await come()
    assert room.size == 0


def _first_word(body: bytes) -> str | None:
    return body.split(b" ")[0].decode("latin-1") or None


class Doors:
    name = "doors"

    def __init__(self) -> None:
        router = APIRouter()

        @router.post("/key-in-body")
        @key_in_body(_first_word)
        async def by_body(request: Request, caller: Principal = require("events:write")) -> dict[str, Any]:
            return {"by": caller.name, "size": len(await request.body())}

        @router.post("/open", dependencies=[open_route])
        async def open_door(request: Request) -> int:
            return len(await request.body())

        @router.post("/closed")
        async def closed(request: Request, caller: Principal = require("events:write")) -> int:
            return len(await request.body())

        self.routers = [router]

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> dict[str, Any]:
        return {}

    def ready(self) -> bool:
        return True


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    db = Database(f"sqlite:///{tmp_path}/x.db")
    migrated(db, ["backbone"])
    log = open_log(load_settings(data_dir=tmp_path, partitions=1))
    app = create_app(
        "Doors", settings=load_settings(data_dir=tmp_path), db=db, log=log, clock=CLOCK, services=[Doors()]
    )
    keys = [
        create_key(db, CLOCK, name, [scope]) for name, scope in (("w", "events:write"), ("r", "rules:read"))
    ]
    yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t"), keys[0], keys[1]
    log.close()
    db.close()


async def test_a_key_in_the_body(at: tuple[httpx.AsyncClient, str, str]) -> None:
    http, writer, reader = at
    answer = await http.post("/key-in-body", content=f"{writer} and the rest")
    assert answer.json() == {"by": "w", "size": len(writer) + 13}
    header = {"authorization": f"Bearer {writer}"}
    assert (await http.post("/key-in-body", content="tl_x y", headers=header)).json()["by"] == "w"
    assert (await http.post("/key-in-body", content=f"{reader} x")).status_code == 403
    for body in ("", "tl_wrong x", " x"):
        assert (await http.post("/key-in-body", content=body)).status_code == 401
    wrong = {"authorization": "Bearer tl_wrong"}
    assert (await http.post("/key-in-body", content=f"{writer} x", headers=wrong)).status_code == 401


async def test_bodies_of_open_doors_are_small(at: tuple[httpx.AsyncClient, str, str]) -> None:
    http, _, _ = at
    assert (await http.post("/open", content=b"x" * MAX_OPEN_BODY)).json() == MAX_OPEN_BODY
    assert (await http.post("/open", content=b"x" * (MAX_OPEN_BODY + 1))).status_code == 413


async def test_a_body_without_a_key_is_not_read(at: tuple[httpx.AsyncClient, str, str]) -> None:
    http, writer, reader = at
    asked: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        asked.append(1)
        yield b"x" * 1_000

    for path, key, status in (
        ("/closed", "", 401),
        ("/closed", "tl_wrong", 401),
        ("/closed", reader, 403),
        ("/nowhere", "", 404),
        ("/closed", writer, 200),
    ):
        del asked[:]
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert (await http.post(path, content=body(), headers=headers)).status_code == status
        assert bool(asked) == (status == 200), path
