"""Turns Segment's calls into events, and says whose each call is.

`identity` finds the account from the user's earlier calls. Nothing here makes a deletion or a type that only
Touchline may send.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.event import Event, is_reserved
from schemas.external_ids import valid_phone
from schemas.merging import SEGMENT, SEGMENT_PUBLIC
from schemas.names import is_name
from schemas.updates import UPDATES
from services.ingest.decoding.events import Code, Decoded, Refusal, convert_event
from services.ingest.formats.segment.calls import TrackingCall, object_of, text_of
from services.ingest.identity.placement import IdentityCall

_OUTSIDE = re.compile(r"[^a-z0-9.]+")
_CONTACT_FIELDS = ("email", "name", "timezone", "locale")


def said_of(call: TrackingCall | Refusal, *, unvouched: bool) -> IdentityCall | Refusal | None:
    """A call as an event, with what it says of its user; None if it says nothing. `unvouched`: see `Event`.

    The event's account is one that the call itself names, as if nothing else were known.
    """
    if isinstance(call, Refusal):
        return call
    made = _event(call)
    if not isinstance(made, Event):
        return made
    if unvouched:
        made.source, made.unvouched = SEGMENT_PUBLIC, True
    group = text_of(call.body.get("groupId")) if call.kind == "group" else None
    return IdentityCall(
        event=made,
        known=call.known,
        anonymous=call.anonymous if is_name(call.anonymous) else None,
        message=made.id or None,
        group=group,
        named=None if group else call.group,
        traits=_traits(call, made),
    )


def _traits(call: TrackingCall, event: Event) -> dict[str, Any] | None:
    """The traits that the call gives of its user; in a `group` call they are in its context."""
    if call.kind == "identify":
        return event.data if isinstance(event.data, dict) else None
    theirs = object_of(call.context, "traits") if call.kind == "group" else {}
    return _contact_of(theirs) if theirs else None


def _event(call: TrackingCall) -> Decoded | None:
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
        "source": SEGMENT,
        "account": group or user,
        "contact": call.known,
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


def in_their_words(refusal: Refusal, said: IdentityCall | None = None) -> Refusal:
    """A refusal that names the field as Segment's API does. `said`: what the call was turned into, as far as it got."""
    field = _NAMES.get(refusal.field, refusal.field)
    if said is not None:
        first, _, below = field.partition(".")
        if first == "data":
            theirs = "traits" if said.event.type in UPDATES else "properties"
            field = ".".join(part for part in (theirs, below.removeprefix("attributes.")) if part)
        else:
            field = _names_of(said).get(refusal.field, field)
    return msgspec.structs.replace(refusal, field=field)


_NAMES = {"id": "messageId", "time": "timestamp", "contact": "userId", "account": "groupId"}


def _names_of(said: IdentityCall) -> dict[str, str]:
    """The fields of this call from which the account, the contact and the type were made."""
    user = "userId" if said.known else "anonymousId"
    group = "groupId" if said.group else "context.groupId" if said.named else user
    return {"account": group, "contact": user, "type": "event"}


def _track(call: TrackingCall) -> dict[str, Any] | Refusal:
    name = text_of(call.body.get("event"))
    if name is None:
        return Refusal(Code.REQUIRED, "event", "is required", call.id)
    return {"type": type_of(name), "data": object_of(call.body, "properties")}


def _page(call: TrackingCall) -> dict[str, Any] | Refusal:
    data = object_of(call.body, "properties")
    name = text_of(call.body.get("name"))
    if name is not None:
        data = {**data, "name": name}
    category = text_of(call.body.get("category"))
    if category is not None:
        data = {**data, "category": category}
    return {"type": call.kind, "data": data}


def _identify(call: TrackingCall) -> dict[str, Any] | Refusal:
    return {"type": "contact.updated", "data": _contact_of(call.traits)}


def _contact_of(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A user's traits as the data of a contact update."""
    traits = dict(sent)
    if not isinstance(traits.get("name"), str):
        parts = [traits.get("firstName"), traits.get("lastName")]
        whole = " ".join(part for part in parts if isinstance(part, str) and part)
        if whole:
            traits["name"] = whole
    fields = {
        name: traits.pop(name) for name in _CONTACT_FIELDS if isinstance(traits.get(name, 0), str | None)
    }
    return {**fields, **_phone_of(traits), "attributes": traits}


def _phone_of(traits: Mapping[str, Any]) -> dict[str, Any]:
    """The phone number, if it names its country. It stays among the attributes, where it is as it was sent."""
    try:
        return {"phone": valid_phone(str(traits.get("phone")))}
    except ValueError:
        return {}


def _group(call: TrackingCall) -> dict[str, Any] | Refusal:
    traits = call.traits
    data: dict[str, Any] = {"attributes": traits}
    if isinstance(traits.get("name"), str):
        data["name"] = traits["name"]
    return {"type": "account.updated", "data": data}


_MAKERS: dict[str, Callable[[TrackingCall], dict[str, Any] | Refusal]] = {
    "track": _track,
    "identify": _identify,
    "group": _group,
    "page": _page,
    "screen": _page,
}


def type_of(name: str) -> str:
    """`Order Completed` as `order_completed`; a name that would be a reserved type is put under `track.`."""
    kind = _OUTSIDE.sub("_", name.lower())
    return f"track.{kind}" if is_reserved(kind) else kind
