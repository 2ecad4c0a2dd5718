"""Segment's HTTP tracking API: its calls as events.

A call becomes an event in two steps, because its account may be the group that its user named in an earlier
call: `read` parses a body into calls, the caller looks up `users_of(calls)`, `events_of` makes events and tells
which users now belong to which group. Nothing here yields a deletion or a type that only Touchline may send.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.event import Event, is_reserved
from schemas.names import is_name
from services.ingest.sources.base import (
    MAX_EVENT,
    READ_ERRORS,
    Code,
    Item,
    NotReadable,
    Refusal,
    convert_event,
    decode_any,
    too_large,
    too_many,
)

CALLS = ("track", "identify", "group", "page", "screen", "alias")
_FROM = "segment"
_TOO_LARGE = f"a call may have {MAX_EVENT:,} bytes"
_OUTSIDE = re.compile(r"[^a-z0-9.]+")
_CONTACT_FIELDS = ("email", "name", "timezone", "locale")


class Call(msgspec.Struct, frozen=True):
    """One call: what it is, and its JSON object."""

    kind: str
    body: dict[str, Any]

    @property
    def user(self) -> str | None:
        """`userId`, else `anonymousId`."""
        return _text(self.body.get("userId")) or _text(self.body.get("anonymousId"))

    @property
    def group(self) -> str | None:
        """The group that this call itself names."""
        own = _text(self.body.get("groupId")) if self.kind == "group" else None
        context = self.body.get("context")
        return own or (_text(context.get("groupId")) if isinstance(context, dict) else None)

    @property
    def id(self) -> str | None:
        """`messageId`."""
        return _text(self.body.get("messageId"))


def read(body: bytes, kind: str) -> list[Call | Refusal]:
    """The calls of a body; `kind` is the last piece of the address. Raises `NotReadable`."""
    surplus = too_many(body, "batch") if kind == "batch" else []
    if surplus:
        return [one for one in surplus if isinstance(one, Refusal)]
    if kind != "batch" and len(body) > MAX_EVENT and body.lstrip()[:1] == b"{":
        return [too_large(body, _TOO_LARGE, "messageId")]
    try:
        sent = decode_any(body)
    except READ_ERRORS as error:
        raise NotReadable(f"not JSON: {error}") from None
    if not isinstance(sent, dict):
        raise NotReadable("the body should be an object")
    if kind != "batch":
        return [Call(kind, sent)]
    batch = sent.get("batch")
    if not isinstance(batch, list):
        raise NotReadable("batch: should be an array of calls")
    shared = sent.get("context")
    return [_in_batch(entry, shared if isinstance(shared, dict) else {}) for entry in batch]


def _in_batch(entry: Any, shared: Mapping[str, Any]) -> Call | Refusal:
    if not isinstance(entry, dict):
        return Refusal(Code.INVALID, "", "should be an object")
    kind = entry.get("type")
    if kind not in CALLS:
        message = f"should be one of {', '.join(CALLS)}"
        return Refusal(Code.INVALID, "type", message, _text(entry.get("messageId")))
    if len(msgspec.json.encode(entry)) > MAX_EVENT:
        return too_large(msgspec.json.encode(entry), _TOO_LARGE, "messageId")
    own = entry.get("context")
    if shared and not isinstance(own, dict):
        entry = {**entry, "context": dict(shared)}
    elif shared and isinstance(own, dict):
        entry = {**entry, "context": {**shared, **own}}
    return Call(str(kind), entry)


def users_of(calls: Sequence[Call | Refusal]) -> list[str]:
    """The users whose group has to be looked up."""
    return list(
        {
            call.user: None
            for call in calls
            if isinstance(call, Call) and not call.group and is_name(call.user)
        }
    )


def events_of(
    calls: Sequence[Call | Refusal], groups: Mapping[str, str]
) -> tuple[list[Item | None], dict[str, str]]:
    """Each call's event, refusal, or None (an alias says nothing); and the group of each user that named one.

    `groups`: the groups known before. A group call holds for the calls after it, also in the same batch.
    """
    named: dict[str, str] = {}
    items: list[Item | None] = []
    for call in calls:
        if isinstance(call, Refusal):
            items.append(call)
            continue
        item = _event(call, {**groups, **named} if named else groups)
        if call.kind == "group" and isinstance(item, Event) and is_name(call.user) and is_name(call.group):
            named[call.user] = call.group
        items.append(item)
    return items, named


def _event(call: Call, groups: Mapping[str, str]) -> Item | None:
    user, group = call.user, call.group
    if call.kind == "group" and not _text(call.body.get("groupId")):
        return Refusal(Code.REQUIRED, "groupId", "is required", call.id)
    if user is None and not (call.kind == "group" and group):
        return Refusal(Code.REQUIRED, "userId", "userId or anonymousId is required", call.id)
    if call.kind == "alias":
        return None
    made = _MAKERS[call.kind](call)
    if isinstance(made, Refusal):
        return made
    attributes: dict[str, Any] = {
        "source": _FROM,
        "account": group or groups.get(user or "") or user,
        "contact": _text(call.body.get("userId")),
        **made,
    }
    for name, key in (("id", "messageId"), ("time", "timestamp")):
        if call.body.get(key) not in (None, ""):
            attributes[name] = call.body[key]
    if call.kind == "identify" and attributes["contact"] is None:
        attributes["contact"] = user
    event = convert_event(attributes)
    return event if isinstance(event, Event) else in_their_words(event)


def in_their_words(refusal: Refusal) -> Refusal:
    """A refusal that names the field as Segment's API does."""
    names = {"id": "messageId", "time": "timestamp", "contact": "userId", "account": "groupId"}
    return msgspec.structs.replace(refusal, field=names.get(refusal.field, refusal.field))


def _track(call: Call) -> dict[str, Any] | Refusal:
    name = _text(call.body.get("event"))
    if name is None:
        return Refusal(Code.REQUIRED, "event", "is required", call.id)
    return {"type": type_of(name), "data": _object(call.body, "properties")}


def _page(call: Call) -> dict[str, Any] | Refusal:
    data = _object(call.body, "properties")
    name = _text(call.body.get("name"))
    if name is not None:
        data = {**data, "name": name}
    category = _text(call.body.get("category"))
    if category is not None:
        data = {**data, "category": category}
    return {"type": call.kind, "data": data}


def _identify(call: Call) -> dict[str, Any] | Refusal:
    traits = dict(_object(call.body, "traits"))
    if not isinstance(traits.get("name"), str):
        parts = [traits.get("firstName"), traits.get("lastName")]
        whole = " ".join(part for part in parts if isinstance(part, str) and part)
        if whole:
            traits["name"] = whole
    fields = {
        name: traits.pop(name) for name in _CONTACT_FIELDS if isinstance(traits.get(name, 0), str | None)
    }
    return {"type": "contact.updated", "data": {**fields, "attributes": traits}}


def _group(call: Call) -> dict[str, Any] | Refusal:
    traits = _object(call.body, "traits")
    data: dict[str, Any] = {"attributes": traits}
    if isinstance(traits.get("name"), str):
        data["name"] = traits["name"]
    return {"type": "account.updated", "data": data}


_MAKERS: dict[str, Callable[[Call], dict[str, Any] | Refusal]] = {
    "track": _track,
    "identify": _identify,
    "group": _group,
    "page": _page,
    "screen": _page,
}


def type_of(name: str) -> str:
    """`Order Completed` as `order_completed`; what would be a reserved type is put under `track.`."""
    kind = _OUTSIDE.sub("_", name.lower())
    return f"track.{kind}" if is_reserved(kind) else kind


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """A non-empty text; numbers, which some libraries send as ids, become text."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    return str(value) if isinstance(value, str | int) else None
