"""CloudEvents in binary mode: the attributes are `ce-` headers, and the body is the data.

Structured and batched mode are the same as our own JSON: see `native`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from services.ingest.decoding.events import READ_ERRORS, Code, Decoded, NotReadable, Refusal, convert_event
from services.ingest.formats.base import BodyClaim, EventFormat, Example, Incoming
from services.ingest.formats.native import content_of

PREFIX = "ce-"
_TRUTH = {"true": True, "false": False}


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether these headers (names in lower case) belong to an event in binary mode."""
    return "ce-type" in headers or "ce-specversion" in headers or "ce-id" in headers


def _claims(kind: str, headers: Mapping[str, str]) -> bool:
    return not kind.startswith("application/cloudevents") and is_binary(headers)


def decode(sent: Incoming) -> list[Decoded]:
    """The one event. Raises `NotReadable` if its data is not of the declared content type."""
    body, headers = sent.body, sent.headers
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith(PREFIX):
            try:
                attributes[name.removeprefix(PREFIX)] = unquote(value, errors="strict")
            except UnicodeDecodeError:
                return [Refusal(Code.INVALID, name, "should be percent-encoded UTF-8")]
    if "historical" in attributes:
        truth = _TRUTH.get(attributes["historical"].strip().lower())
        if truth is None:
            message = "should be true or false"
            return [Refusal(Code.INVALID, "ce-historical", message, attributes.get("id"))]
        attributes["historical"] = truth
    try:
        attributes["data"] = content_of(body, headers.get("content-type", "application/json"))
    except READ_ERRORS as error:
        raise NotReadable(f"the data cannot be read: {error}") from None
    found = convert_event({"specversion": "1.0", **attributes})
    if isinstance(found, Refusal) and found.field in attributes and found.field != "data":
        found = msgspec.structs.replace(found, field=PREFIX + found.field)
    return [found]


_HEADERS = {
    "ce-specversion": "1.0",
    "ce-type": "ticket.opened",
    "ce-source": "helpdesk",
    "ce-account": "acme",
}
FORMAT = EventFormat(
    name="cloudevents",
    decode=decode,
    claim=BodyClaim(holds=_claims, hint="send ce- headers"),
    administers=True,
    taken=Example(sent=Incoming(b'{"severity": "high"}', _HEADERS)),
    refused=Example(sent=Incoming(b"{}", {**_HEADERS, "ce-time": "yesterday"}), field="ce-time"),
)
