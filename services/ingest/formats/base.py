"""The definition of an event format: how its requests are recognised, read, documented and answered.

A format is one value, `FORMAT = EventFormat(…)`, in a module of this folder, and one line in `FORMATS`. It holds
everything that ingest needs to know: routes, metrics, the OpenAPI page and the tests follow from it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import BaseModel

from schemas.event import Event
from services.ingest.decoding.refusals import Refusal
from services.ingest.identity.placement import IdentityCall

# The result for each event of a body: the event; a call whose account depends on who its user is; a refusal;
# or None if it says nothing.
Item = Event | IdentityCall | Refusal | None
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A request, as a decoder receives it."""

    body: bytes
    headers: Mapping[str, str] = {}  # names in lower case
    call: str = ""  # the name of the route, if the format has routes of its own
    received: int | None = None  # microseconds; None: senders' clocks are trusted (the log clock)
    unvouched: bool = False  # the key has only the scope `track`


@dataclass(frozen=True, kw_only=True)
class BodyClaim:
    """Recognises a request to `POST /v1/events` by more than its content type."""

    holds: Callable[[str, Mapping[str, str]], bool]  # the content type, the headers (names in lower case)
    hint: str  # for a client that sends another content type: `send ce- headers`


@dataclass(frozen=True, kw_only=True)
class FormatRoute:
    """A route of the format's own: `POST` at each of its paths. The OpenAPI page shows the first."""

    name: str
    paths: Sequence[str]
    model: type[BaseModel]
    example: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.paths or not all(path.startswith("/v1/") for path in self.paths):
            raise ValueError(f"call {self.name}: its paths should begin with /v1/")
        if not self.example:
            raise ValueError(f"call {self.name}: it has no example")


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """The answer that a format's own clients expect on success, if it is not `202 {"accepted", "rejected"}`.

    `body` gets the refusals if at least one event was accepted. If none was, the client gets a 400.
    """

    status: int
    model: type[BaseModel]
    body: Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A request that the tests send: one that is accepted, or one that is refused because of `field`."""

    sent: Incoming
    field: str = ""


def is_list(sent: Incoming) -> bool:
    """Whether a body is an array; then refusals put the event's index before the names of their fields."""
    return sent.body.lstrip()[:1] == b"["


def may_hold_nul(_body: bytes) -> bool:
    """Any body may hold a NUL, so every event made from it is looked at."""
    return True


def as_it_is(refusal: Refusal, _item: Item) -> Refusal:
    """The refusal itself: it names its field as the format does."""
    return refusal


@dataclass(frozen=True, kw_only=True)
class EventFormat:
    """An event format. Raises `ValueError` if it cannot work, `TypeError` if a value without a default is missing.

    Requests to its `calls` are its own. At `POST /v1/events` it gets those that its `claim` recognises, and
    otherwise those of its `content_types`.
    """

    name: str  # also a value of the label `source` of `touchline_events_accepted_total`
    decode: Callable[[Incoming], Sequence[Item]]  # raises `NotReadable` for an invalid body
    taken: Example
    refused: Example

    # what OpenAPI says of the body; None: it is accepted, but not shown
    content_types: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    models: Sequence[type[BaseModel]] = ()  # the models that `content_types` refers to
    claim: BodyClaim | None = None

    calls: Sequence[FormatRoute] = ()
    about: str = ""  # about its calls; `{name}` is the call's name, `{path}` its last path
    scope: str = "events:write"  # required for its calls
    key_in: Callable[[bytes], str | None] | None = None  # finds the key in a body of its calls
    for_browsers: bool = False  # whether web pages from `TOUCHLINE_CORS_ORIGINS` may make its calls
    any_query: bool = False  # whether its clients add query parameters of their own
    acknowledgement: Acknowledgement | None = None

    identifies: bool = False  # whether `decode` gives `IdentityCall`s, whose accounts still have to be found
    administers: bool = False  # whether its events may erase and merge, given a key that may
    is_list: Callable[[Incoming], bool] = is_list
    may_hold_nul: Callable[[bytes], bool] = may_hold_nul
    in_their_words: Callable[[Refusal, Item], Refusal] = as_it_is

    def __post_init__(self) -> None:
        wrong = next(_wrong(self), None)
        if wrong:
            raise ValueError(f"event format {self.name!r}: {wrong}")


def _wrong(one: EventFormat) -> Any:
    if not _NAME.fullmatch(one.name):
        yield "its name should be of lower-case letters, digits and _"
    if not (one.content_types or one.claim or one.calls):
        yield "nothing selects it: it has no content types, no claim and no calls"
    if one.calls and not one.about:
        yield "its calls have no description: say what they are `about`"
    if one.taken.field:
        yield "its example `taken` has no field that is wrong"
    if not one.refused.field:
        yield "its example `refused` names no field"
    names = {call.name for call in one.calls} or {""}
    for example in (one.taken, one.refused):
        if example.sent.call not in names:
            yield f"an example is of the call {example.sent.call!r}, which it does not have"


def register(*formats: EventFormat) -> dict[str, EventFormat]:
    """The formats by name. Raises `ValueError` if two have the same name, content type or path."""
    for what, values in (
        ("the name", [one.name for one in formats]),
        ("the content type", [kind for one in formats for kind in one.content_types]),
        ("the path", [path for one in formats for call in one.calls for path in call.paths]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"two event formats have {what} {twice[0]!r}")
    return {one.name: one for one in formats}
