"""What an event format is: how a request is known to be of it, how it is read, documented and answered.

A format is one value, `FORMAT = EventFormat(…)`, in a module of this folder, and one line in `FORMATS`. All that ingest
needs to know of it stands there: routes, metrics, the OpenAPI page and the tests follow from it.
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

# What each event of a body becomes: the event; one whose account is found by who its user is; why it is none; None: it
# says nothing.
Item = Event | IdentityCall | Refusal | None
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A request, as a decoder gets it."""

    body: bytes
    headers: Mapping[str, str] = {}  # names in lower case
    call: str = ""  # the name of the route, of a format with routes of its own
    received: int | None = None  # microseconds; None: senders' clocks are taken as they are (the log clock)
    unvouched: bool = False  # the key has the scope `track` alone


@dataclass(frozen=True, kw_only=True)
class BodyClaim:
    """How a request to `POST /v1/events` is known by more than its content type."""

    holds: Callable[[str, Mapping[str, str]], bool]  # the content type, the headers (names in lower case)
    hint: str  # for whoever sends another content type: `send ce- headers`


@dataclass(frozen=True, kw_only=True)
class FormatRoute:
    """A route of a format's own: `POST` at each of its paths. The OpenAPI page shows the first."""

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
    """How a format's own clients want to hear of success, where it is not `202 {"accepted", "rejected"}`.

    `body` gets what was refused while something was taken. Where nothing was, they get a 400.
    """

    status: int
    model: type[BaseModel]
    body: Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A request that the tests send: one that is taken, or one that is refused because of `field`."""

    sent: Incoming
    field: str = ""


def is_list(sent: Incoming) -> bool:
    """Whether a body is an array: then refusals have the event's index in the names of their fields."""
    return sent.body.lstrip()[:1] == b"["


def may_hold_nul(_body: bytes) -> bool:
    """Any body may hold a NUL: look at every event that was made of it."""
    return True


def as_it_is(refusal: Refusal, _item: Item) -> Refusal:
    """The refusal names its field as the format does."""
    return refusal


@dataclass(frozen=True, kw_only=True)
class EventFormat:
    """An event format. Raises `ValueError` for what cannot work, `TypeError` for what is left out and has no default.

    Its requests are those to its `calls`; at `POST /v1/events` those that its `claim` holds for, else those of its
    `content_types`.
    """

    name: str  # also a value of the label `source` of `touchline_events_accepted_total`
    decode: Callable[[Incoming], Sequence[Item]]  # raises `NotReadable` for a body that is none
    taken: Example
    refused: Example

    content_types: Mapping[str, Mapping[str, Any] | None] = field(
        default_factory=dict
    )  # what OpenAPI says of the body; None: it is taken, and not shown
    models: Sequence[type[BaseModel]] = ()  # that `content_types` refers to
    claim: BodyClaim | None = None

    calls: Sequence[FormatRoute] = ()
    about: str = ""  # of its calls; `{name}` and `{path}` are the call's, and its last path
    scope: str = "events:write"  # of its calls
    key_in: Callable[[bytes], str | None] | None = None  # where a body of its calls may carry the key
    for_browsers: bool = False  # whether pages of `TOUCHLINE_CORS_ORIGINS` may make its calls
    any_query: bool = False  # whether its clients add query parameters of their own
    acknowledgement: Acknowledgement | None = None

    identifies: bool = False  # whether `decode` gives `IdentityCall`s, whose accounts are to be found
    administers: bool = False  # whether its events may erase and merge, with a key that may
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
    """The formats by name. Raises `ValueError` where two have the same name, content type or path."""
    for what, values in (
        ("the name", [one.name for one in formats]),
        ("the content type", [kind for one in formats for kind in one.content_types]),
        ("the path", [path for one in formats for call in one.calls for path in call.paths]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"two event formats have {what} {twice[0]!r}")
    return {one.name: one for one in formats}
