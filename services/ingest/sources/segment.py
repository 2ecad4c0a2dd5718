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
from services.ingest.sources.base import Code, Item, Refusal, convert_event
from services.ingest.sources.segment_calls import CALLS, Call, object_of, read, text_of

__all__ = ["CALLS", "Call", "events_of", "in_their_words", "read", "type_of", "users_of"]
_FROM = "segment"
_OUTSIDE = re.compile(r"[^a-z0-9.]+")
_CONTACT_FIELDS = ("email", "name", "timezone", "locale")


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
    if call.kind == "group" and not text_of(call.body.get("groupId")):
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
        "contact": text_of(call.body.get("userId")),
        **made,
    }
    if call.body.get("messageId") not in (None, ""):
        attributes["id"] = call.body["messageId"]
    if call.timestamp is not None:
        attributes["time"] = call.timestamp
    if call.kind == "identify" and attributes["contact"] is None:
        attributes["contact"] = user
    event = convert_event(attributes)
    if not isinstance(event, Event):
        return in_their_words(event)
    if call.skew and event.time is not None:
        event.originaltime, event.time = str(call.timestamp), call.by_our_clock(event.time)
    return event


def in_their_words(refusal: Refusal) -> Refusal:
    """A refusal that names the field as Segment's API does."""
    names = {"id": "messageId", "time": "timestamp", "contact": "userId", "account": "groupId"}
    return msgspec.structs.replace(refusal, field=names.get(refusal.field, refusal.field))


def _track(call: Call) -> dict[str, Any] | Refusal:
    name = text_of(call.body.get("event"))
    if name is None:
        return Refusal(Code.REQUIRED, "event", "is required", call.id)
    return {"type": type_of(name), "data": object_of(call.body, "properties")}


def _page(call: Call) -> dict[str, Any] | Refusal:
    data = object_of(call.body, "properties")
    name = text_of(call.body.get("name"))
    if name is not None:
        data = {**data, "name": name}
    category = text_of(call.body.get("category"))
    if category is not None:
        data = {**data, "category": category}
    return {"type": call.kind, "data": data}


def _identify(call: Call) -> dict[str, Any] | Refusal:
    traits = dict(call.traits)
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
    traits = call.traits
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
