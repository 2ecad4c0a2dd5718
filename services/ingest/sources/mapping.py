"""What a hook becomes: for each element of its body an event with the ways to its account, a refusal, or nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from schemas.event import Event, microseconds, rfc3339
from schemas.names import MAX_NAME
from schemas.source import MAX_ANSWER, AccountWay, EventMapping, SourceIn
from schemas.source_expressions import Node, parsed
from services.ingest.decoding.events import MAX_EVENT, MAX_EVENTS
from services.ingest.decoding.refusals import Code, Refusal
from services.ingest.identity.whose import Way, Whose
from services.ingest.sources.expressions import CHARS_A_STEP, Evaluator, domain_of
from services.ingest.sources.moments import moment_of

MAX_CHALLENGE = 4_096  # characters
MAX_DEPTH = 40  # of a value; an event's `data` has its own limit, which the validator knows
_encode = msgspec.json.Encoder().encode
_Fields = Mapping[str, Any]  # name → tree of an expression, or fields again


class MappedEvent(NamedTuple):
    """An event without its account, and the ways to find that."""

    event: Event
    whose: Whose

    def shown(self) -> dict[str, Any]:
        """The event as people read it, but for account and contact."""
        event = self.event
        return {
            "type": event.type,
            "id": event.id,
            "source": event.source,
            "time": None if event.time is None else rfc3339(microseconds(event.time)),
            "data": event.data,
        }


Element = MappedEvent | Refusal | None  # None: no `when` holds, so it is ignored


class TooManyElements(ValueError):
    """A body with more elements than a request may have events."""


class NoAnswer(ValueError):
    """A body from which the answer that the source promises cannot be made."""


class _Refused(Exception):
    """An element that becomes no event."""

    def __init__(self, code: Code, field: str, message: str) -> None:
        super().__init__(message)
        self.code, self.field, self.message = code, field, message


class _Way(NamedTuple):
    way: Any
    field: str
    tree: Node
    system: str | None
    create: bool


class _Compiled(NamedTuple):
    """An entry of `events`, its expressions as trees."""

    type: str
    when: Node | None
    id: Node | None
    time: Node | None
    ways: Sequence[_Way]
    contact_id: Node | None
    contact_email: Node | None
    data: Node | _Fields | None


class SourceMapping:
    """The compiled mapping of a source."""

    def __init__(self, source: SourceIn) -> None:
        self._name = source.name
        self._each = parsed(source.each)
        self._challenge = None if source.challenge is None else parsed(source.challenge)
        self._events = [_compiled(source.name, one) for one in source.events]
        answer = None if source.answer is None else source.answer.body
        self._answer = None if answer is None or isinstance(answer, str) else _fields(answer)

    def challenge(self, body: Any, headers: Mapping[str, str], size: int) -> str | None:
        """The challenge in a body, if there is one. `size`: of the body, in bytes. Raises `TooCostly`."""
        if self._challenge is None:
            return None
        value = Evaluator(body, headers, size).value(self._challenge, body)
        return value[:MAX_CHALLENGE] if isinstance(value, str) and value else None

    def answer(self, body: Any, headers: Mapping[str, str], size: int) -> bytes | None:
        """The answer as JSON, where it follows from the body. Raises `TooCostly`, `NoAnswer`."""
        if self._answer is None:
            return None
        evaluator = Evaluator(body, headers, size)
        try:
            value = _data(evaluator, self._answer, body)
            _fit(evaluator, value, "answer", 0)
        except _Refused as error:
            raise NoAnswer(error.message) from None
        text = _encode(value)
        if len(text) > MAX_ANSWER:
            raise NoAnswer(f"may have {MAX_ANSWER:,} bytes")
        return text

    def elements(self, body: Any, headers: Mapping[str, str], raw: bytes) -> list[Element]:
        """What becomes of each element. `raw`: the body as sent. Raises `TooCostly`, `TooManyElements`."""
        evaluator = Evaluator(body, headers, len(raw))
        found = evaluator.value(self._each, body)
        elements = found if isinstance(found, list) else [] if found is None else [found]
        if len(elements) > MAX_EVENTS:
            raise TooManyElements(f"a hook may have {MAX_EVENTS} elements, this one has {len(elements):,}")
        return [self._element(evaluator, one, raw, index) for index, one in enumerate(elements)]

    def _element(self, evaluator: Evaluator, element: Any, raw: bytes, index: int) -> Element:
        for one in self._events:
            if one.when is None or evaluator.holds(one.when, element):
                try:
                    return self._event(evaluator, one, element, raw, index)
                except _Refused as error:
                    return Refusal(error.code, error.field, error.message)
        return None

    def _event(
        self, evaluator: Evaluator, one: _Compiled, element: Any, raw: bytes, index: int
    ) -> MappedEvent:
        def text(tree: Node | None, field: str) -> str | None:
            return None if tree is None else _text(evaluator.value(tree, element), field)

        event = Event(
            type=one.type,
            id=text(one.id, "id") or _id_of(raw, index),
            source=self._name,
            time=None if one.time is None else _moment(evaluator.value(one.time, element)),
            contact=text(one.contact_id, "contact.id"),
            data=None if one.data is None else _data(evaluator, one.data, element),
        )
        _fit(evaluator, event.data, "data", 0)
        if event.data is not None and len(_encode(event.data)) > MAX_EVENT:
            raise _Refused(Code.TOO_LARGE, "data", f"an event may have {MAX_EVENT:,} bytes")
        ways, create = [], False
        for way in one.ways:
            value = text(way.tree, way.field)
            value = domain_of(value) if value and way.way == "domain" and "@" in value else value
            if value:
                ways.append(Way(way.way, way.system, value))
                create = create or way.create
        if not ways:
            raise _Refused(Code.REQUIRED, "account", "none of its expressions gives a value")
        return MappedEvent(event, Whose(tuple(ways), create, text(one.contact_email, "contact.email")))


def _compiled(source: str, one: EventMapping) -> _Compiled:
    def tree(text: str | None) -> Node | None:
        return None if text is None else parsed(text)

    listed = isinstance(one.account, list)
    ways = [
        _way(source, way, f"account.{place}" if listed else "account") for place, way in enumerate(one.ways())
    ]
    return _Compiled(
        one.type,
        tree(one.when),
        tree(one.id),
        tree(one.time),
        ways,
        None if one.contact is None else tree(one.contact.id),
        None if one.contact is None else tree(one.contact.email),
        _fields(one.data),
    )


def _way(source: str, way: AccountWay, field: str) -> _Way:
    name, text = next(
        (name, text)
        for name in ("external_id", "id", "email", "domain")
        if (text := getattr(way, name)) is not None
    )
    system = (way.system or source) if name == "external_id" else None
    return _Way(name, f"{field}.{name}", parsed(text), system, way.create)


def _fields(data: str | Mapping[str, Any] | None) -> Any:
    if data is None:
        return None
    if isinstance(data, str):
        return parsed(data)
    return _Inner({name: _fields(one) for name, one in data.items()})


class _Inner(dict[str, Any]):
    """Fields of data, to tell them from a tree, which is a dict too."""


def _data(evaluator: Evaluator, data: Any, element: Any) -> Any:
    """The data of an event. Fields that are null, and objects of which nothing is left, are left out."""
    if not isinstance(data, _Inner):
        return evaluator.value(data, element)
    found = {}
    for name, one in data.items():
        value = _data(evaluator, one, element)
        if value is not None and not (isinstance(one, _Inner) and not value):
            found[name] = value
    return found


def _text(value: Any, field: str) -> str | None:
    """A text, or a whole number as text; None for null and an empty text."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Refused(Code.INVALID, field, "should be text or a whole number")
    text = str(value)
    if len(text) > MAX_NAME:
        raise _Refused(Code.LENGTH, field, f"should have 1 to {MAX_NAME} characters")
    _check_text(text, field)
    return text


def _check_text(text: str, field: str) -> None:
    if text.isascii():
        if "\0" in text:
            raise _Refused(Code.NUL, field, "may not contain NUL")
        return
    if "\0" in text:
        raise _Refused(Code.NUL, field, "may not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Refused(Code.INVALID, field, "holds half of a character, or bytes that are no UTF-8") from None


def _moment(value: Any) -> Any:
    if value is None or value == "":
        return None
    try:
        return moment_of(value)
    except ValueError as error:
        raise _Refused(Code.TIME, "time", str(error)) from None


def _fit(evaluator: Evaluator, value: Any, field: str, depth: int) -> None:
    """Raise unless JSON can hold this value. It costs steps, as little text can stand for a very large value."""
    if isinstance(value, str):
        evaluator.spend(1 + len(value) // CHARS_A_STEP)
        _check_text(value, field)
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise _Refused(Code.TOO_DEEP, field, f"may nest {MAX_DEPTH} deep")
        evaluator.spend(1 + len(value))
        named = value.items() if isinstance(value, dict) else enumerate(value)
        for name, one in named:
            if isinstance(name, str):
                _check_text(name, field)
            _fit(
                evaluator, one, f"{field}.{name}" if depth == 0 and len(str(name)) < 100 else field, depth + 1
            )
    elif isinstance(value, float) and not isfinite(value):
        raise _Refused(Code.INVALID, field, "holds a number out of range")


def _id_of(raw: bytes, index: int) -> str:
    """The id of an event whose system gives none: that of the body and its place there."""
    return "hook-" + hashlib.blake2b(raw, digest_size=16, key=str(index).encode()).hexdigest()
