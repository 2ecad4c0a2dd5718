"""Why an event, or a whole body, is refused: all formats answer with these."""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    """Why an event was refused: a closed set, used in answers and as a metric's label."""

    INVALID = "invalid"  # a field of the wrong type
    REQUIRED = "required"  # a required field is missing
    LENGTH = "length"  # empty or longer than 256 characters
    TIME = "time"  # no offset, or an impossible time
    TOO_LARGE = "event_too_large"
    TOO_DEEP = "too_deep"
    NUL = "nul"
    RESERVED = "reserved_type"  # a type that only Touchline itself sends
    UNKNOWN = "unknown_field"  # an unknown attribute
    SCOPE = "forbidden_type"  # the key lacks the scope for this type


class Refusal(msgspec.Struct, frozen=True):
    """An event that was refused, and why."""

    code: Code
    field: str
    message: str
    id: str | None = None


class NotReadable(ValueError):
    """The body as a whole cannot be read: it is not JSON, or not the JSON that this format requires."""
