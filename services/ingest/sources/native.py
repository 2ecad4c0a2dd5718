"""Our own JSON: an event, an array, `{"events": […]}`. Structured and batched CloudEvents are the same."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.ingest.sources import json_recovery
from services.ingest.sources.base import (
    MAX_EVENT,
    MAX_EVENTS,
    READ_ERRORS,
    Code,
    Item,
    NotReadable,
    Refusal,
    StrictEvent,
    convert_event,
    decode_any,
    decode_raw_list,
    decode_wire,
    decode_wires,
    read_event,
    too_large,
    too_many,
    too_many_of,
)


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


class _Wires(msgspec.Struct, forbid_unknown_fields=True):
    events: list[StrictEvent]


class _TooLarge(ValueError):
    """An event may be larger than allowed."""


_BATCH = re.compile(rb'\s*{\s*"events"\s*:')
_decode_wire_batch = msgspec.json.Decoder(_Wires).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_SHAPES = 'an event, an array of events, or {"events": […]} and nothing else'
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def decode(body: bytes, _headers: Mapping[str, str]) -> list[Item]:
    """The events of a body, in order. Raises `NotReadable` if it is no JSON."""
    start = body.lstrip(b" \t\r\n")[:1]
    if b'"data_base64"' not in body:
        try:
            return _at_once(body, start)
        except (*READ_ERRORS, _TooLarge):
            pass  # something is wrong: read them one by one
    if start not in {b"[", b"{"}:
        why_not = _why_not_json(body)
        if why_not is not None:
            raise NotReadable(why_not)
        return [Refusal(Code.INVALID, "", f"the body should be {_SHAPES}")]
    surplus = too_many(body, "" if start == b"[" else "events")
    if surplus:
        return surplus
    parts = _split(body, start)
    if isinstance(parts, Refusal):
        return [parts]
    return too_many_of(parts) or [_one(raw) for raw in parts]


def _at_once(body: bytes, start: bytes) -> list[Item]:
    """The events of a body in which all is well. Raises `_TooLarge` and `READ_ERRORS`."""
    large = len(body) > MAX_EVENT
    if start == b"[":
        wires: list[Item] = [*decode_wires(body)]
        few = len(wires) <= MAX_EVENTS
        if large and few and any(len(memoryview(raw)) > MAX_EVENT for raw in decode_raw_list(body)):
            raise _TooLarge
        return wires
    if large or _BATCH.match(body):
        wires = [*_decode_wire_batch(body).events]
        few = len(wires) <= MAX_EVENTS
        if large and few and any(len(memoryview(raw)) > MAX_EVENT for raw in _decode_batch(body).events):
            raise _TooLarge
        return wires
    return [decode_wire(body)]


def _split(body: bytes, start: bytes) -> Sequence[bytes | memoryview] | Refusal:
    """Each event's own JSON, or what is wrong with the object or array around them."""
    try:
        if start == b"[":
            return [memoryview(raw) for raw in decode_raw_list(body)]
        whole = memoryview(_decode_raw(body))
    except READ_ERRORS as error:
        return _apart(body, start, error)
    if b'"events"' in body:
        try:
            return [memoryview(raw) for raw in _decode_batch(body).events]
        except READ_ERRORS:
            if _is_list(whole):
                return Refusal(Code.INVALID, "events", f"the body should be {_SHAPES}")
    return [whole]


def _apart(body: bytes, start: bytes, error: Exception) -> Sequence[bytes] | Refusal:
    """The events of a body that is no JSON because of one of them, or more. Raises `NotReadable`."""
    try:
        if start == b"[":
            return json_recovery.elements(body)
        attributes = json_recovery.members(body)
        if attributes.keys() == {"events"}:
            return json_recovery.elements(attributes["events"])
    except json_recovery.NotRecoverable:
        pass
    else:
        if isinstance(error, RecursionError) or json_recovery.is_half_a_pair(body, error):
            return [body]
    if isinstance(error, RecursionError):
        if body.rstrip()[-1:] == (b"]" if start == b"[" else b"}"):
            return Refusal(Code.TOO_DEEP, "data", "may nest 32 deep")
        raise NotReadable("not JSON: it ends too early") from None
    raise NotReadable(f"not JSON: {error}") from None


def _is_list(whole: memoryview) -> bool:
    """Whether an object means to be `{"events": […]}` rather than an event."""
    try:
        sent = decode_any(whole)
    except READ_ERRORS:
        return False
    return isinstance(sent, dict) and "events" in sent and "type" not in sent


def _one(raw: bytes | memoryview) -> Item:
    if len(raw) > MAX_EVENT:
        message = f"an event may have {MAX_EVENT:,} bytes, this one has {len(raw):,}"
        return too_large(raw, message, "id")
    if b'"data_base64"' in bytes(raw):
        return _with_base64(raw)
    return read_event(raw)


def _with_base64(raw: bytes | memoryview) -> Item:
    """CloudEvents' way to carry bytes."""
    try:
        attributes = decode_any(raw)
    except READ_ERRORS:
        return read_event(raw)
    if not isinstance(attributes, dict) or "data_base64" not in attributes:
        return read_event(raw)
    sent = attributes.get("id")
    try:
        content = base64.b64decode(attributes.pop("data_base64"), validate=True)
        attributes["data"] = content_of(content, str(attributes.get("datacontenttype", "application/json")))
    except (TypeError, ValueError, *READ_ERRORS):
        message = "should be base64 of data of the kind that datacontenttype names"
        return Refusal(Code.INVALID, "data_base64", message, sent if isinstance(sent, str) else None)
    return convert_event(attributes)


def content_of(content: bytes, content_type: str) -> Any:
    """An event's data: JSON decoded, text as text, anything else as base64 text. Raises `READ_ERRORS`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")) or not kind:
        return decode_any(content) if content else None
    if kind.startswith("text/") or kind.endswith(("/xml", "+xml")):
        return content.decode()
    return base64.b64encode(content).decode()


def _why_not_json(body: bytes) -> str | None:
    try:
        decode_any(body)
    except READ_ERRORS as error:
        return f"not JSON: {error}"
    return None
