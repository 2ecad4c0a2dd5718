"""Our own JSON: an event, an array, `{"events": […]}`. Structured and batched CloudEvents are the same."""

import base64
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.ingest.decoding import json_recovery
from services.ingest.decoding.events import (
    MAX_EVENT,
    MAX_EVENTS,
    READ_ERRORS,
    Code,
    Decoded,
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
from services.ingest.formats.base import EventFormat, Example, Incoming


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


def decode(sent: Incoming) -> list[Decoded]:
    """The events of a body, in order. Raises `NotReadable` if the body is not JSON."""
    body = sent.body
    start = body.lstrip(b" \t\r\n")[:1]
    if b'"data_base64"' not in body:
        try:
            return _at_once(body, start)
        except (*READ_ERRORS, _TooLarge):
            pass  # something is wrong: read the events one by one
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


def _at_once(body: bytes, start: bytes) -> list[Decoded]:
    """The events of a body without any error. Raises `_TooLarge` and `READ_ERRORS`."""
    large = len(body) > MAX_EVENT
    if start == b"[":
        wires: list[Decoded] = [*decode_wires(body)]
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
    """The JSON of each event, or what is wrong with the object or array around them."""
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
    """The events of a body that is not JSON because of one or more of them. Raises `NotReadable`."""
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
    """Whether an object is meant as `{"events": […]}` rather than as an event."""
    try:
        sent = decode_any(whole)
    except READ_ERRORS:
        return False
    return isinstance(sent, dict) and "events" in sent and "type" not in sent


def _one(raw: bytes | memoryview) -> Decoded:
    if len(raw) > MAX_EVENT:
        message = f"an event may have {MAX_EVENT:,} bytes, this one has {len(raw):,}"
        return too_large(raw, message, "id")
    if b'"data_base64"' in bytes(raw):
        return _with_base64(raw)
    return read_event(raw)


def _with_base64(raw: bytes | memoryview) -> Decoded:
    """An event with `data_base64`, CloudEvents' way to carry bytes."""
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
    """An event's data: JSON is decoded, text stays text, anything else becomes base64 text. Raises `READ_ERRORS`."""
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


def _may_hold_nul(body: bytes) -> bool:
    return b"\\u0000" in body or b'"data_base64"' in body


Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
EVENT = {
    "id": "inv-88",
    "source": "billing",
    "type": "invoice.overdue",
    "time": "2026-11-22T09:00:00Z",
    "account": "acme",
    "contact": "ann",
    "data": {"invoice": "88", "amount": 1200.0, "days": 8},
}


class EventIn(BaseModel):
    """A CloudEvents 1.0 event, with the fields `account` and `contact`.

    Without `specversion`, fields that are not listed here are refused (`unknown_field`). With it, extension
    attributes that CloudEvents allows (names of lower-case letters and digits; strings, numbers and booleans)
    are kept and have no effect.
    """

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: Name = Field(
        default_factory=str,
        description="Identifies the event together with account and source. Default: a UUIDv7.",
    )
    source: Name = "api"
    type: Name = Field(examples=["invoice.overdue"])
    time: AwareDatetime | None = Field(
        None, description="The time of the event, in RFC 3339 with an offset. Default: the time of receipt."
    )
    account: Name = Field(description="The customer that the event is about.", examples=["acme"])
    subject: str | None = Field(
        None, description="The CloudEvents subject. It is kept unchanged and does not name an account."
    )
    contact: Name | None = Field(None, description="The person at the account.", examples=["ann"])
    data: Any = Field(None, description="Any JSON value, nested at most 32 levels deep.")
    historical: bool = Field(
        False, description="Marks a backfill: the event is logged and counted, but fires no rules."
    )


_ONE: dict[str, Any] = {"$ref": "#/components/schemas/EventIn"}
_MANY: dict[str, Any] = {"type": "array", "items": _ONE, "minItems": 1, "description": "At most 500 events."}
_WRAPPED: dict[str, Any] = {
    "type": "object",
    "properties": {"events": _MANY},
    "required": ["events"],
    "additionalProperties": False,
}
FORMAT = EventFormat(
    name="native",
    decode=decode,
    content_types={
        "": None,
        "text/json": None,
        "application/json": {
            "schema": {"anyOf": [_ONE, _MANY, _WRAPPED]},
            "examples": {
                "one": {"summary": "one event", "value": EVENT},
                "many": {"summary": "several", "value": {"events": [EVENT]}},
            },
        },
        # Not on the page: clients generated from a body of several content types, one of them a list, do not run.
        "application/cloudevents+json": None,
        "application/cloudevents-batch+json": None,
    },
    models=(EventIn,),
    may_hold_nul=_may_hold_nul,
    administers=True,
    taken=Example(sent=Incoming(msgspec.json.encode({"events": [EVENT]}))),
    refused=Example(sent=Incoming(b'{"type": "ticket.opened", "account": 7}'), field="account"),
)
