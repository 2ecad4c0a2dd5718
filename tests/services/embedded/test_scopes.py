"""Every route of the house against every kind of key: who may not, learns nothing else."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import Match

from backbone.database import Database
from backbone.settings import load_settings
from backbone.web.api_keys import ANY, NARROW, OPEN, TRACK, create_key
from backbone.web.app import declared_scopes
from backbone.web.route_lookup import RouteTable
from schemas.key import SCOPES
from services.actions.unsubscribe_token import Claim, Tokens
from services.app import Runtime, open_runtime
from tests.conftest import KafkaServer
from tests.migrated import migrated

ROOT_OF_ALL = "admin"
SIGNED = "/v1/mail/feedback/ses"
SECRET = "sixteen letters and more"
CLAIM = Claim("d1" * 20, "act_1", "lifecycle")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with open_runtime(load_settings(data_dir=tmp_path_factory.mktemp("scopes") / "data")) as found:
        yield found


@pytest.fixture
def large(kafka: KafkaServer, fresh_postgres_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """The same on Kafka and PostgreSQL."""
    with closing(Database(fresh_postgres_url)) as database:
        migrated(database)
    given = {"database_url": fresh_postgres_url, "kafka_bootstrap_servers": kafka.bootstrap_servers}
    with open_runtime(load_settings(data_dir=tmp_path / "data", secret_key=SECRET, **given)) as found:
        yield found


def places(rooms: Runtime) -> list[tuple[str, str, str]]:
    """(method, an address, scope) of every route."""
    return [
        (method, re.sub(r"\{[^}]*\}", "nobody", path), scope or "")
        for method, path, scope in declared_scopes(rooms.app)
    ]


async def test_every_route_with_every_key(rooms: Runtime) -> None:
    await every_route_with_every_key(rooms)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_every_route_with_every_key_on_the_large_stack(large: Runtime) -> None:
    await every_route_with_every_key(large)


async def every_route_with_every_key(rooms: Runtime) -> None:
    keys = {scope: create_key(rooms.db, rooms.clock, scope, [scope]) for scope in SCOPES}
    transport = httpx.ASGITransport(rooms.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        for method, path, scope in places(rooms):
            for name, key in {**keys, "none": "", "unknown": "tl_" + "x" * 43, "odd": "ö" * 9}.items():
                headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
                # too long, of a wrong type and no JSON: whoever may not ask does not hear of it
                wrong = {"content": b"{" * 2_000_000, "headers": [*headers, (b"content-type", b"x/y")]}
                status = (await http.request(method, path, **wrong)).status_code  # type: ignore[arg-type]
                known = name in SCOPES
                more = {ROOT_OF_ALL} | ({"events:write"} if scope == TRACK else set())
                allowed = known and (name in {scope, *more} or (scope == ANY and name not in NARROW))
                where = (method, path, name, status)
                if scope == OPEN:
                    assert status not in {401, 403}, where
                elif (
                    not known
                ):  # the key may stand in the body of a Segment call, or SES sign it: this one is too long
                    read = name == "none" and (scope == TRACK or path == SIGNED)
                    assert status == (413 if read else 401), where
                elif not allowed:
                    assert status == 403, where
                else:
                    assert status not in {401, 403}, where
                assert status < 500, where


async def test_the_gate_finds_the_route_that_will_answer(rooms: Runtime) -> None:
    doors = RouteTable(rooms.app.routes)
    for method, path, _ in places(rooms):
        for address in (path, path + "/more", path.replace("nobody", "a/b"), path.replace("nobody", "")):
            scope = {"type": "http", "method": method, "path": address, "root_path": "", "headers": []}
            full = [route for route in rooms.app.routes if route.matches(scope)[0] is Match.FULL]
            door = doors.find(scope)
            assert (door and door.route) is (full[0] if full else None), (method, address)


@pytest.fixture
async def http(rooms: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(rooms.app), base_url="http://t") as client:
        yield client


async def test_a_key_for_another_method_opens_nothing(rooms: Runtime, http: httpx.AsyncClient) -> None:
    reader = create_key(rooms.db, rooms.clock, "reader", ["rules:read"])
    headers = {"authorization": f"Bearer {reader}"}
    assert (await http.get("/v1/tiers", headers=headers)).status_code == 200
    assert (await http.put("/v1/tiers", headers=headers, json={"tiers": []})).status_code == 403
    assert (await http.patch("/v1/tiers", headers=headers)).status_code == 405


def forgeries(token: str) -> Iterator[str]:
    """Tokens that are almost this one, and those of another key."""
    for at, mark in enumerate(token[:-1]):  # of the last mark some bits say nothing
        yield token[:at] + ("A" if mark != "A" else "B") + token[at + 1 :]
        yield token[:at]
        yield token + token[at:]
    yield Tokens(b"another key, as long as ours").make(CLAIM)


async def nothing_by_forged_tokens(rooms: Runtime, secret: bytes) -> None:
    admin = {"authorization": f"Bearer {create_key(rooms.db, rooms.clock, 'root', ['admin'])}"}
    token = Tokens(secret).make(CLAIM)
    transport = httpx.ASGITransport(rooms.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        for one in dict.fromkeys(forgeries(token)):
            for method in ("GET", "POST") if one else ():
                status = (await http.request(method, f"/u/{quote(one, safe='')}")).status_code
                assert status in {400, 404, 405}, (method, one)
        assert (await http.get("/v1/suppressions", headers=admin)).json()["items"] == []
        assert (await http.post(f"/u/{token}")).status_code == 200
        assert len((await http.get("/v1/suppressions", headers=admin)).json()["items"]) == 1


async def test_forged_tokens(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", secret_key=SECRET)
    with open_runtime(settings) as small:
        await nothing_by_forged_tokens(small, SECRET.encode())


@pytest.mark.kafka
@pytest.mark.postgres
async def test_forged_tokens_on_the_large_stack(large: Runtime) -> None:
    await nothing_by_forged_tokens(large, SECRET.encode())
