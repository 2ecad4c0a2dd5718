"""What a source would make of a hook, as the API shows it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.ingest.decoding.refusals import Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.identity.source_placement import SourcePlacement
from services.ingest.source_acceptor import checked
from services.ingest.sources.mapping import Element, MappedEvent

_IGNORED = {"reason": "ignored", "field": "", "message": "no `when` holds for it"}
MOST_ACCOUNTS = 100  # of one event that are shown


def previewed(
    elements: Sequence[Element], validator: EventValidator, placement: SourcePlacement
) -> dict[str, Any]:
    """The events with their accounts, and why the other elements become none. Blocks."""
    events: list[tuple[int, MappedEvent]] = []
    left_out: list[dict[str, Any]] = []
    for index, one in enumerate(elements):
        found: Element
        if isinstance(one, MappedEvent):
            found = checked(validator, index, msgspec.structs.replace(one.event), one.whose) or one
        else:
            found = one
        if isinstance(found, MappedEvent):
            events.append((index, found))
        elif found is None:
            left_out.append({"index": index, **_IGNORED})
        else:
            left_out.append({"index": index, **_refused(found)})
    accounts = placement.find([one.whose for _, one in events])
    return {
        "events": [
            {"index": index, "accounts": found[:MOST_ACCOUNTS], **_shown(one)}
            for (index, one), found in zip(events, accounts, strict=True)
        ],
        "left_out": left_out,
    }


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"reason": "rejected", "field": refusal.field, "message": refusal.message}


def _shown(one: MappedEvent) -> dict[str, Any]:
    contact = {"id": one.event.contact, "email": one.whose.contact_email}
    return {
        **one.shown(),
        "tried": [msgspec.structs.asdict(way) for way in one.whose.ways],
        "create": one.whose.create,
        "contact": contact if any(contact.values()) else None,
    }
