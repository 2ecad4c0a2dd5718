"""Segment's HTTP tracking API: `POST /v1/track`, `/identify`, `/group`, `/page`, `/screen`, `/alias`, `/batch`.

Each call also has a path of its first letter (`/v1/t`). `calls` takes a body apart; `events` turns each call into
an event and says who its user is; `identity` finds the account that the user belongs to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.ingest.decoding.refusals import Refusal
from services.ingest.formats.base import Acknowledgement, EventFormat, Example, FormatRoute, Incoming, Item
from services.ingest.formats.segment.calls import read, write_key_in
from services.ingest.formats.segment.events import in_their_words, said_of
from services.ingest.formats.segment.models import EXAMPLES, MODELS, SegmentAccepted
from services.ingest.identity.placement import IdentityCall

_ABOUT = """For Segment-compatible libraries: set their host to this server, the write key to an API key.

The key is the user of basic auth, a bearer token, or `writeKey` in the body, and has the scope `events:write` or
`track`. With `track` alone nothing is changed that came by another way, and a contact known from such calls only
gets no mail. The same call is at `{path}`; the content type does not matter. With the wall clock, where
`sentAt` is more than five minutes off the moment of receipt, as much is taken off the time of every call of the
request. Calls that cannot be taken stand in `rejected`, the others are taken; 400 only where nothing was."""


def decode(sent: Incoming) -> list[Item]:
    """The calls of a body. Raises `NotReadable`."""
    calls = read(sent.body, sent.call, sent.received)
    return [said_of(call, unvouched=sent.unvouched) for call in calls]


def _is_batch(sent: Incoming) -> bool:
    return sent.call == "batch"


def _in_their_words(refusal: Refusal, item: Item) -> Refusal:
    return in_their_words(refusal, item if isinstance(item, IdentityCall) else None)


def _success(rejected: Sequence[Any]) -> Mapping[str, Any]:
    return {"success": True, "rejected": rejected} if rejected else {"success": True}


def _sent(call: str, body: Mapping[str, Any]) -> Incoming:
    return Incoming(msgspec.json.encode(body), call=call)


FORMAT = EventFormat(
    name="segment",
    decode=decode,
    calls=[
        FormatRoute(name=name, paths=(f"/v1/{name}", f"/v1/{name[0]}"), model=model, example=EXAMPLES[name])
        for name, model in MODELS.items()
    ],
    about=_ABOUT,
    scope="track",
    key_in=write_key_in,
    for_browsers=True,
    any_query=True,  # as Segment's libraries like to
    acknowledgement=Acknowledgement(status=200, model=SegmentAccepted, body=_success),
    identifies=True,
    is_list=_is_batch,
    in_their_words=_in_their_words,
    taken=Example(sent=_sent("track", EXAMPLES["track"])),
    refused=Example(sent=_sent("track", {"userId": "ann"}), field="event"),
)
