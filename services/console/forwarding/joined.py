"""What each service answers for itself, joined to one answer. It is whole or an error: a half would look like all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import Scope, Send

from backbone.errors import BadGateway, TouchlineError
from backbone.web.responses import json_response
from services.console.forwarding.record import END, head_and_rest
from services.console.forwarding.relay import Whole, read_whole, send_whole, whole_of
from services.console.forwarding.table import Manner
from services.console.forwarding.upstream import ServiceUnreachable, Upstream, together

Said = Mapping[str, Any]


class MethodNotAllowed(TouchlineError):
    """No service has this method there. `methods`: those that there are."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, method: str, methods: Iterable[str]) -> None:
        self._allow = ", ".join(sorted(methods))
        super().__init__(f"{method[:20]} is not possible here; possible: {self._allow}")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": self._allow}


_JSON = [(b"content-type", b"application/json")]


def status(parts: Sequence[Said]) -> dict[str, Any]:
    """`/v1/status`: idle if each is while the log ends at the same place for all, so that they were idle together."""
    found: dict[str, Any] = {
        "idle": all(part["idle"] for part in parts) and all(part["log"] == parts[0]["log"] for part in parts),
        "services": {name: one for part in parts for name, one in part["services"].items()},
        "log": {topic: max(part["log"][topic] for part in parts) for topic in parts[0]["log"]},
    }
    clock = next((part["clock"] for part in parts if "clock" in part), None)
    return found if clock is None else found | {"clock": clock}


def attention(parts: Sequence[Said]) -> dict[str, Any]:
    """`/v1/attention`."""
    return {"items": [item for part in parts for item in part["items"]]}


_JOINED: Mapping[Manner, Callable[[Sequence[Said]], dict[str, Any]]] = {
    Manner.STATUS: status,
    Manner.ATTENTION: attention,
}


async def join(manner: Manner, upstreams: Sequence[Upstream], scope: Scope, send: Send) -> None:
    """Ask all services and answer with what they say together; a refusal of one is the answer."""
    if manner is Manner.RECORD:
        await _join_records(upstreams, scope, send)
        return
    if manner is Manner.REFUSED:
        await _join_refusals(upstreams, scope, send)
        return
    answers = await together(*(read_whole(upstream, scope) for upstream in upstreams))
    refused = next((answer for answer in answers if not answer.fine), None)
    if refused is not None:
        await send_whole(refused, send)
        return
    try:
        said = json_response(_JOINED[manner]([msgspec.json.decode(answer.body) for answer in answers]))
    except (msgspec.DecodeError, LookupError, TypeError):
        raise BadGateway("the services' answers do not fit together: are they of one release?") from None
    await send_whole(Whole(200, said.raw_headers, bytes(said.body)), send)


async def _join_refusals(upstreams: Sequence[Upstream], scope: Scope, send: Send) -> None:
    """One refusal that names the methods of all services. Raises `MethodNotAllowed`."""
    answers = await together(*(read_whole(upstream, scope) for upstream in upstreams))
    allowed = [value for answer in answers for name, value in answer.headers if name == b"allow"]
    methods = {one.strip() for value in allowed for one in value.decode("latin-1").split(",")} - {""}
    if methods:
        raise MethodNotAllowed(scope["method"], methods)
    await send_whole(answers[0], send)


async def _join_records(upstreams: Sequence[Upstream], scope: Scope, send: Send) -> None:
    """One after the other, since a service does not wait long for somebody to take in its answer.

    All are asked whether they are there before the answer begins; one that fails later breaks it off.
    """
    alive = {**scope, "path": "/healthz", "raw_path": b"/healthz", "method": "GET"}
    await together(*(read_whole(upstream, alive, query=b"") for upstream in upstreams))
    begun = False
    for upstream in upstreams:
        async with upstream.open(scope, None) as exchange:
            if exchange.answer.status != 200:
                if begun:  # the answer breaks off
                    raise ServiceUnreachable(f"the {upstream.name} service refused")
                await send_whole(await whole_of(exchange, upstream.name), send)
                return
            head, inside = await head_and_rest(exchange.answer.content.iter_any())
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": _JSON})
            await _more(send, b"," if begun else head)
            async for piece in inside:
                exchange.held.waits_for_client()
                await _more(send, piece)
                exchange.held.waits_for_service()
            begun = True
    await send({"type": "http.response.body", "body": END + b"\n"})


async def _more(send: Send, piece: bytes) -> None:
    if piece:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
