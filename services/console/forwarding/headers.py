"""Which headers are passed on, and which are ours to write."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from starlette.types import Scope

# between two neighbours only (RFC 9110, 7.6.1)
_HOP = frozenset(
    {
        b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
# what the console says itself, the host of another server, and the cookie of its own pages
_OURS = frozenset(
    {
        b"cookie", b"forwarded", b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port",
        b"x-forwarded-proto", b"x-real-ip",
    }
)  # fmt: skip
_WRITTEN_ANEW = frozenset({b"date", b"server", b"set-cookie"})

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
Pairs = list[tuple[bytes, bytes]]


def address_of(scope: Scope, query: bytes) -> str:
    """The path as it was sent, with this query."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    return _NOT_ASCII.sub(
        lambda found: b"%%%02X" % found[0][0], path + (b"?" + query if query else b"")
    ).decode()


def passed_on(scope: Scope, *, body: bool) -> list[tuple[str, str]]:
    """The headers of a request to a service: the caller's, and who called, as the console knows it.

    `body`: whether one goes along. A value that is no text is left out: nothing that has a meaning here can be one.
    """
    told: Pairs = [(b"x-forwarded-proto", scope["scheme"].encode())]
    if scope.get("client"):
        told.append((b"x-forwarded-for", scope["client"][0].encode()))
    host = next((value for name, value in scope["headers"] if name == b"host"), None)
    if host is not None:
        told.append((b"x-forwarded-host", host))
    ours = _OURS if body else _OURS | {b"content-length"}
    pairs = [pair for pair in _end_to_end(scope["headers"]) if pair[0] not in ours]
    return [
        (name.decode("latin-1"), text)
        for name, value in [*pairs, *told]
        if (text := _text(value)) is not None
    ]


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """The headers of an answer of a service, for the caller."""
    lowered = [(name.lower(), value) for name, value in headers]
    return [pair for pair in _end_to_end(lowered) if pair[0] not in _WRITTEN_ANEW]


def has_body(scope: Scope) -> bool:
    """Whether a request says that a body follows."""
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    pairs = list(headers)
    named = {
        part.strip().lower() for name, value in pairs if name == b"connection" for part in value.split(b",")
    }
    return [pair for pair in pairs if pair[0] not in _HOP and pair[0] not in named]


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
