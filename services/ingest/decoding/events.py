"""Decodes JSON into events, or into refusals that name the field and what is allowed there."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from schemas.event import Event, set_attributes
from schemas.names import MAX_NAME
from services.ingest.decoding import json_recovery
from services.ingest.decoding.event_attributes import ExtendedEvent, sort_out
from services.ingest.decoding.refusals import Code, NotReadable, Refusal

__all__ = ["Code", "NotReadable", "Refusal"]


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class StrictEvent(Event, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An event whose attribute names the decoder has checked: the fast way in. Anything else is read as an `Event`."""

    specversion: Literal["1.0"] = "1.0"
    id: _Name = ""
    source: _Name = "api"
    type: _Name
    account: _Name | None = None
    contact: _Name | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None


Decoded = Event | Refusal
MAX_EVENTS = 500  # per request
MAX_EVENT = 65_536  # bytes of one event as sent
decode_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_any = msgspec.json.Decoder().decode
_decode_attributes = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_wires = msgspec.json.Decoder(list[StrictEvent]).decode
decode_wire = msgspec.json.Decoder(StrictEvent).decode
_AT = re.compile(r" - at `\$\.?(.*?)`$")
_KINDS = {
    "str": "text",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
READ_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Item:
    """Stands for a list item that is only counted."""


class _Events(msgspec.Struct):
    events: list[_Item]


class _Batch(msgspec.Struct):
    batch: list[_Item]


_ITEM = _Item()


def _count(_type: type, _sent: Any) -> _Item:
    return _ITEM


_count_list = msgspec.json.Decoder(list[_Item], dec_hook=_count).decode
_count_events = msgspec.json.Decoder(_Events, dec_hook=_count).decode
_count_batch = msgspec.json.Decoder(_Batch, dec_hook=_count).decode
_ONE_TOO_MANY = Refusal(Code.INVALID, "", "there are too many")


def too_many(body: bytes, within: Literal["", "events", "batch"]) -> list[Decoded]:
    """One refusal per item if a list has more items than a request may have, otherwise none.

    `within`: the attribute that holds the list; empty: the body is the list. Half a million tiny items fit into a
    body, so they are counted without being kept, before any event is made of them.
    """
    if body.count(b",") < MAX_EVENTS:
        return []
    try:
        if within == "events":
            count = len(_count_events(body).events)
        else:
            count = len(_count_batch(body).batch if within else _count_list(body))
    except READ_ERRORS:
        return []
    return [_ONE_TOO_MANY] * count if count > MAX_EVENTS else []


def too_many_of(parts: Sequence[object]) -> list[Decoded]:
    """The same for a list whose items have been taken apart already."""
    return [_ONE_TOO_MANY] * len(parts) if len(parts) > MAX_EVENTS else []


def read_event(raw: bytes | memoryview) -> Decoded:
    """One event in JSON, or the refusal."""
    try:
        sent = decode_any(raw)
    except READ_ERRORS as error:
        return unreadable(raw, error)
    if isinstance(sent, dict):
        return convert_event(sent)
    try:
        return msgspec.convert(sent, Event)
    except msgspec.ValidationError as error:
        return refusal_of(error)


def _empty_id() -> Refusal:
    return Refusal(Code.LENGTH, "id", "should have 1 to 256 characters, or be left out")


def convert_event(sent_attributes: Mapping[str, Any]) -> Decoded:
    """One event from decoded attributes, or the refusal."""
    attributes = set_attributes(sent_attributes)
    sent = attributes.get("id")
    if sent == "":
        return _empty_id()
    named = sent[:MAX_NAME] if isinstance(sent, str) else None
    more = sort_out(attributes)
    if isinstance(more, Refusal):
        return msgspec.structs.replace(more, id=named)
    try:
        if more:
            return msgspec.convert({**attributes, "extensions": more}, ExtendedEvent)
        return msgspec.convert(attributes, Event)
    except msgspec.ValidationError as error:
        return refusal_of(error, named)


def unreadable(raw: bytes | memoryview, error: Exception, id_name: str = "id") -> Refusal:
    """The refusal for JSON that cannot be read, with the attribute at fault and the event's id."""
    refusal = refusal_of(error, id_in(raw, id_name))
    if json_recovery.is_half_a_pair(raw, error):
        message = (
            "has half of a surrogate pair, such as \\ud83d alone: it was cut in the middle of a character"
        )
        refusal = msgspec.structs.replace(refusal, message=message)
    field = refusal.field
    if not field or refusal.code == Code.TOO_DEEP:
        field = _attribute_at_fault(raw) or field
    return msgspec.structs.replace(refusal, field=field)


def _attribute_at_fault(raw: bytes | memoryview) -> str:
    """The first attribute whose own value is not JSON; empty if there is none."""
    attributes = _attributes(raw)
    return next((name[:MAX_NAME] for name, value in attributes.items() if not _is_json(value)), "")


def _attributes(raw: bytes | memoryview) -> Mapping[str, bytes | msgspec.Raw]:
    """The attributes of an event, each as (nearly) JSON; empty if it is not an object."""
    try:
        return _decode_attributes(raw)
    except READ_ERRORS:
        pass
    try:
        return json_recovery.members(bytes(raw))
    except json_recovery.NotRecoverable:
        return {}


def _is_json(value: bytes | msgspec.Raw) -> bool:
    try:
        decode_any(value)
    except READ_ERRORS:
        return False
    return True


def id_in(raw: bytes | memoryview, name: str = "id") -> str | None:
    """The id of a refused event, as far as it can be read."""
    try:
        found = decode_any(_attributes(raw).get(name, b""))
    except READ_ERRORS:
        return None
    return found[:MAX_NAME] if isinstance(found, str) else None


def too_large(raw: bytes | memoryview, message: str, id_name: str) -> Refusal:
    """The refusal of an event that is too large, with its largest attribute and its id; the rest is not decoded."""
    try:
        sent = _decode_attributes(raw)
    except READ_ERRORS:
        return Refusal(Code.TOO_LARGE, "", message)
    largest = max(sent, key=lambda name: len(memoryview(sent[name])), default="")
    found = id_in(b'{"id":%b}' % bytes(sent[id_name])) if id_name in sent else None
    return Refusal(Code.TOO_LARGE, largest[:MAX_NAME], message, found)


def refusal_of(error: Exception, sent_id: str | None = None) -> Refusal:
    """msgspec's error as a refusal."""
    if isinstance(error, RecursionError):
        return Refusal(Code.TOO_DEEP, "data", "may nest 32 deep", sent_id)
    if isinstance(error, UnicodeDecodeError):
        return Refusal(Code.INVALID, "", "should be UTF-8", sent_id)
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(
            Code.INVALID, "", f"is no JSON: {str(error).removeprefix('JSON is malformed: ')}", sent_id
        )
    text = str(error)
    place = _AT.search(text)
    field = place[1].replace("[...]", "") if place else ""
    what = text[: place.start()] if place else text
    missing = re.search(r"missing required field `(.*)`", what)
    if missing:
        return Refusal(Code.REQUIRED, missing[1], "is required", sent_id)
    if "RFC3339" in what or "datetime" in what:
        message = "should be a time with an offset, such as 2026-11-22T09:00:00Z"
        return Refusal(Code.TIME, field or "time", message, sent_id)
    kinds = re.search(r"Expected `(.*)`, got `(.*)`", what)
    if kinds:
        wanted = [_KINDS.get(kind, kind) for kind in kinds[1].split(" | ")]
        got = _KINDS.get(kinds[2], kinds[2])
        return Refusal(Code.INVALID, field, f"should be {' or '.join(wanted)}, not {got}", sent_id)
    return Refusal(Code.INVALID, field, what[:1].lower() + what[1:], sent_id)
