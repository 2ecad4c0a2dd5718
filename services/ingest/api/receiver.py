"""Handles one request of any event format: reads it, places its events, makes them durable, and answers."""

from collections.abc import Callable, Sequence

from fastapi import Response

from backbone.web.api_keys import Principal
from backbone.web.bodies import NotJson
from services.ingest.acceptor import Acceptor
from services.ingest.api.responses import accepted, acknowledged
from services.ingest.decoding.events import Decoded, NotReadable
from services.ingest.event_warnings import EventWarnings
from services.ingest.formats.base import EventFormat, Incoming, Item
from services.ingest.identity.placement import IdentityCall
from services.ingest.identity.segment_batch import SegmentBatch
from services.ingest.identity.store import IdentityStore


class Receiver:
    """Belongs to the event loop."""

    def __init__(self, acceptor: Acceptor, warnings: EventWarnings, identities: IdentityStore) -> None:
        self._acceptor = acceptor
        self._warnings = warnings
        self._identities = identities

    def received(self) -> int | None:
        """See `Incoming.received`."""
        return self._acceptor.received()

    async def receive(
        self,
        format_: EventFormat,
        sent: Incoming,
        principal: Principal,
        *,
        new_id: Callable[[int], str] | None = None,
    ) -> Response:
        """The answer to a request. Raises `NotJson` where it cannot be read, and what `Acceptor.take` raises.

        `new_id` makes an id for an event without one, from its index.
        """
        try:
            items = format_.decode(sent)
        except NotReadable as error:
            raise NotJson(str(error)) from None
        batch = SegmentBatch(items, self._identities) if format_.identifies else None
        events = _events(items)
        taken = await self._acceptor.take(
            events,
            source=format_.name,
            key_id=principal.key_id,
            erasing=format_.administers and principal.allows("admin"),
            new_id=new_id,
            nul=format_.may_hold_nul(sent.body),
            place=None if batch is None else batch.place,
        )
        if batch is not None:
            await batch.told()
        taken.rejected = [
            (index, format_.in_their_words(refusal, items[index])) for index, refusal in taken.rejected
        ]
        alone = len(items) == 1 and not format_.is_list(sent)
        if format_.acknowledgement is not None:
            return acknowledged(format_.acknowledgement, taken, len(items), alone=alone)
        warnings = await self._warnings.about(events, taken)
        return accepted(taken, warnings, alone=alone)


def _events(items: Sequence[Item]) -> Sequence[Decoded | None]:
    return [one.event if isinstance(one, IdentityCall) else one for one in items]
