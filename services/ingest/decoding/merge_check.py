"""Checks an `account.merged` event from outside, as far as possible without knowing the merges before it."""

from schemas.event import MERGED, Event
from schemas.names import MAX_NAME, is_name
from services.ingest.decoding.events import Code, Refusal


def refuse_merge(event: Event) -> Refusal | None:
    """The refusal for the first thing wrong with a merge, or None."""
    if not isinstance(event.data, dict):
        return Refusal(
            Code.INVALID, "data", "should be an object with `into`, the account that goes on", event.id
        )
    into = event.data.get("into")
    if into is None:
        return Refusal(Code.REQUIRED, "data.into", "is required: the account that goes on", event.id)
    if not is_name(into):
        message = f"should be the id of an account, 1 to {MAX_NAME} characters"
        return Refusal(Code.INVALID, "data.into", message, event.id)
    if into == event.account:
        return Refusal(
            Code.INVALID, "data.into", "should be another account than the one it closes", event.id
        )
    for name in ("lone", "contact"):
        if name in event.data:
            message = f"leave it out: it belongs to the {MERGED} that Touchline itself makes of Segment calls"
            return Refusal(Code.INVALID, f"data.{name}", message, event.id)
    return None
