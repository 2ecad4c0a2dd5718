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

_ABOUT = """For Segment-compatible libraries: set the host to this server and the write key to an API key.

Send the key as the user name of basic auth, as a bearer token, or as `writeKey` in the body. It needs the scope
`events:write` or `track`. Calls with `track` alone cannot change data that came in another way, and a contact
known only from such calls gets no mail. The same call is available at `{path}`. The content type does not
matter. With the wall clock, if `sentAt` differs from the time of receipt by more than five minutes, the times
of all calls in the request are corrected by the difference. Calls that cannot be accepted are listed in
`rejected`, and the others are accepted. The answer is 400 only if no call was accepted."""


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
