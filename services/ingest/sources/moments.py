"""Times as other systems write them, told by their shape."""

import math
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_OFFSET = re.compile(r"([+-][0-9]{2})([0-9]{2})$")
# From here on a number counts these: the seconds of the year 5138.
_MILLISECONDS, _MICROSECONDS = 10**11, 10**14
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
WANTED = "should be RFC 3339 with an offset, or seconds, milliseconds or microseconds since 1970"


def moment_of(value: Any) -> datetime:
    """The time in UTC: RFC 3339 (also with `+0000`), or a number since 1970, also as text. Raises `ValueError`."""
    if isinstance(value, str):
        text = value.strip()
        moment = _of_number(float(text), text) if _NUMBER.fullmatch(text) else _of_text(text)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = _of_number(value, None)
    else:
        raise ValueError(WANTED)
    if not _FIRST < moment < _LAST:
        raise ValueError(f"should lie between the years {_FIRST.year} and {_LAST.year}")
    return moment


def _of_text(text: str) -> datetime:
    try:
        moment = msgspec.convert(_OFFSET.sub(r"\1:\2", text), datetime, strict=True)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError, UnicodeError):
        pass
    raise ValueError(WANTED)


def _of_number(number: float, text: str | None) -> datetime:
    """`text`: the number as it was written, which is exact where a float is not."""
    size = abs(number)
    if not math.isfinite(size) or size >= 10**17:
        raise ValueError(WANTED)
    scale = 1_000_000 if size < _MILLISECONDS else 1_000 if size < _MICROSECONDS else 1
    exact = text is not None and "." not in text
    whole = (int(text) if exact and text is not None else number) * scale
    seconds, rest = divmod(round(whole), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
