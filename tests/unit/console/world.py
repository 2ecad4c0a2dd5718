"""The console over an API that says what a test tells it to, and a browser that keeps cookies.

    world = World({"GET /v1/attention": {"items": []}})
    page = world.get("/")                      # signed in; page.text
    world.post("/sending", status="off")       # with the session's token
    assert world.sent[-1] == ("PUT", "/v1/sending", {"status": "off", "reason": None})

An answer is a body, `(status, body)`, a response, or a function of the request. What is not named is answered with 404.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from services.console.app import Console

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
KEY = "tl_" + "k" * 43
HERE = "http://console.test"
ME = {"name": "jo", "scopes": ["admin"], "email": None}
_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


class FixedClock:
    """It is always `NOW`."""

    def now(self) -> int:
        """Microseconds since the epoch."""
        return int(NOW.timestamp()) * 1_000_000


class World:
    """`answers`: by "METHOD /path". `sent`: the changes that the console made, as (method, path, body)."""

    def __init__(
        self, answers: Mapping[str, Any] | None = None, *, me: Mapping[str, Any] = ME, public_url: str = ""
    ) -> None:
        self.answers: dict[str, Any] = {
            "GET /v1/me": me,
            "GET /v1/attention": {"items": []},
            **(answers or {}),
        }
        self.asked: list[httpx.Request] = []
        self.sent: list[tuple[str, str, Any]] = []
        self.console = Console(
            httpx.MockTransport(self._answer), secret=b"s" * 32, public_url=public_url, clock=FixedClock()
        )
        self.here = public_url or HERE
        self.cookies = httpx.Cookies()
        self.token = ""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _problem(401, "unauthorized", "The API key is unknown")
        if request.method != "GET":
            body = msgspec.json.decode(request.content) if request.content else None
            self.sent.append((request.method, request.url.raw_path.decode(), body))
        said = self.answers.get(f"{request.method} {request.url.path}")
        if isinstance(said, Callable):  # type: ignore[arg-type]
            said = said(request)
        if said is None:
            return _problem(404, "not_found", f"there is nothing at {request.url.path}")
        if isinstance(said, httpx.Response):
            return said
        status, body = said if isinstance(said, tuple) else (200, said)
        if status == 204:
            return httpx.Response(204)
        return httpx.Response(status, json=body)

    def sign_in(self) -> "World":
        """Sign in with the key that the API knows."""
        answer = self.call("POST", "/login", {"key": KEY})
        assert answer.status_code == 303, answer.text
        self.token = _TOKEN.findall(self.call("GET", "/settings").text)[0]
        return self

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A page, signed in; redirects are not followed."""
        if not self.cookies:
            self.sign_in()
        return self.call("GET", path, headers=headers)

    def post(self, path: str, **form: Any) -> httpx.Response:
        """A form of this session."""
        if not self.cookies:
            self.sign_in()
        return self.call("POST", path, {"token": self.token, **form})

    def query(self, path: str) -> dict[str, str]:
        """What the last GET of this path asked for."""
        return dict(next(one for one in reversed(self.asked) if one.url.path == path).url.params)

    def call(
        self, method: str, path: str, form: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """One request as it is; cookies are kept as a browser would."""

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.console)
            async with httpx.AsyncClient(
                transport=transport, base_url=self.here, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, data=form, headers=headers)
                self.cookies = client.cookies
                return answer

        return asyncio.run(run())


def page_of(items: Any, next_cursor: str | None = None) -> dict[str, Any]:
    """A list as the API answers it."""
    return {"items": items, "next_cursor": next_cursor}


def refusal(
    status: int, detail: str, *errors: tuple[str, str], code: str = "invalid"
) -> tuple[int, dict[str, Any]]:
    """A problem as the API answers it."""
    found = [{"field": field, "message": message} for field, message in errors]
    return status, {"title": detail, "status": status, "detail": detail, "code": code, "errors": found}


def _problem(status: int, code: str, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"title": detail, "status": status, "detail": detail, "code": code})
