"""Why an event is refused, and a whole body: what every source answers with."""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    """Why an event was refused: a closed set, used in answers and as a metric's label."""

    INVALID = "invalid"  # a field of the wrong kind
    REQUIRED = "required"  # a field that has to be there
    LENGTH = "length"  # empty or longer than 256 characters
    TIME = "time"  # no offset, or no time that can be
    TOO_LARGE = "event_too_large"
    TOO_DEEP = "too_deep"
    NUL = "nul"
    RESERVED = "reserved_type"  # only Touchline itself sends these
    UNKNOWN = "unknown_field"  # a name at the top of an event that nobody knows
    SCOPE = "forbidden_type"  # the key lacks the scope for this type


class Refusal(msgspec.Struct, frozen=True):
    """An event that was not taken."""

    code: Code
    field: str
    message: str
    id: str | None = None


class NotReadable(ValueError):
    """The body as a whole cannot be read: not JSON, or not the JSON that this format wants."""
