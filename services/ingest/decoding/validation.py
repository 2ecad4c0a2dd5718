"""The checks of every event, whatever its format: defaults, limits, reserved types, times in UTC."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from schemas.account import AccountUpdate, ContactUpdate
from schemas.event import FUTURE_LIMIT_US, MERGED, OWN_PREFIX, Event, clamp_future, encode, from_microseconds
from schemas.names import MAX_NAME
from schemas.updates import UPDATES, BadValue, put_right
from services.ingest.decoding.event_attributes import OURS, ExtendedEvent, set_by_us
from services.ingest.decoding.events import Code, Refusal, StrictEvent
from services.ingest.decoding.merge_check import refuse_merge

MAX_DEPTH = 32  # of `data`
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # outside: a mistake
_GUARDED = ("account.", "contact.", OWN_PREFIX)
ERASURES = frozenset({"account.deleted", "contact.deleted"})
_ADMINS = {**dict.fromkeys(ERASURES, "erases"), MERGED: "closes an account"}
_NAMES = ("id", "source", "type", "account", "contact")
_PLAIN_KEPT = 10_000
_plain: set[str] = set()  # types seen that need no special check
_encode = msgspec.json.Encoder().encode
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_REST = bytes(byte for byte in range(256) if byte not in b"{}[]")


class ValidEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event: its account (the record's key), type and contact, and the record's value."""

    account: str
    type: str
    contact: str | None
    value: bytes


class EventValidator:
    """Checks the events of one request.

    `now`: receipt, in microseconds; `wall`: times ahead of it are set back; `erasing`: the key may erase and merge;
    `new_id`: makes the id of the event at an index; `nul`: the body may hold a NUL, so look at every event;
    `inside`: we made the events ourselves from Segment's calls, and they may be unvouched and merge lone accounts.
    """

    def __init__(
        self,
        *,
        now: int,
        wall: bool,
        erasing: bool,
        new_id: Callable[[int], str],
        nul: bool = True,
        inside: bool = False,
    ) -> None:
        self._now = now
        self._receipt = from_microseconds(now)
        self._end = from_microseconds(now + FUTURE_LIMIT_US) if wall else _LAST
        self._wall = wall
        self._erasing = erasing
        self._new_id = new_id
        self._nul = nul
        self.inside = inside
        self.left_out: list[BadValue] = []
        self.ahead: list[int] = []  # indexes of events whose time was set back

    def quick(self, event: StrictEvent) -> bytes | None:
        """The record's value, if nothing about the event is unusual; None: `check` has to look at it."""
        moment = event.time
        if (
            moment is None
            or moment.tzinfo is not UTC
            or not _FIRST < moment <= self._end
            or not event.id
            or event.account is None
            or event.unvouched
            or event.undated
            or event.mergedfrom is not None
            or event.mergedhops
            or not (event.type in _plain or _is_plain(event.type))
        ):
            return None
        value = _encode(event)
        if value.count(b"{") + value.count(b"[") > MAX_DEPTH + 1 or (self._nul and b"\\u0000" in value):
            return None
        return value

    def check(self, index: int, event: Event) -> ValidEvent | Refusal:
        """The event as it goes onto the log, or the refusal."""
        if not event.id:
            event.id = self._new_id(index)
        refusal = None
        ours = event.unvouched or event.undated or event.mergedfrom is not None or event.mergedhops
        if ours and not self.inside:
            refusal = set_by_us(next(name for name in OURS if getattr(event, name)), event.id)
        if type(event) is not StrictEvent or event.account is None:
            refusal = refusal or _names(event)
        if event.type.startswith(_GUARDED):
            refusal = refusal or self._reserved(event)
        moment = event.time
        if moment is None:
            event.time = self._receipt
            event.undated = event.historical and event.type in UPDATES
        elif moment.tzinfo is not UTC or not _FIRST < moment <= self._end:
            refusal = refusal or self._unusual(index, event, moment)
        if refusal is not None:
            return refusal
        value = _with_extensions(event) if type(event) is ExtendedEvent else encode(event)
        if value.count(b"{") + value.count(b"[") > MAX_DEPTH + 1 and _deeper(value, MAX_DEPTH + 1):
            return Refusal(Code.TOO_DEEP, "data", f"may nest {MAX_DEPTH} deep", event.id)
        if self._nul and b"\\u0000" in value and _NUL.search(value):
            return _with_nul(event)
        return ValidEvent(event.account, event.type, event.contact, value)  # type: ignore[arg-type]

    def _unusual(self, index: int, event: Event, moment: datetime) -> Refusal | None:
        """Handle a time without an offset, in another zone, out of bounds, or ahead of the wall clock."""
        if moment.tzinfo is None:
            message = "needs an offset, such as the Z in 2026-11-22T09:00:00Z"
            return Refusal(Code.TIME, "time", message, event.id)
        if not _FIRST < moment < _LAST:
            message = f"should lie between the years {_FIRST.year} and {_LAST.year}"
            return Refusal(Code.TIME, "time", message, event.id)
        event.time = moment.astimezone(UTC)
        if self._wall and clamp_future(event, self._now):
            self.ahead.append(index)
        return None

    def _reserved(self, event: Event) -> Refusal | None:
        kind = event.type
        if kind.startswith(OWN_PREFIX):
            return Refusal(
                Code.RESERVED, "type", f"types under {OWN_PREFIX} come only from Touchline", event.id
            )
        if kind == MERGED and self.inside:
            return None
        if kind in _ADMINS and not self._erasing:
            message = f"{kind} {_ADMINS[kind]}: it needs a key with the scope admin"
            return Refusal(Code.SCOPE, "type", message, event.id)
        if kind == MERGED:
            return refuse_merge(event)
        if kind in {"contact.updated", "contact.deleted"}:
            return _contact(event) or (
                self._update(event, ContactUpdate) if kind == "contact.updated" else None
            )
        return self._update(event, AccountUpdate) if kind == "account.updated" else None

    def _update(self, event: Event, model: type[AccountUpdate] | type[ContactUpdate]) -> Refusal | None:
        """The refusal for the first thing wrong with the data of an update; its addresses are trimmed.

        Nobody reads the answers to Segment's calls, so an invalid address in a call is left out and reported.
        """
        if not isinstance(event.data, dict):
            return Refusal(Code.INVALID, "data", "should be an object", event.id)
        wrong = put_right(event)
        if wrong and not self.inside:
            return Refusal(Code.INVALID, f"data.{wrong[0].path}", wrong[0].message, event.id)
        self.left_out += wrong
        return _wrong(event, model)


def _is_plain(kind: str) -> bool:
    """Whether a type needs no special check; if so, the answer is remembered."""
    if kind.startswith(_GUARDED):
        return False
    if len(_plain) >= _PLAIN_KEPT:
        _plain.clear()
    _plain.add(kind)
    return True


def _names(event: Event) -> Refusal | None:
    if event.account is None:
        return Refusal(Code.REQUIRED, "account", "is required", event.id)
    for name in _NAMES:
        value = getattr(event, name)
        if value is not None and not 1 <= len(value) <= MAX_NAME:
            sent = event.id if name != "id" else None
            return Refusal(Code.LENGTH, name, f"should have 1 to {MAX_NAME} characters", sent)
    if event.specversion != "1.0":
        return Refusal(Code.INVALID, "specversion", 'should be "1.0"', event.id)
    return None


def _with_extensions(event: ExtendedEvent) -> bytes:
    more, event.extensions = event.extensions, {}
    return encode(event)[:-1] + b"," + _encode(more)[1:]


def _with_nul(event: Event) -> Refusal:
    field = next((name for name in _NAMES if "\0" in (getattr(event, name) or "")), "data")
    return Refusal(Code.NUL, field, "may not contain NUL", None if "\0" in event.id else event.id)


def _contact(event: Event) -> Refusal | None:
    """Contact updates and erasures must name their contact, if only in `data.id`."""
    if event.contact is None and isinstance(event.data, dict) and isinstance(event.data.get("id"), str):
        event.contact = event.data["id"]
    if event.contact is None:
        return Refusal(Code.REQUIRED, "contact", f"is required for {event.type}", event.id)
    return None if 1 <= len(event.contact) <= MAX_NAME else _names(event)


def _wrong(event: Event, model: type[AccountUpdate] | type[ContactUpdate]) -> Refusal | None:
    try:
        model.model_validate(event.data)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        field = ".".join(["data", *(str(piece) for piece in first["loc"])])
        message = str(first["msg"]).replace("Input should", "should").removeprefix("Value error, ")
        return Refusal(Code.INVALID, field, message, event.id)
    return None


def _deeper(value: bytes, depth: int) -> bool:
    """Whether this JSON is nested deeper than `depth`; linear, without recursion."""
    brackets = _STRING.sub(b"", value).translate(_BRACKETS, _REST)
    for _ in range(depth):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
