"""What every request passes: limits on its body before its route; problem+json, metrics, a log line after.

A pure ASGI middleware, the only one. The body is read whole here, so that no route can forget a limit.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backbone.auth import Keys, Principal
from backbone.bodies import read_body
from backbone.errors import BadRequest, FieldError, TouchlineError
from backbone.queries import check
from backbone.telemetry import REQUEST_SECONDS, REQUESTS, get_logger

log = get_logger("http")
_plain = logging.getLogger("http")  # cheaper to ask
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def problem(
    status: int,
    code: str,
    title: str,
    detail: str = "",
    *,
    errors: object = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Response:
    """An `application/problem+json` answer (RFC 9457); `extra`: members of its own."""
    body: dict[str, object] = {
        "type": "about:blank", "title": title, "status": status, "detail": detail or title, "code": code
    }  # fmt: skip
    if errors:
        body["errors"] = errors
    body |= extra or {}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def problem_of(error: TouchlineError) -> Response:
    """The answer to one of our own errors."""
    errors: list[FieldError] = list(error.errors)
    headers = dict(error.headers)
    if error.status in {408, 413}:
        headers["Connection"] = "close"  # what is left of the body stays unread
    return problem(error.status, error.code, error.title, error.message, errors=errors, headers=headers)


Handler = Callable[[Mapping[str, str], bytes, Principal], Awaitable[Response]]


class Express(NamedTuple):
    """A route so busy that the framework's own work would be most of its cost; the Gate serves it itself."""

    route: APIRoute
    scope: str
    handler: Handler  # headers (names in lower case), body, caller → answer


class Gate:
    """`on_error` may be told every unexpected exception; tests use it to fail loudly."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        express: Mapping[tuple[str, str], Express],
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self.app = app
        self._keys = keys
        self._express = express
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, watch)
        except TouchlineError as error:
            await self._answer(status, problem_of(error), scope, receive, watch)
        except Exception as error:
            log.error("request failed", path=_route(scope), method=scope["method"], exc_info=error)
            if self._on_error is not None:
                self._on_error(error)
            answer = problem(500, "internal", "Internal error", "Something went wrong here; it was logged.")
            await self._answer(status, answer, scope, receive, watch)
        finally:
            seconds = time.perf_counter() - began
            _count(scope, status, seconds)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"\0" in scope["path"].encode("utf-8", "replace") or b"%00" in scope["query_string"]:
            raise BadRequest("text may not contain NUL", code="nul")
        if "\ufffd" in scope["path"] and not _is_utf8(scope.get("raw_path") or b""):
            raise BadRequest("the path should be percent-encoded UTF-8", code="not_utf8")
        if scope["method"] in _BODILESS:
            await self.app(scope, receive, send)
            return
        body = await read_body(scope, receive)
        express = self._express.get((scope["method"], scope["path"]))
        if express is not None:
            scope["route"] = express.route
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            principal = await self._keys.authorize(headers.get("authorization"), express.scope)
            if scope["query_string"]:
                check(express.route, QueryParams(scope["query_string"]))
            answer = await express.handler(headers, body, principal)
            await answer(scope, receive, send)
            return
        first = True

        async def replay() -> Message:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self.app(scope, replay, send)

    async def _answer(
        self, status: int, answer: Response, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if status == 0:
            await answer(scope, receive, send)


def _is_utf8(raw_path: bytes) -> bool:
    """Whether a path says what it says: the server puts a mark in place of what is no text."""
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")


_seconds: dict[str, Any] = {}
_requests: dict[tuple[str, str, int], Any] = {}


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    if route not in _seconds:
        _seconds[route] = REQUEST_SECONDS.labels(route)
    _seconds[route].observe(seconds)
    method = scope["method"] if route != "unmatched" else "any"  # clients may make methods up
    place = (route, method, status)
    if place not in _requests:
        _requests[place] = REQUESTS.labels(route, method, str(status))
    _requests[place].inc()
    if _plain.isEnabledFor(logging.DEBUG):
        log.debug("request", route=route, method=method, status=status, seconds=round(seconds, 6))
