"""`GET /v1/attention`: what needs a person now. Each service says its own; an app joins those of its services."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Response

from backbone.web.api_keys import ANY, Principal, require
from backbone.web.responses import json_response
from schemas.attention import AttentionKind, AttentionOut
from schemas.event import rfc3339

BEHIND_US = 60_000_000  # a service that is less far behind needs nobody


class Attention(msgspec.Struct, frozen=True):
    """Things of one kind. `oldest` is in microseconds; `scope`: what a key needs to see them."""

    kind: AttentionKind
    count: int
    oldest: int | None
    link: str
    scope: str


class Watched(Protocol):
    """A service that says what of it needs a person."""

    def attention(self) -> Iterable[Attention]:
        """Kinds of which there are none are left out."""
        ...


def link(path: str, **asked: Any) -> str:
    """The address of a list, narrowed."""
    return f"{path}?{urlencode(asked)}" if asked else path


def attention_router(services: Sequence[Watched]) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["status"])

    @router.get("/v1/attention", response_model=AttentionOut, summary="Get what needs a person now")
    def attention(caller: Principal = require(ANY)) -> Response:
        """Each item has a link to the list that shows exactly those things. What the key may not read is left
        out.
        """
        found = [one for service in services for one in service.attention() if caller.allows(one.scope)]
        return json_response({"items": [_view(one) for one in found]})

    return router


def _view(one: Attention) -> dict[str, Any]:
    oldest = None if one.oldest is None else rfc3339(one.oldest)
    return {"kind": one.kind, "count": one.count, "oldest": oldest, "link": one.link}
