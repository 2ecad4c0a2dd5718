"""What keeps a page safe: its headers, where a form may come from, and how often one may try to sign in."""

import time
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from backbone.web.connection_limit import neighbourhood

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A mail may style itself and bring its pictures along; it loads nothing, runs nothing and leads nowhere.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
TRIES = 5  # to sign in, for each address and second
ADDRESSES = 10_000  # that are remembered for a second
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}  # which browsers leave out of an origin
_AS_SENT = "".join(map(chr, range(0x21, 0x7F)))


def protect(answer: Response, *, mail: bool = False) -> None:
    """Put the headers on an answer that every page has; `mail`: it is the preview of a mail."""
    answer.headers["Content-Security-Policy"] = MAIL_POLICY if mail else POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers.setdefault("Cache-Control", "no-store")
    if not mail:
        answer.headers["X-Frame-Options"] = "DENY"


class Address:
    """Where the console is for its readers: that of `TOUCHLINE_PUBLIC_URL`, else that of each request."""

    def __init__(self, public_url: str) -> None:
        self._public = urlsplit(public_url.lower()) if public_url else None

    def is_https(self, request: Request) -> bool:
        """Whether readers come over https."""
        return (self._public.scheme if self._public else request.scope["scheme"]) == "https"

    def is_own(self, request: Request) -> bool:
        """Whether a request that changes something comes from a page of ours, as far as the browser says."""
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = request.headers.get("origin")
        return origin is None or origin.lower() == self._origin(request)

    def _origin(self, request: Request) -> str:
        if self._public is None:
            return f"{request.scope['scheme']}://{request.headers.get('host', '')}".lower()
        return self._public._replace(
            netloc=self._public.netloc.removesuffix(_DEFAULT_PORTS[self._public.scheme]),
            path="",
            query="",
            fragment="",
        ).geturl()


class Tries:
    """Counts attempts to sign in."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._second = 0
        self._seen: dict[str, int] = {}

    def is_over(self, address: str) -> bool:
        """Note one attempt from this address; whether that is more than it may make in this second."""
        address, second = neighbourhood(address), int(self._monotonic())
        if second != self._second or len(self._seen) >= ADDRESSES:
            self._second, self._seen = second, {}
        self._seen[address] = self._seen.get(address, 0) + 1
        return self._seen[address] > TRIES


def address_of(scope: Scope) -> str:
    """The address that was asked for, as it was sent: path and query, with their percent-encoding."""
    path, query = scope.get("raw_path") or quote(scope["path"]).encode(), scope["query_string"]
    return quote(path + b"?" + query if query else path, safe=_AS_SENT)


def local_path(path: str | None) -> str:
    """Where to go after signing in: the path itself if it leads to a page of ours, else the first page."""
    if (
        path
        and path.startswith("/")
        and not path.startswith("//")
        and "\\" not in path
        and path.isprintable()
    ):
        return path
    return "/"
