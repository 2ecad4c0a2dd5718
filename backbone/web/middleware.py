"""Handles every request around its route: first its key and the limits on its body; then problem+json and metrics.

This is a service's only middleware, in pure ASGI. The key is checked before anything else, so that nothing is read or
kept for clients without one. The body is read whole, so that no route can forget a limit.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backbone.errors import BadRequest, FieldError, TouchlineError
from backbone.telemetry import REQUEST_SECONDS, REQUESTS, get_logger
from backbone.web.api_keys import CALLER, Keys
from backbone.web.bodies import MAX_BODY, LargeBodies, read_body
from backbone.web.body_budget import BodyBudget, KeyOf, SignatureCheck
from backbone.web.query_params import check, takes_any
from backbone.web.raw_route import BODY, RawRoute
from backbone.web.route_lookup import RouteEntry, RouteTable

log = get_logger("http")
_plain = logging.getLogger("http")  # cheaper to ask whether a level is on
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
    """An `application/problem+json` answer (RFC 9457). `extra`: additional members."""
    body: dict[str, object] = {
        "type": "about:blank", "title": title, "status": status, "detail": detail or title, "code": code
    }  # fmt: skip
    if errors:
        body["errors"] = errors
    body |= extra or {}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def problem_of(error: TouchlineError) -> Response:
    """The answer for one of our own errors."""
    errors: list[FieldError] = list(error.errors)
    headers = dict(error.headers)
    if error.status in {408, 413}:
        headers["Connection"] = "close"  # the rest of the body stays unread
    return problem(
        error.status,
        error.code,
        error.title,
        error.message,
        errors=errors,
        headers=headers,
        extra=error.extra,
    )


class ProblemMiddleware:
    """Counts every HTTP request, and answers errors as problem+json.

    `on_error` is called with every unexpected exception; tests use it to fail loudly.
    """

    def __init__(self, app: ASGIApp, *, on_error: Callable[[Exception], None] | None = None) -> None:
        self.app = app
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other ASGI scopes are passed on."""
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
        await self.app(scope, receive, send)

    async def _answer(
        self, status: int, answer: Response, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if status == 0:
            await answer(scope, receive, send)


class RequestMiddleware(ProblemMiddleware):
    """Also checks the key, and reads the body, of every request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        doors: RouteTable,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        super().__init__(app, on_error=on_error)
        self._keys = keys
        self._doors = doors
        self._unvouched = BodyBudget()
        self._large = LargeBodies()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._doors.find(scope)
        if door is None:  # no such route or method: the framework answers without reading a body
            _check_text(scope)
            await self.app(scope, receive, send)
            return
        scope["route"] = door.route
        if door.direct is not None:
            _check_query(door, scope)
            answer = await door.direct()
            await answer(scope, receive, send)
            return
        with nullcontext() if door.large_body is None else self._large.hold():
            await self._read_and_serve(door, scope, receive, send)

    async def _read_and_serve(self, door: RouteEntry, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._let_in(door, scope, receive)
        if isinstance(door.route, RawRoute):
            scope[BODY] = body
            await door.route.handle(scope, receive, send)
        else:
            await self.app(scope, receive if body is None else _replay(body, receive), send)

    async def _let_in(self, door: RouteEntry, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None for methods without one. If the route requires a key, the caller is then in the scope."""
        bodiless = scope["method"] in _BODILESS
        header = _authorization(scope)
        if door.open:
            _check_text(scope)
            if bodiless:
                return None
            async with self._unvouched.hold() as came:
                return await read_body(scope, receive, most=door.open_body, came=came)
        if header is None and door.key_in_body is not None:
            return await self._by_body(door, door.key_in_body, scope, receive)
        if header is None and door.may_be_signed is not None:
            return await self._by_signature(door.may_be_signed, scope, receive)
        scope[CALLER] = await self._keys.authorize(header, door.scope)
        _check_text(scope)
        if bodiless:
            return None
        return await read_body(
            scope, receive, most=MAX_BODY if door.large_body is None else door.large_body.most
        )

    async def _by_body(self, door: RouteEntry, key_of: KeyOf, scope: Scope, receive: Receive) -> bytes:
        async with self._unvouched.hold() as came:
            body = await read_body(scope, receive, came=came)
            key = key_of(body)
            scope[CALLER] = await (
                self._keys.admit(key, door.scope) if key else self._keys.authorize(None, door.scope)
            )
        _check_text(scope)
        return body

    async def _by_signature(self, check: SignatureCheck, scope: Scope, receive: Receive) -> bytes:
        async with self._unvouched.hold() as came:
            body = await read_body(scope, receive, came=came)
            scope[CALLER] = await check(Headers(scope=scope), body)
        _check_text(scope)
        return body


def _is_utf8(raw_path: bytes) -> bool:
    """Whether a path is valid UTF-8: the server replaces bytes that are not."""
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _replay(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _check_query(door: RouteEntry, scope: Scope) -> None:
    """Check the query as the framework would, for routes served without it."""
    if scope["query_string"] and not takes_any(door.route):
        check(door.route, QueryParams(scope["query_string"]))


def _check_text(scope: Scope) -> None:
    """Refuse an address that is not text, or that no database can store."""
    if b"\0" in scope["path"].encode("utf-8", "replace") or b"%00" in scope["query_string"]:
        raise BadRequest("text may not contain NUL", code="nul")
    if "\ufffd" in scope["path"] and not _is_utf8(scope.get("raw_path") or b""):
        raise BadRequest("the path should be percent-encoded UTF-8", code="not_utf8")


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value.decode("latin-1"))
    return None


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
    method = scope["method"] if route != "unmatched" else "any"  # clients may invent methods
    place = (route, method, status)
    if place not in _requests:
        _requests[place] = REQUESTS.labels(route, method, str(status))
    _requests[place].inc()
    if _plain.isEnabledFor(logging.DEBUG):
        client = scope["client"][0] if scope.get("client") else None
        log.debug(
            "request", route=route, method=method, status=status, seconds=round(seconds, 6), client=client
        )
