"""The calls in a body of Segment's HTTP tracking API, as its libraries send it today.

A batch is an array in an object that also has `sentAt`, by the sender's clock, and often the write key. A bad call
never takes others with it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schemas.event import from_microseconds, microseconds
from services.ingest.decoding import json_recovery
from services.ingest.decoding.events import (
    MAX_EVENT,
    READ_ERRORS,
    Code,
    NotReadable,
    Refusal,
    decode_any,
    too_large,
    too_many,
    too_many_of,
    unreadable,
)

CALLS = ("track", "identify", "group", "page", "screen", "alias")
SKEW_US = 5 * 60 * 1_000_000  # a clock that is further off than this is corrected
_TOO_LARGE = f"a call may have {MAX_EVENT:,} bytes"
_decode_time = msgspec.json.Decoder(datetime).decode
_ONE_CALL = "the body should be an object"


class TrackingCall(msgspec.Struct, frozen=True):
    """One call: its kind, its JSON object, and how far its sender's clock is ahead of ours (microseconds)."""

    kind: str
    body: dict[str, Any]
    skew: int = 0

    @property
    def user(self) -> str | None:
        """`userId`, else `anonymousId`."""
        return self.known or self.anonymous

    @property
    def known(self) -> str | None:
        """`userId`."""
        return text_of(self.body.get("userId"))

    @property
    def anonymous(self) -> str | None:
        """`anonymousId`."""
        return text_of(self.body.get("anonymousId"))

    @property
    def group(self) -> str | None:
        """The group that this call names itself."""
        own = text_of(self.body.get("groupId")) if self.kind == "group" else None
        return own or text_of(self.context.get("groupId"))

    @property
    def context(self) -> dict[str, Any]:
        """`context`, or an empty object."""
        return object_of(self.body, "context")

    @property
    def traits(self) -> dict[str, Any]:
        """`traits`; for an identify call without them, the traits in its context.

        That is where RudderStack's libraries put them. In any other call the context's traits are the user's, whatever
        the call is about.
        """
        if self.kind == "identify" and not isinstance(self.body.get("traits"), dict):
            return object_of(self.context, "traits")
        return object_of(self.body, "traits")

    @property
    def id(self) -> str | None:
        """`messageId`."""
        return text_of(self.body.get("messageId"))

    @property
    def timestamp(self) -> Any:
        """The time of the call as sent: `timestamp`, else `originalTimestamp`; None if neither is given."""
        sent = (self.body.get(name) for name in ("timestamp", "originalTimestamp"))
        return next((one for one in sent if one not in (None, "")), None)

    def by_our_clock(self, moment: datetime) -> datetime:
        """A time by the sender's clock, converted to ours."""
        try:
            return moment - timedelta(microseconds=self.skew)
        except OverflowError:
            return moment  # out of bounds, and will be refused for it


def text_of(value: Any) -> str | None:
    """A non-empty text; numbers, which some libraries send as ids, become text."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    return str(value) if isinstance(value, str | int) else None


def object_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of that name, or an empty one."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def read(body: bytes, kind: str, received: int | None = None) -> list[TrackingCall | Refusal]:
    """The calls of a body; `kind` comes from the address. Raises `NotReadable`.

    `received`: receipt in microseconds; None: the sender's clock is trusted (the log clock).
    """
    surplus = too_many(body, "batch") if kind == "batch" else []
    if surplus:
        return [one for one in surplus if isinstance(one, Refusal)]
    if kind != "batch" and len(body) > MAX_EVENT and body.lstrip()[:1] == b"{":
        return [too_large(body, _TOO_LARGE, "messageId")]
    try:
        sent = decode_any(body)
    except READ_ERRORS as error:
        return _apart(body, kind, error, received)
    if not isinstance(sent, dict):
        raise NotReadable(_ONE_CALL)
    skew = _skew(sent, received)
    if kind != "batch":
        return [TrackingCall(kind, sent, skew)]
    batch = sent.get("batch")
    if not isinstance(batch, list):
        raise NotReadable("batch: should be an array of calls")
    shared = object_of(sent, "context")
    return [_in_batch(entry, shared, skew) for entry in batch]


def write_key_in(body: bytes) -> str | None:
    """The `writeKey` of a body, whether or not its calls can be read."""
    try:
        found = _decode_keyed(body).writeKey
    except READ_ERRORS:
        try:
            found = decode_any(json_recovery.members(body).get("writeKey", b"null"))
        except (*READ_ERRORS, json_recovery.NotRecoverable):
            return None
    return found if isinstance(found, str) and found else None


class _Keyed(msgspec.Struct):
    writeKey: Any = None  # noqa: N815 - Segment's name


_decode_keyed = msgspec.json.Decoder(_Keyed).decode


def _apart(body: bytes, kind: str, error: Exception, received: int | None) -> list[TrackingCall | Refusal]:
    """The calls of a body that cannot be read as a whole because of one or more of them."""
    try:
        parts = json_recovery.members(body)
        if kind != "batch":
            return [unreadable(body, error, "messageId")]
        calls = json_recovery.elements(parts.get("batch", b""))
    except json_recovery.NotRecoverable:
        raise NotReadable(f"not JSON: {error}") from None
    surplus = too_many_of(calls)
    if surplus:
        return [one for one in surplus if isinstance(one, Refusal)]
    around: dict[str, Any] = {name: _decoded(parts[name]) for name in ("context", "sentAt") if name in parts}
    if isinstance(around.get("context"), Refusal):  # the context may say who the user is
        return [Refusal(Code.INVALID, "context", "of the batch cannot be read")] * len(calls)
    shared, skew = object_of(around, "context"), _skew(around, received)
    return [one if isinstance(one, Refusal) else _in_batch(one, shared, skew) for one in map(_decoded, calls)]


def _decoded(raw: bytes) -> Any:
    try:
        return decode_any(raw)
    except READ_ERRORS as error:
        return unreadable(raw, error, "messageId")


def _skew(sent: Mapping[str, Any], received: int | None) -> int:
    """How far the clock behind `sentAt` is ahead of ours, if it is more than five minutes off; otherwise 0."""
    text = sent.get("sentAt")
    if received is None or not isinstance(text, str):
        return 0
    try:
        moment = _decode_time(msgspec.json.encode(text))
        ahead = microseconds(moment) - received if moment.tzinfo is not None else 0
        from_microseconds(received + ahead)
    except (*READ_ERRORS, ValueError, OverflowError):
        return 0  # `sentAt` is about the request; a bad one makes no call worse
    return ahead if abs(ahead) > SKEW_US else 0


def _in_batch(entry: Any, shared: Mapping[str, Any], skew: int) -> TrackingCall | Refusal:
    if not isinstance(entry, dict):
        return Refusal(Code.INVALID, "", "should be an object")
    kind = entry.get("type")
    if kind not in CALLS:
        message = f"should be one of {', '.join(CALLS)}"
        return Refusal(Code.INVALID, "type", message, text_of(entry.get("messageId")))
    encoded = msgspec.json.encode(entry)
    if len(encoded) > MAX_EVENT:
        return too_large(encoded, _TOO_LARGE, "messageId")
    own = entry.get("context")
    if shared and not isinstance(own, dict):
        entry = {**entry, "context": dict(shared)}
    elif shared and isinstance(own, dict):
        entry = {**entry, "context": {**shared, **own}}
    return TrackingCall(str(kind), entry, skew)
