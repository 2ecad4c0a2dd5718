"""Timezones by their IANA names, with one check for every way they come."""

from functools import lru_cache
from zoneinfo import ZoneInfo


class BadZone(ValueError):
    """The text is not a timezone."""


@lru_cache(2_048)
def valid_zone(name: str) -> str:
    """The name, without spaces around it; raises `BadZone`."""
    bare = name.strip()
    try:
        ZoneInfo(bare)
    except (KeyError, ValueError, OSError):  # unknown; no name of a zone; the name of a folder of zones
        message = (
            f"should be an IANA name such as Europe/Berlin, or null; there is no timezone {bare[:100]!r}"
        )
        raise BadZone(message) from None
    return bare
