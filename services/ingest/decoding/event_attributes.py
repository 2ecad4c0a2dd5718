"""The attributes of an event: ours, those of CloudEvents, and the extensions that CloudEvents allows.

An unknown name is most likely a mistake, or another system's webhook in its own shape. If it were accepted, its
content would be lost silently. Only an event that says it is a CloudEvent (`specversion`) may carry more
attributes.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from schemas.event import Event
from schemas.names import MAX_NAME
from services.ingest.decoding.refusals import Code, Refusal

NAMES = (
    *("id", "source", "type", "time", "account", "contact", "data", "historical", "subject", "specversion"),
    *("datacontenttype", "dataschema", "data_base64", "originaltime"),
)
_READ = frozenset(NAMES) - {"datacontenttype", "dataschema"}  # these two are kept as they are
# Attributes that only Touchline sets: whether anybody may have sent the event, whether it was given a time, and which
# merged account it is from.
OURS = ("mergedfrom", "mergedhops", "unvouched", "undated")
_ALLOWED = re.compile(r"[a-z0-9]+")  # attribute names that CloudEvents 1.0 allows
_SHOWN = ", ".join(NAMES)


class ExtendedEvent(Event, kw_only=True, omit_defaults=True):
    """An event with attributes that nothing here reads. They are kept, and stand on the log beside the others."""

    extensions: dict[str, Any] = msgspec.field(default_factory=dict)


def sort_out(attributes: Mapping[str, Any]) -> dict[str, Any] | Refusal:
    """The extension attributes, without null values; a refusal if one of them is not allowed."""
    more = {name: value for name, value in attributes.items() if name not in _READ}
    cloud = attributes.get("specversion") is not None
    for name, value in more.items():
        refusal = _refused(name, value, cloud)
        if refusal is not None:
            return refusal
    return more


def _refused(name: str, value: Any, cloud: bool) -> Refusal | None:
    known = name in NAMES
    if name in OURS:
        return set_by_us(name)
    if not known and not (cloud and _ALLOWED.fullmatch(name)):
        why = "is no attribute that a CloudEvent may have" if cloud else "is no field of an event"
        return Refusal(Code.UNKNOWN, name[:MAX_NAME], f"{why}{_meant(name)}")
    if not isinstance(value, str | int | float):
        return Refusal(
            Code.INVALID, name[:MAX_NAME], "should be text, a number, or true or false; others go into data"
        )
    return None


def set_by_us(name: str, sent: str | None = None) -> Refusal:
    """Refuses an attribute that only Touchline sets."""
    return Refusal(Code.RESERVED, name, "is set by Touchline alone", sent)


def _meant(name: str) -> str:
    found = get_close_matches(name.lower()[:MAX_NAME], NAMES, 1)
    if found:
        return f"; did you mean {found[0]}?"
    return f"; allowed are {_SHOWN}, and with specversion names of lower-case letters and digits"
