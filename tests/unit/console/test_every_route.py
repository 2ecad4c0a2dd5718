"""What holds for every route of the console, whatever pages there are: who gets in, what changes, what is said."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

import services.console
from services.console.app import Console
from services.console.pages import ROUTES
from services.console.routing import PageRoute
from services.console.session import Session, Sessions
from tests.unit.console.world import KEY, World, refusal

# what any page reads of a query or a form, by the code and the templates
_FILES = sorted(Path(services.console.__file__).parent.rglob("*"))
SOURCE = "".join(each.read_text() for each in _FILES if each.suffix in {".py", ".html"})
ASKED = sorted({*re.findall(r'query(?:\.get\(|\[)"(\w+)"', SOURCE), "cursor", "after", "before", "account"})
TYPED = sorted({
    *re.findall(r'form\.get(?:list)?\(\s*"(\w+)"', SOURCE), *re.findall(r' name="([\w.-]+)"', SOURCE)
} - {"token"})  # fmt: skip
ODD = [
    "\u00e9\r\nX: y\0", "9" * 5_000, "a." + "9" * 5_000, "9999-12-31T23:59", "[" * 1_000, '"\\ud800"', "0001-01-01",
]  # fmt: skip
HOSTILE = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%20onload=x"
SHOWN = [route for route in ROUTES if "GET" in (route.methods or ())]
CHANGES = [route for route in ROUTES if "POST" in (route.methods or ())]
# a GET may ask the API to try something out: that saves nothing
TRIES = re.compile(r"/(check|preview)$")
REFUSALS: list[Any] = [
    refusal(status, f"said {status}", ("name", "<script>alert(1)</script>"))
    for status in (404, 409, 422, 500)
] + [(307, {}), (502, ["no problem"])]


def named(route: PageRoute) -> str:
    return f"{'POST' if route in CHANGES else 'GET'} {route.path}"


def every(routes: list[PageRoute]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=named)


def filled(route: PageRoute, name: str = "n") -> str:
    path = re.sub(r"\{\w+:int\}", "1", route.path)
    return re.sub(r"\{\w+(:path)?\}", name, path)


class Closed(World):
    """Somebody is signed in already; whatever the API is asked but who that is, it answers with `said`."""

    def __init__(self, said: Any = None, scopes: tuple[str, ...] = ("admin",)) -> None:
        super().__init__(me={"name": "jo", "scopes": list(scopes), "email": None})
        self.said = said
        sessions = Sessions(b"s" * 32)
        session, cookie = sessions.begin(KEY)
        self.cookies.set("touchline_session", cookie, domain="console.test")
        self.token = sessions.token(session)
        self.nonce = session.nonce

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if self.said is not None and path not in {"/v1/me", "/v1/attention"}:
            self.answers[f"{request.method} {path}"] = self.said
        return super()._answer(request)

    @property
    def changed(self) -> list[tuple[str, str, Any]]:
        """What was asked of the API that may change something."""
        return [one for one in self.sent if not TRIES.search(one[1].partition("?")[0])]


def fine(answer: httpx.Response) -> httpx.Response:
    """What holds for each answer, whatever it says."""
    assert "Something went wrong here" not in answer.text, "a mistake of ours"
    assert "<script>alert" not in answer.text
    assert "content-security-policy" in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert KEY not in answer.text + str(answer.headers)
    location = answer.headers.get("location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    return answer


@every(ROUTES)
def test_a_stranger_sees_nothing_and_changes_nothing(route: PageRoute) -> None:
    for cookie in (None, Sessions(b"t" * 32).begin(KEY)[1]):
        world = World()
        if cookie is not None:
            world.cookies.set("touchline_session", cookie, domain="console.test")
        method = "POST" if route in CHANGES else "GET"
        answer = fine(world.call(method, filled(route), {"token": "0" * 64} if method == "POST" else None))
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
        assert world.asked == []


@every(CHANGES)
def test_a_change_needs_the_token_and_our_own_page(route: PageRoute) -> None:
    world = Closed()
    other = Sessions(b"s" * 32).token(Session(KEY, "another"))
    for form in ({}, {"token": other}):
        assert fine(world.call("POST", filled(route), {"a": "b", **form})).status_code == 403
    for headers in (
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://console.test:81"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = fine(world.call("POST", filled(route), {"token": world.token}, headers))
        assert answer.status_code == 403
    assert world.asked == []


@every(CHANGES)
def test_other_methods_change_nothing(route: PageRoute) -> None:
    world = Closed()
    there = {one.path for one in SHOWN}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        if method not in {"GET", "HEAD"} or route.path not in there:
            fine(world.call(method, f"{filled(route)}?token={world.token}"))
    assert world.changed == []


@every(SHOWN)
def test_a_page_changes_nothing_whoever_looks(route: PageRoute) -> None:
    for scope in ("", "rules:read", "actions:write"):
        world = Closed(refusal(403, "the key 'jo' lacks the scope x:read"), (scope,) if scope else ())
        answer = fine(world.call("GET", filled(route)))
        assert world.changed == []
        asked_nothing = len(world.asked) == 2  # who somebody is, and what waits
        assert answer.status_code in {200, 403} or (answer.status_code == 404 and asked_nothing)
        if answer.status_code == 403:
            assert re.search(r"<code>\w+:(read|write)</code>", answer.text), "it says which scope it needs"


@every(ROUTES)
def test_what_the_api_refuses_is_said_and_no_mistake_of_ours(route: PageRoute) -> None:
    for said in REFUSALS:
        world = Closed(said)
        if route in CHANGES:
            answer = fine(world.call("POST", filled(route), {"token": world.token}))
        else:
            answer = fine(world.call("GET", filled(route)))
        assert answer.status_code == 200 or answer.status_code == 303 or answer.status_code >= 400


@every(ROUTES)
def test_a_key_revoked_meanwhile_is_out(route: PageRoute) -> None:
    world = Closed(refusal(401, "revoked"))
    world.answers["GET /v1/me"] = refusal(401, "revoked")
    method, form = ("POST", {"token": world.token}) if route in CHANGES else ("GET", None)
    answer = fine(world.call(method, filled(route), form))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert world.sent == []
    assert "touchline_session" not in world.cookies


@every([route for route in SHOWN if "{" in route.path])
@pytest.mark.parametrize("name", [HOSTILE, "%0d%0aSet-Cookie:%20a=b", "%ff%00%7B0%7D" + "x" * 8_000])
def test_hostile_names_in_the_path_are_text(route: PageRoute, name: str) -> None:
    world = Closed()
    answer = fine(world.call("GET", f"{filled(route, name)}?q={HOSTILE}&cursor={HOSTILE}&account={HOSTILE}"))
    assert answer.status_code < 500
    assert "set-cookie" not in answer.headers
    assert world.changed == []


@every(SHOWN)
def test_odd_queries_are_no_mistake_of_ours(route: PageRoute) -> None:
    for value in ODD:
        world = Closed()
        world.cookies.set("touchline_zone", "America/New_York", domain="console.test")
        for names in (ASKED,) if len(value) < 99 else (ASKED[::3], ASKED[1::3], ASKED[2::3]):
            query = httpx.QueryParams(dict.fromkeys(names, value))
            assert fine(world.call("GET", f"{filled(route)}?{query}")).status_code < 500
        assert world.changed == []


@every(CHANGES)
def test_odd_forms_are_no_mistake_of_ours(route: PageRoute) -> None:
    for value in ODD:
        world = Closed(refusal(422, "said", ("name", "is wrong")))
        world.cookies.set("touchline_zone", "America/New_York", domain="console.test")
        form = {**dict.fromkeys(TYPED, value), "token": world.token}
        assert fine(world.call("POST", filled(route), form)).status_code < 500


@every([route for route in ROUTES if re.search(r"\{\w+(:path)?\}", route.path)])
@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_never_leads_to_another_path_of_the_api(route: PageRoute, name: str) -> None:
    """Dots in a path of the API would be taken for another path by whoever reads it."""
    world = Closed()
    scope: Mapping[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST" if route in CHANGES else "GET",
        "scheme": "http", "path": filled(route, name), "raw_path": filled(route, name).encode(),
        "query_string": b"", "client": ("10.0.0.1", 1), "server": ("console.test", 80), "root_path": "",
        "headers": [
            (b"host", b"console.test"),
            (b"cookie", f"touchline_session={world.cookies['touchline_session']}".encode()),
        ],
    }  # fmt: skip
    assert call(world.console, scope, f"token={world.token}".encode()) < 500
    asked = {one.url.path for one in world.asked}
    assert not any(part in {"", ".", ".."} for path in asked for part in path.split("/")[1:]), asked
    assert "/v1" not in asked


def call(console: Console, scope: Mapping[str, Any], body: bytes) -> int:
    """The status of the answer to a request that no client would make."""
    found: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        found.append(message)

    asyncio.run(console(dict(scope), receive, send))
    return int(found[0]["status"])
