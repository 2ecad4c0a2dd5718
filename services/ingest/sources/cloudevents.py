"""CloudEvents in binary mode: attributes in `ce-` headers, the body is the data.

Structured and batched mode are our own JSON: see `native`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from services.ingest.sources.base import READ_ERRORS, Code, Item, NotReadable, Refusal, convert_event
from services.ingest.sources.native import content_of

PREFIX = "ce-"
_TRUTH = {"true": True, "false": False}


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether these headers (names in lower case) are those of an event in binary mode."""
    return "ce-type" in headers or "ce-specversion" in headers or "ce-id" in headers


def decode(body: bytes, headers: Mapping[str, str]) -> list[Item]:
    """The one event. Raises `NotReadable` if its data is not what the content type says."""
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
