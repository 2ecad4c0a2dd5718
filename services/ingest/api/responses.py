"""Ingest's answers: how many events were accepted, and every refusal with its place."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastapi import Response

from backbone.errors import BadRequest, FieldError, Forbidden, summary
from backbone.web.app import json_response, problem
from services.ingest.acceptor import Accepted
from services.ingest.decoding.events import MAX_EVENTS, Code, Refusal
from services.ingest.event_warnings import Warned
from services.ingest.formats.base import Acknowledgement


def accepted(taken: Accepted, warnings: list[Warned], *, alone: bool) -> Response:
    """202, or 422 with the same two fields if no event was accepted. `alone`: the body was a single event.

    403 if the only thing missing was a scope. `warnings` are included if there are any.
    """
    if not taken.rejected and taken.accepted and not warnings:
        return _all_taken(taken.accepted)
    rejected = [
        {
            "index": index,
            "id": refusal.id,
            "error": {"code": refusal.code, "field": refusal.field, "message": refusal.message},
        }
        for index, refusal in taken.rejected
    ]
    body: dict[str, Any] = {"accepted": taken.accepted, "rejected": rejected}
    if warnings:
        body["warnings"] = warnings
    if taken.accepted:
        return json_response(body, 202)
    errors = wrong_fields(taken.rejected, alone=alone)
    detail = summary(errors) if errors else "there is no event in it"
    if errors and all(refusal.code == Code.SCOPE for _, refusal in taken.rejected):
        return problem(403, Forbidden.code, Forbidden.title, detail, errors=errors, extra=body)
    return problem(422, "nothing_accepted", "No event was accepted", detail, errors=errors, extra=body)


@lru_cache(MAX_EVENTS)
def _all_taken(count: int) -> Response:
    return json_response({"accepted": count, "rejected": []}, 202)


def acknowledged(ack: Acknowledgement, taken: Accepted, count: int, *, alone: bool) -> Response:
    """The format's own answer to a request of `count` items. Raises `BadRequest` if all of them were refused."""
    errors = wrong_fields(taken.rejected, alone=alone)
    if errors and len(errors) == count:
        raise BadRequest(summary(errors), code="nothing_accepted")
    return json_response(ack.body(errors), ack.status)


def wrong_fields(rejected: list[tuple[int, Refusal]], *, alone: bool) -> list[FieldError]:
    """The refusals as `errors`: `3.time` is the time of the event at index 3."""
    return [
        FieldError(
            field=refusal.field if alone else f"{index}.{refusal.field}".rstrip("."),
            message=refusal.message,
        )
        for index, refusal in rejected
    ]


def ids_from(idempotency_key: str, key_id: str, body: bytes) -> Callable[[int], str]:
    """Ids that follow from an `Idempotency-Key`, so that the same request sent again names the same events.

    They follow from the body too: if the key were reused by mistake, other events would get old ids and count as
    repeats.
    """
    request = (
        f"{key_id}\n{idempotency_key}\n".encode("utf-8", "surrogatepass") + hashlib.sha256(body).digest()
    )

    def new_id(index: int) -> str:
        return "idem-" + hashlib.blake2b(request + b"%d" % index, digest_size=16).hexdigest()

    return new_id
