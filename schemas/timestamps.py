"""Times in bodies and query parameters: RFC 3339 with an offset, and nothing else.

A number, or a text of digits such as a date without its dashes, would be read as seconds since 1970.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

WANTED = "should be a time in RFC 3339 with an offset, such as 2026-12-01T08:00:00Z"
_PLUS_LOST = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")


def _rfc3339(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else msgspec.convert(value, datetime, strict=True)
    except msgspec.ValidationError:
        raise PydanticCustomError("rfc3339", WANTED) from None
    if moment.tzinfo is None:
        raise PydanticCustomError("rfc3339", WANTED)
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("rfc3339", "should be within the years 1 to 9999 in UTC") from None
    return moment


def _with_plus(value: Any) -> Any:
    """A `+` that was not written `%2B` in an address arrives as a space."""
    return _PLUS_LOST.sub("+", value) if isinstance(value, str) and "T" in value.upper() else value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
QueryMoment = Annotated[Moment, BeforeValidator(_with_plus)]
