"""The app that all services share, with a made-up service on it."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from backbone.clock import ManualClock
from backbone.database import Database, metadata
from backbone.documents.api import DocumentKind, documents_router
from backbone.documents.store import DocumentStore, document_tables
from backbone.log import open_log
from backbone.settings import load_settings
from backbone.web.api_keys import Principal, create_key, open_route, require
from backbone.web.app import create_app, declared_scopes
from backbone.web.assets import FOLDER, url_of
from backbone.web.json_route import JsonRoute
from schemas.answers import KeptDocument
from tests.migrated import migrated

ROOM = metadata("rules")
TABLES = document_tables(ROOM)
CLOCK = ManualClock(1_700_000_000_000_000)


class ThingIn(BaseModel):
    """A thing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=100)
    size: int = 1


class ThingOut(KeptDocument, ThingIn):
    """A thing as it is kept."""


class Things:
    name = "things"

    def __init__(self, db: Database) -> None:
        kind = DocumentKind(
            "/v1/things", "thing", ThingIn, ThingOut, {"name": "x"}, read="rules:read", write="rules:write"
        )
        other = APIRouter(route_class=JsonRoute)

        @other.get("/v1/boom", dependencies=[open_route])
        def boom() -> None:
            raise RuntimeError("secret detail")

        @other.post("/v1/plain")
        def plain(body: ThingIn, principal: Principal = require("rules:write")) -> dict[str, str]:
            return {"by": principal.name, "name": body.name}

        @other.get("/v1/naked")
        def naked() -> Response:
            return Response()

        self.routers = [documents_router(kind, DocumentStore(TABLES, "thing"), db, CLOCK), other]

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> Mapping[str, Any]:
        return {"lag": 0, "idle": True}

    def ready(self) -> bool:
        return True


class Client:
    def __init__(self, app: Any, key: str) -> None:
        transport = httpx.ASGITransport(app)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers)

    async def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = await self.http.request(method, path, **more)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            assert answer.json()["code"]
        return answer


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Any]:
    db = Database(f"sqlite:///{tmp_path}/x.db")
    migrated(db, ["backbone"])
    with db.write() as connection:
        ROOM.create_all(connection)
    settings = load_settings(data_dir=tmp_path, partitions=2)
    log = open_log(settings)
    app = create_app("Things", settings=settings, db=db, log=log, clock=CLOCK, services=[Things(db)])
    yield app
    log.close()
    db.close()


@pytest.fixture
def call(app: Any) -> Client:
    return Client(app, create_key(app.state.db, CLOCK, "writer", ["rules:read", "rules:write"]))


async def test_documents(call: Client) -> None:
    made = await call("POST", "/v1/things", json={"name": "a", "size": 2})
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/things/a"
    assert made.headers["etag"] == '"1"'
    expected = {
        "name": "a",
        "size": 2,
        "version": 1,
        "changed_by": "writer",
        "changed_at": "2023-11-14T22:13:20Z",
    }
    assert made.json() == expected
    assert (await call("POST", "/v1/things", json={"name": "a"})).status_code == 409
    assert (await call("GET", "/v1/things/a")).json() == expected
    assert (await call("GET", "/v1/things/a")).headers["etag"] == '"1"'
    assert (await call("GET", "/v1/things/b")).status_code == 404

    put = await call("PUT", "/v1/things/a", json={"size": 3}, headers={"if-match": '"1"'})
    assert (put.status_code, put.headers["etag"], put.json()["size"]) == (200, '"2"', 3)
    assert (
        await call("PUT", "/v1/things/a", json={"size": 4}, headers={"if-match": '"1"'})
    ).status_code == 412
    assert (await call("PUT", "/v1/things/b", json={}, headers={"if-match": "*"})).status_code == 412
    assert (await call("PUT", "/v1/things/b", json={"name": "b"})).status_code == 201
    wrong = await call("PUT", "/v1/things/b", json={"name": "c"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "name")

    listed = (await call("GET", "/v1/things")).json()
    assert [item["name"] for item in listed["items"]] == ["b", "a"]
    versions = (await call("GET", "/v1/things/a/versions")).json()["items"]
    assert [item["version"] for item in versions] == [2, 1]

    assert (await call("DELETE", "/v1/things/a", headers={"if-match": '"1"'})).status_code == 412
    assert (await call("DELETE", "/v1/things/a")).status_code == 204
    assert (await call("DELETE", "/v1/things/a")).status_code == 404
    assert (await call("GET", "/v1/things/a")).status_code == 404
    again = await call("POST", "/v1/things", json={"name": "a"})
    assert again.headers["etag"] == '"4"'  # versions count on, so that no ETag means two things
    assert [v["version"] for v in (await call("GET", "/v1/things/a/versions")).json()["items"]] == [
        4,
        3,
        2,
        1,
    ]


async def test_paging(call: Client) -> None:
    for n in range(5):
        await call("POST", "/v1/things", json={"name": f"n{n}"})
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await call("GET", "/v1/things", params=query)).json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    for bad in (
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=x",
        "cursor=WzFd.",
        "cursor=WyJhIl0",
        "cursor=W10",
    ):
        answer = await call("GET", f"/v1/things?{bad}")
        assert answer.status_code == 422, bad
        assert answer.json()["errors"][0]["field"] == bad.partition("=")[0]


async def test_the_same_request_again(call: Client, app: Any) -> None:
    headers = {"idempotency-key": "k1"}
    first = await call("POST", "/v1/things", json={"name": "a"}, headers=headers)
    again = await call("POST", "/v1/things", json={"name": "a"}, headers=headers)
    assert again.status_code == 201
    assert again.content == first.content
    for name in ("location", "etag", "content-type"):
        assert again.headers[name] == first.headers[name]
    other = await call("POST", "/v1/things", json={"name": "b"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    stranger = Client(app, create_key(app.state.db, CLOCK, "other", ["admin"]))
    assert (await stranger("POST", "/v1/things", json={"name": "c"}, headers=headers)).status_code == 201
    taken = {"idempotency-key": "k2"}
    assert (await call("POST", "/v1/things", json={"name": "a"}, headers=taken)).status_code == 409
    assert (await call("DELETE", "/v1/things/a")).status_code == 204
    assert (
        await call("POST", "/v1/things", json={"name": "a"}, headers=taken)
    ).status_code == 201  # not kept


async def test_who_may_do_what(app: Any) -> None:
    assert (await Client(app, "")("GET", "/v1/things")).status_code == 401
    assert "www-authenticate" in (await Client(app, "")("GET", "/v1/things")).headers
    assert (await Client(app, "tl_wrong")("GET", "/v1/things")).status_code == 401
    reader = Client(app, create_key(app.state.db, CLOCK, "reader", ["rules:read"]))
    assert (await reader("GET", "/v1/things")).status_code == 200
    refused = await reader("POST", "/v1/things", json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await reader("GET", "/v1/status")).json() == {
        "idle": True,
        "services": {"things": {"lag": 0}},
        "log": {"events": 0, "triggers": 0},
    }
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
        assert (await Client(app, "")("GET", path)).status_code == 200


async def test_what_is_not_there(call: Client) -> None:
    assert (await call("GET", "/v1/nothing")).status_code == 404
    answer = await call("PATCH", "/v1/things/a")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PUT"
    assert (await call("GET", "/v1/things/")).status_code == 404
    assert (await call("GET", "/v1/things/a%00b")).status_code == 400
    assert (await call("GET", "/v1/things?cursor=%00")).status_code == 400


@pytest.mark.parametrize("path", ["/v1/things", "/v1/plain"])
async def test_bodies_that_are_refused(call: Client, path: str) -> None:
    as_json = {"content-type": "application/json"}
    assert (await call("POST", path, content=b"{", headers=as_json)).status_code == 400
    wrong = await call("POST", path, json={"name": 1, "colour": "red"})
    assert wrong.status_code == 422
    assert {error["field"] for error in wrong.json()["errors"]} == {"name", "colour"}
    assert (await call("POST", path, content=b"x" * 2_000_000, headers=as_json)).status_code == 413
    headers = {**as_json, "content-encoding": "gzip"}
    assert (await call("POST", path, content=b"{}", headers=headers)).status_code == 400
    assert (await call("POST", path, content=b"", headers=as_json)).status_code == 422


async def test_the_content_type_has_to_be_json(call: Client) -> None:
    answer = await call("POST", "/v1/things", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_surprises_tell_nothing(call: Client) -> None:
    answer = await call("GET", "/v1/boom")
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_readiness_follows_the_log(app: Any) -> None:
    app.state.log.close()
    answer = await httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t").get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["log"] is False
    assert "retry-after" in answer.headers


def test_every_route_declares_its_scope(app: Any) -> None:
    scopes = {(method, path): scope for method, path, scope in declared_scopes(app)}
    assert scopes["POST", "/v1/things"] == "rules:write"
    assert scopes["GET", "/healthz"] == "open"
    assert scopes["GET", "/v1/status"] == "any"
    assert [place for place, scope in scopes.items() if scope is None] == [("GET", "/v1/naked")]


async def test_openapi(call: Client) -> None:
    page = (await call("GET", "/openapi.json")).json()
    post = page["paths"]["/v1/things"]["post"]
    body = post["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/ThingIn"}
    assert body["examples"]["example"]["value"] == {"name": "x"}
    assert "ThingIn" in page["components"]["schemas"]
    assert "HTTPValidationError" not in page["components"]["schemas"]
    assert post["responses"]["422"]["content"].keys() == {"application/problem+json"}
    assert post["security"] == [{"key": []}]
    assert "security" not in page["paths"]["/healthz"]["get"]


async def test_metrics_name_routes_not_things(call: Client) -> None:
    await call("GET", "/v1/things/personal-data")
    await call("GET", "/v1/personal-data")
    text = (await call("GET", "/metrics")).text
    assert 'route="/v1/things/{name}"' in text
    assert "personal-data" not in text


async def test_who_may_not_ask_learns_nothing_else(app: Any) -> None:
    stranger = Client(app, "")
    assert (await stranger("GET", "/v1/things?cursor=x&limit=0")).status_code == 401
    assert (await stranger("POST", "/v1/things", content=b"{")).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_anybody_may_read_answers_head_as_get(call: Client, path: str) -> None:
    got, head = await call("GET", path), await call("HEAD", path)
    assert (head.status_code, got.status_code) == (200, 200)
    assert head.headers["content-type"] == got.headers["content-type"]
    refused = await call("POST", path, json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_head_is_for_what_is_open_alone(call: Client) -> None:
    assert (await call.http.head("/v1/things")).status_code == 405
    page = (await call("GET", "/openapi.json")).json()
    assert not [path for path, methods in page["paths"].items() if "head" in methods]


async def test_the_page_of_the_api_is_made_of_our_own_files(call: Client) -> None:
    page = await call("GET", "/docs")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {address for address in addresses if ":" in address} == {"data:,"}
    ours = [address for address in addresses if address.startswith("static/")]
    assert len(ours) == 3
    assert "<script>" not in page.text
    assert "style=" not in page.text
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )
    assert "unsafe" not in page.headers["content-security-policy"]
    for address in ours:
        asset = await call("GET", f"/{address}")
        assert asset.content == (FOLDER / address.split("/", 2)[2]).read_bytes()
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["x-content-type-options"] == "nosniff"
        plain = await call("GET", f"/{address}", headers={"accept-encoding": "identity"})
        assert plain.content == asset.content
        assert ("content-encoding" in asset.headers, "content-encoding" in plain.headers) == (True, False)


@pytest.mark.parametrize(
    "path", ["x/docs.js", "{digest}/docs.css", "{digest}/../http.py", "{digest}//etc/passwd", "{digest}/"]
)
async def test_nothing_else_is_static(call: Client, path: str) -> None:
    digest = url_of("docs.js").split("/")[1]
    assert (await call("GET", f"/static/{path.format(digest=digest)}")).status_code == 404
