"""What a source would make of a hook, as the API shows it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.event import microseconds, rfc3339
from services.ingest.decoding.refusals import Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.source_acceptor import checked
from services.ingest.sources.mapping import Element, MappedEvent

_IGNORED = {"reason": "ignored", "field": "", "message": "no `when` holds for it"}


def previewed(elements: Sequence[Element], validator: EventValidator) -> dict[str, Any]:
    """The events, and why the other elements become none."""
    events, left_out = [], []
    for index, one in enumerate(elements):
        found: Element
        if isinstance(one, MappedEvent):
            found = checked(validator, index, msgspec.structs.replace(one.event)) or one
        else:
            found = one
        if isinstance(found, MappedEvent):
            events.append({"index": index, **_shown(found)})
        elif found is None:
            left_out.append({"index": index, **_IGNORED})
        else:
            left_out.append({"index": index, **_refused(found)})
    return {"events": events, "left_out": left_out}


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"reason": "rejected", "field": refusal.field, "message": refusal.message}


def _shown(one: MappedEvent) -> dict[str, Any]:
    event, whose = one
    contact = {"id": event.contact, "email": whose.contact_email}
    return {
        "type": event.type,
        "id": event.id,
        "source": event.source,
        "time": None if event.time is None else rfc3339(microseconds(event.time)),
        "tried": [msgspec.structs.asdict(way) for way in whose.ways],
        "create": whose.create,
        "contact": contact if any(contact.values()) else None,
        "data": event.data,
    }
