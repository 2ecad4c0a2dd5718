"""The API as the pages use it: with the key of whoever signed in, over any ASGI app or transport.

    api = Api(transport, key)
    rule = await api.get("/v1/rules/{}", name)                 # the parts of a path are quoted
    await api.send("POST", "/v1/tasks/{}/complete", task, body={"note": "called"})
    rules, tasks = await together(api.get("/v1/rules"), api.get("/v1/tasks"))

Everything that is no success is raised as `ApiError`.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

HERE = "http://api"  # the host of every call, which no transport of ours looks at
TIMEOUT_S = 30.0
T1, T2, T3, T4 = TypeVar("T1"), TypeVar("T2"), TypeVar("T3"), TypeVar("T4")
Query = Mapping[str, Any]


class FieldProblem(NamedTuple):
    """What is wrong with one field, by its path in the body."""

    field: str
    message: str


class ApiError(Exception):
    """The API refused a call (`status` 4xx), or could not answer it (5xx). `errors`: what is wrong with which field."""

    def __init__(
        self, status: int, code: str, title: str, detail: str, errors: Sequence[FieldProblem] = ()
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.title, self.detail, self.errors = status, code, title, detail, errors


class Api:
    """Calls with one key. Belongs to the event loop. `retry_after`: when to try a call again that was refused for now,
    as its header says."""

    def __init__(self, transport: httpx.AsyncBaseTransport, key: str) -> None:
        self.retry_after: str | None = None
        # Without a client, whose cookies and redirects cost more than a small call.
        self._transport = transport
        self._headers = {"Authorization": f"Bearer {key}"}

    async def get(self, path: str, *parts: str, **query: Any) -> Any:
        """The answer to a GET, decoded. Query parameters that are None or empty are left out. Raises `ApiError`."""
        return _decoded(await self._call("GET", path, parts, query=query))

    async def tagged(self, path: str, *parts: str) -> tuple[Any, str | None]:
        """The answer to a GET, and its ETag, to be sent as `if_match` with a change. Raises `ApiError`."""
        answer = await self._call("GET", path, parts)
        return _decoded(answer), answer.headers.get("etag")

    async def send(
        self,
        method: str,
        path: str,
        *parts: str,
        body: Any = None,
        query: Query | None = None,
        if_match: str | None = None,
        once: str | None = None,
    ) -> Any:
        """Change something; the decoded answer, None if it is empty.

        `once` makes a POST that creates safe to repeat: the same value with the same body never creates twice. With
        another body, as from a form to which somebody went back, it does. Raises `ApiError`.
        """
        more = {} if if_match is None else {"If-Match": if_match}
        if once is not None:
            more["Idempotency-Key"] = f"{once}-{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:16]}"
        return _decoded(await self._call(method, path, parts, query=query, body=body, headers=more))

    async def text(self, path: str, *parts: str, **query: Any) -> str:
        """The answer to a GET that is no JSON. Raises `ApiError`."""
        return (await self._call("GET", path, parts, query=query)).text

    async def _call(
        self,
        method: str,
        path: str,
        parts: Sequence[str],
        *,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        address = HERE + path.format(*map(_segment, parts))
        if given := _given(query or {}):
            address = f"{address}?{urlencode(given, doseq=True)}"
        content = None if body is None else _encoded(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        if not all(value.isascii() and value.isprintable() for value in (headers or {}).values()):
            raise ApiError(
                400, "bad_header", "This form is damaged", "Nothing was changed. Go back, reload, retry."
            )
        try:
            async with asyncio.timeout(TIMEOUT_S):  # a transport for ASGI knows no timeouts
                request = httpx.Request(
                    method, address, content=content, headers={**self._headers, **kind, **(headers or {})}
                )
                answer = await self._transport.handle_async_request(request)
                await answer.aread()
        except TimeoutError:
            raise ApiError(504, "timeout", "The API did not answer in time", _late(method)) from None
        except httpx.InvalidURL:
            raise ApiError(
                414, "too_long", "This is too long", "A name or filter has too many characters."
            ) from None
        except httpx.HTTPError as error:
            raise ApiError(
                502, "unreachable", "The API cannot be reached", str(error) or type(error).__name__
            ) from None
        if answer.is_success:
            return answer
        self.retry_after = answer.headers.get("retry-after", self.retry_after)
        raise _refusal(answer)


def new_once() -> str:
    """A value for `once`, to be put into a form as it is shown."""
    return secrets.token_urlsafe(16)


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """The answers of several calls that are made at once. Raises the first `ApiError` once all have ended."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return list(found)


def _late(method: str) -> str:
    waited = f"There was no answer within {TIMEOUT_S:g} seconds"
    return (
        waited
        if method == "GET"
        else f"{waited}. What you asked for may have been done: look before you retry"
    )


def _given(query: Query) -> dict[str, Any]:
    return {name: _text(value) for name, value in query.items() if value not in (None, "", [], ())}


def _segment(part: str) -> str:
    """A part of a path. "." and ".." would lead to another path, whatever they are quoted as."""
    if part in {"", ".", ".."}:
        raise ApiError(404, "not_found", "There is no such thing", f"nothing has the name {part!r}")
    return quote(part, safe="")


def _encoded(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError):
        why = "It has a value that JSON cannot carry."
        raise ApiError(422, "not_json", "This cannot be sent", why) from None


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _decoded(answer: httpx.Response) -> Any:
    return msgspec.json.decode(answer.content) if answer.content else None


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        said = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        said = None
    if not isinstance(said, dict) or not answer.is_error:
        status = answer.status_code if answer.is_error else 502
        return ApiError(status, "unexpected", "The API answered unexpectedly", f"HTTP {answer.status_code}")
    wrong = [
        FieldProblem(str(one.get("field", "")), str(one.get("message", "")))
        for one in said.get("errors") or ()
    ]
    return ApiError(
        answer.status_code,
        str(said.get("code", "")),
        str(said.get("title", "")),
        str(said.get("detail", "")),
        wrong,
    )
