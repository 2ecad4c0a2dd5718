"""`/v1/sending`: stops every mail and webhook, and lets them go on."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Response

from backbone.clock import Clock
from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.sending import SENDING_EXAMPLE, SendingIn, SendingOut
from services.actions.delivery import sending_switch
from services.actions.status import shown_switch
from services.actions.storage import sending

SendingBody = Annotated[SendingIn, AS_SHOWN, example(SENDING_EXAMPLE)]


def router(db: Database, clock: Clock, changed: Callable[[], None], *, log_clock: bool = False) -> APIRouter:
    """The routes. `changed` is called when the switch was turned."""
    routes = APIRouter(tags=["sending"], route_class=JsonRoute)

    @routes.get(
        "/v1/sending", response_model=SendingOut, summary="Get whether mail and webhooks are being sent"
    )
    def shown(_: Principal = require("actions:read")) -> Response:
        with db.read() as conn:
            return json_response(shown_switch(sending.current(conn)))

    @routes.put("/v1/sending", response_model=SendingOut, summary="Turn all mail and webhooks off or on")
    def turn(model: SendingBody, trail: Trail, _: Principal = require("actions:write")) -> Response:
        """The answer to `off` comes within 10 seconds. Once it has come, no process begins to send
        anything, and actions wait.
        """
        off = model.status == "off"
        found = sending_switch.turn(db, clock, trail, off=off, reason=model.reason, log_clock=log_clock)
        changed()
        return json_response(shown_switch(found))

    return routes
