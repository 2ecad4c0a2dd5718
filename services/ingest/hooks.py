"""Takes in one hook: verifies it, reads it, maps it to events, makes these durable, and answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Response

from backbone.clock import Clock
from backbone.errors import Invalid, NotFound, TooLarge, Unauthorized
from backbone.telemetry import get_logger
from backbone.web.app import json_response
from backbone.web.bodies import NotJson
from schemas.source import HookAnswer
from services.ingest.decoding.refusals import NotReadable, Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.hook_preview import previewed
from services.ingest.identity.source_placement import SourcePlacement
from services.ingest.metrics import HOOK_ELEMENTS
from services.ingest.saved_sources import SavedSource, SavedSources
from services.ingest.source_acceptor import SourceAcceptor, Went
from services.ingest.sources.bodies import read
from services.ingest.sources.expressions import TooCostly
from services.ingest.sources.mapping import Element, MappedEvent, NoAnswer, TooManyElements
from services.ingest.sources.verify import HookRequest
from services.ingest.thread_pools import at_the_door

log = get_logger("hooks")
INLINE = 8_192  # bytes: a larger body is read in a thread, so that it keeps no other request waiting
MOST_TOLD = 10  # fields and codes of a line in the log of the process
OUTCOMES = ("accepted", "ignored", "unmatched", "rejected")


class Unverified(Unauthorized):
    """A request that does not prove where it comes from."""

    code = "unverified"
    title = "Not verified"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Basic realm="touchline"'}


class HookContent(NamedTuple):
    """What is in a hook: its challenge, or else what becomes of each element, and the answer to it."""

    challenge: str | None
    elements: Sequence[Element]
    answer: bytes | None  # in place of the counts, as JSON


class HookReceiver:
    """Belongs to the event loop."""

    def __init__(
        self,
        sources: SavedSources,
        acceptor: SourceAcceptor,
        placement: SourcePlacement,
        clock: Clock,
        *,
        wall: bool,
    ) -> None:
        self._placement = placement
        self._wall = wall
        self._sources = sources
        self._acceptor = acceptor
        self._clock = clock

    async def known(self, name: str) -> SavedSource:
        """The source in force. Raises `NotFound`."""
        source = await self._sources.get(name)
        if source is None:
            raise NotFound(f"there is no source {name!r}")
        return source

    async def receive(self, name: str, request: HookRequest) -> Response:
        """The answer to a hook.

        Raises `NotFound`, `Unauthorized`, `NotJson` or `Invalid` or `TooLarge` for a body that cannot be taken at
        all, and what `SourceAcceptor.accept` raises. Then nothing is kept.
        """
        source = await self.known(name)
        if not source.verify(request, self._clock.now()):
            raise Unverified(f"the request does not prove that it comes from {name}")
        if len(request.body) > INLINE:
            found = await at_the_door(content_of, source, request)
        else:
            found = content_of(source, request)
        if found.challenge is not None:
            return Response(found.challenge, media_type="text/plain", headers=_PLAIN)
        counts = await self._accept(name, found.elements)
        return _answer(source.doc.answer, found.answer, counts)

    async def preview(self, name: str, request: HookRequest) -> dict[str, Any]:
        """What a hook would become; nothing is verified or kept. Raises as `receive` does."""
        source = await self.known(name)
        found = await at_the_door(content_of, source, request)
        validator = EventValidator(now=self._clock.now(), wall=self._wall, erasing=False, new_id=str)
        shown = await at_the_door(previewed, found.elements, validator, self._placement)
        return {**shown, "challenge": found.challenge}

    async def _accept(self, name: str, elements: Sequence[Element]) -> Mapping[str, int]:
        mapped = [one for one in elements if isinstance(one, MappedEvent)]
        taken = await self._acceptor.accept(mapped, name) if mapped else []
        counts = Counter(dict.fromkeys(OUTCOMES, 0))
        refused = [one for one in (*elements, *taken) if isinstance(one, Refusal)]
        counts["ignored"] = sum(one is None for one in elements)
        counts["rejected"] = len(refused)
        for one in taken:
            if not isinstance(one, Refusal):
                counts["accepted" if isinstance(one, Went) else "unmatched"] += 1
        if refused:  # who sends hooks does not read answers; no value is told, as it may be somebody's
            why = sorted({f"{one.field}: {one.code}" for one in refused})
            log.warning("elements_rejected", source=name, rejected=len(refused), why=why[:MOST_TOLD])
        for outcome, count in counts.items():
            if count:
                HOOK_ELEMENTS.labels(name, outcome).inc(count)
        return counts


def content_of(source: SavedSource, request: HookRequest) -> HookContent:
    """What is in a hook. Raises `NotJson`, `Invalid`, `TooLarge` for what cannot be taken at all."""
    mapping, body = source.mapping, request.body
    try:
        value = read(body, request.headers)
        challenge = mapping.challenge(value, request.headers, len(body))
        elements = () if challenge is not None else mapping.elements(value, request.headers, body)
        answer = None if challenge is not None else mapping.answer(value, request.headers, len(body))
    except NotReadable as error:
        raise NotJson(str(error), code="not_readable") from None
    except TooManyElements as error:
        raise TooLarge(str(error), code="too_many_events") from None
    except NoAnswer as error:
        raise Invalid([{"field": "answer", "message": str(error)}]) from None
    except TooCostly as error:
        raise Invalid([{"field": "body", "message": str(error)}], code="too_costly") from None
    return HookContent(challenge, elements, answer)


_PLAIN = {"X-Content-Type-Options": "nosniff"}


def _answer(wanted: HookAnswer | None, made: bytes | None, counts: Mapping[str, int]) -> Response:
    """`made`: the body, where it is not a text that stands in the source."""
    if wanted is None:
        return json_response(dict(counts))
    usual = "text/plain; charset=utf-8" if made is None else "application/json"
    headers: dict[str, Any] = {"Content-Type": wanted.content_type or usual, **_PLAIN}
    return Response(wanted.body if made is None else made, wanted.status, headers)
