"""Tells whether a hook comes from its system: one function for each scheme of `schemas.source`.

Secrets are compared in constant time, and of several secrets and signatures all are compared. `now` is an argument.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from schemas.endpoint import SECRET_PREFIX
from schemas.event import microseconds
from schemas.source import (
    BasicScheme,
    HmacScheme,
    NoScheme,
    SourceIn,
    StandardWebhooksScheme,
    StripeScheme,
    TokenScheme,
    secrets_of,
)
from services.ingest.sources.moments import moment_of

TOLERANCE_US = 5 * 60 * 1_000_000  # either way
MOST_SIGNATURES = 20  # of one request
MOST_FIELDS = 100  # of a query
_PLACE = re.compile(rb"\{(method|url|timestamp|body|header:[^{}]+)\}")


class HookRequest(msgspec.Struct, frozen=True, gc=False):
    """A request to a hook. `headers`: names in lower case. `url`: as the other system called it."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""
    url: str = ""
    method: str = "POST"


Check = Callable[[HookRequest, int], bool]  # the request, and now (microseconds)


def verifier(source: SourceIn) -> Check:
    """The check of a source, with its secrets. Without one of its own nothing holds."""
    scheme: Any = source.verify
    secrets = secrets_of(scheme.model_dump())
    match scheme:
        case StripeScheme():
            return _stripe(scheme, _bytes(secrets))
        case HmacScheme():
            return _hmac(scheme, _bytes(secrets))
        case StandardWebhooksScheme():
            return _standard([base64.b64decode(one.removeprefix(SECRET_PREFIX)) for one in secrets])
        case BasicScheme():
            return _basic(_bytes(f"{scheme.username}:{one}" for one in secrets))
        case TokenScheme():
            return _token(scheme, _bytes(secrets))
        case NoScheme():
            return lambda _request, _now: True
    raise TypeError(type(scheme))


def _bytes(texts: Iterable[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _any_equal(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """Whether one of `given` is one of `expected`. Compares all, each in constant time."""
    wanted = list(expected)
    found = [hmac.compare_digest(one, other) for one in given for other in wanted]
    return any(found)


def _fresh(value: str | None, now: int) -> bool:
    """Whether this is a time, and not more than the tolerance off."""
    if value is None:
        return False
    try:
        sent = microseconds(moment_of(value))
    except ValueError:
        return False
    return abs(now - sent) <= TOLERANCE_US


def _header(request: HookRequest, name: str) -> str | None:
    return request.headers.get(name.lower())


def _stripe(scheme: StripeScheme, secrets: list[bytes]) -> Check:
    def check(request: HookRequest, now: int) -> bool:
        parts = (_header(request, scheme.header) or "").split(",")[: MOST_SIGNATURES + 1]
        pairs = [part.strip().partition("=") for part in parts]
        times = [value for name, _, value in pairs if name == "t"]
        given = [value.encode("latin-1", "replace") for name, _, value in pairs if name == "v1"]
        if len(times) != 1 or not times[0].isdecimal() or not _fresh(times[0], now):
            return False
        signed = times[0].encode("ascii", "replace") + b"." + request.body
        return _any_equal(given, [_hex(hmac.digest(one, signed, "sha256")) for one in secrets])

    return check


def _hex(digest: bytes) -> bytes:
    return binascii.hexlify(digest)


def _hmac(scheme: HmacScheme, secrets: list[bytes]) -> Check:
    template = scheme.signed.encode()
    algorithm = getattr(hashlib, scheme.algorithm)
    prefix = scheme.prefix or ""

    def check(request: HookRequest, now: int) -> bool:
        given = list(_signatures(_header(request, scheme.header) or "", prefix, scheme.encoding))
        stamp = None if scheme.timestamp is None else _header(request, scheme.timestamp)
        if not given or (scheme.timestamp is not None and not _fresh(stamp, now)):
            return False
        signed = _filled(template, request, stamp or "")
        if signed is None:
            return False
        return _any_equal(given, [hmac.new(one, signed, algorithm).digest() for one in secrets])

    return check


def _signatures(header: str, prefix: str, encoding: str) -> Iterable[bytes]:
    """The digests in a header. What is not written as it should be is none."""
    for part in re.split(r"[,\s]+", header.strip(), maxsplit=MOST_SIGNATURES)[:MOST_SIGNATURES]:
        if not part or not part.startswith(prefix):
            continue
        text = part[len(prefix) :]
        try:
            yield bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
        except ValueError:
            continue


def _filled(template: bytes, request: HookRequest, stamp: str) -> bytes | None:
    """What was signed; None where it names a header that the request has not."""
    values: dict[bytes, bytes] = {}
    for place in set(_PLACE.findall(template)):
        if place.startswith(b"header:"):
            value = _header(request, place[len(b"header:") :].decode())
            if value is None:
                return None
            values[place] = value.encode("latin-1", "replace")
    values |= {
        b"method": request.method.encode(),
        b"url": request.url.encode("utf-8", "surrogateescape"),
        b"timestamp": stamp.encode("latin-1", "replace"),
        b"body": request.body,
    }
    return _PLACE.sub(lambda found: values[found[1]], template)


def _standard(secrets: list[bytes]) -> Check:
    def check(request: HookRequest, now: int) -> bool:
        id_, stamp = _header(request, "webhook-id"), _header(request, "webhook-timestamp")
        if not id_ or stamp is None or not stamp.isdecimal() or not _fresh(stamp, now):
            return False
        given = [
            part[3:].encode("latin-1", "replace")
            for part in (_header(request, "webhook-signature") or "").split(" ")[:MOST_SIGNATURES]
            if part.startswith("v1,")
        ]
        signed = b".".join([id_.encode("latin-1", "replace"), stamp.encode("ascii", "replace"), request.body])
        return _any_equal(given, [base64.b64encode(hmac.digest(one, signed, "sha256")) for one in secrets])

    return check


def _basic(pairs: list[bytes]) -> Check:
    def check(request: HookRequest, _now: int) -> bool:
        kind, _, value = (_header(request, "authorization") or "").partition(" ")
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except ValueError:
            return False
        return kind.lower() == "basic" and _any_equal([given], pairs)

    return check


def _token(scheme: TokenScheme, secrets: list[bytes]) -> Check:
    def check(request: HookRequest, _now: int) -> bool:
        if scheme.header is not None:
            value = _header(request, scheme.header)
            given = [] if value is None else [value.encode("latin-1", "replace")]
        else:
            given = _in_query(request.query, scheme.query or "")
        return len(given) == 1 and _any_equal(given, secrets)

    return check


def _in_query(query: str, name: str) -> list[bytes]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return []
    return [value.encode("utf-8", "surrogateescape") for key, value in pairs if key == name]
