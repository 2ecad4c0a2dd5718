"""One service, as the console calls it: over connections that are kept, within limits, and with errors that name it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiohttp
from starlette.types import Receive, Scope
from yarl import URL

from backbone.errors import BadGateway, TouchlineError
from backbone.telemetry import get_logger
from services.console.forwarding.headers import address_of, has_body, passed_on
from services.console.forwarding.held import MOST_AT_ONCE, HeldRequest, HeldRequests

CONNECT_S = 5.0
SILENT_S = 60.0  # how long a service may let us wait for its answer, or for the next piece of it
KEEP_S = 5.0  # an idle connection is not used later: services close theirs after 15 s
NAMES_S = 10  # how long a name's addresses are remembered
READ = 65_536  # bytes of an answer that are read ahead
MOST_HEADERS = 32_768  # bytes of one header line of an answer
QUIET_S = 60.0  # seconds between two log entries about one service
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

Result = TypeVar("Result")

log = get_logger("console")


class ServiceUnreachable(BadGateway):
    """The service does not answer, or not in HTTP."""

    code = "service_unreachable"
    title = "A service cannot be reached"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class ServiceTimeout(TouchlineError):
    """The service took too long."""

    status = 504
    code = "service_timeout"
    title = "A service did not answer in time"


class ClientGone(Exception):
    """The caller went away while it sent its body; nobody waits for an answer."""


class Body:
    """A request's body, passed on piece by piece as it arrives."""

    def __init__(self, receive: Receive, held: HeldRequest) -> None:
        self._receive, self._held = receive, held
        self.broke_off = self.ended = False
        self.enough = False  # the service has answered without it
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces. A PUT or DELETE whose kept connection turns out to be closed is tried again, which works only as
        long as nothing of the body was read. Raises `ClientConnectionError`."""
        if self._begun:
            raise aiohttp.ClientConnectionError
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            self._begun = True
            self._held.waits_for_client()
            message: Any = await self._receive()
            self._held.waits_for_service()
            if message["type"] == "http.disconnect":
                self.broke_off = True
                raise ClientGone
            more = message.get("more_body", False)
            if self.enough:
                await asyncio.Event().wait()  # an end would look like that of the body
            if message.get("body"):
                yield message["body"]
        self.ended = True


class Exchange(NamedTuple):
    """A request under way, whose answer has begun."""

    answer: aiohttp.ClientResponse
    held: HeldRequest
    body: Body | None

    @property
    def sent_all(self) -> bool:
        """Whether the service has got the whole body."""
        return self.body is None or self.body.ended


class Upstream:
    """A service at an address such as `http://rules:8080`. Belongs to the event loop."""

    def __init__(
        self, name: str, url: str, *, body_s: float, most: int = MOST_AT_ONCE, silent_s: float = SILENT_S
    ) -> None:
        self.name, self._url, self._silent_s = name, url, silent_s
        self._longest_s = body_s + silent_s  # the server gives a body that long to arrive
        self._requests = HeldRequests(name, most)
        self._session: aiohttp.ClientSession | None = None
        self._said = -math.inf

    @asynccontextmanager
    async def open(
        self, scope: Scope, receive: Receive | None, *, query: bytes | None = None
    ) -> AsyncIterator[Exchange]:
        """The beginning of the service's answer to this request; with `receive`, its body is sent along.

        The answer may begin before the whole body is sent, which is then not sent to its end. Raises
        `ServiceUnreachable`, `ServiceTimeout`, `ServiceBusy`, `ClientGone`.
        """
        client = scope["client"][0] if scope.get("client") else ""
        async with self._requests.hold(client) as held:
            body = Body(receive, held) if receive is not None and _sends(scope) else None
            answer: aiohttp.ClientResponse | None = None
            try:
                async with asyncio.timeout(self._longest_s):
                    answer = await self._ask(scope, body, scope["query_string"] if query is None else query)
                exchange = Exchange(answer, held, body)
                if body is not None:
                    body.enough = True
                yield exchange
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                if body is not None and body.broke_off:
                    raise ClientGone from None
                raise self._translated(error) from None
            finally:
                if answer is not None and not (answer.content.at_eof() and (body is None or body.ended)):
                    answer.close()  # what is left of it, or of the body, must not meet the next request

    async def _ask(self, scope: Scope, body: Body | None, query: bytes) -> aiohttp.ClientResponse:
        return await self._opened().request(
            scope["method"],
            URL(self._url + address_of(scope, query), encoded=True),
            headers=passed_on(scope, body=body is not None),
            data=body,
            allow_redirects=False,
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S, ttl_dns_cache=NAMES_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._silent_s),
                read_bufsize=READ,
                max_line_size=MOST_HEADERS,
                max_field_size=MOST_HEADERS,
            )
        return self._session

    def _translated(self, error: Exception) -> TouchlineError:
        """Names the service, and nothing else: addresses and what libraries say are for the log."""
        too_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
        if time.monotonic() - self._said >= QUIET_S:
            self._said = time.monotonic()
            log.warning("a service does not answer", service=self.name, error=type(error).__name__)
        if too_late:
            return late(self.name)
        return ServiceUnreachable(f"the {self.name} service cannot be reached")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def late(service: str) -> ServiceTimeout:
    """The error that a service took too long."""
    return ServiceTimeout(f"the {service} service did not answer in time")


def _sends(scope: Scope) -> bool:
    return scope["method"] not in _BODILESS and has_body(scope)


async def together(*calls: Coroutine[Any, Any, Result]) -> list[Result]:
    """The results of several calls at once. Raises the first error, in the order of the calls, once all have ended."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if not isinstance(one, BaseException)]
