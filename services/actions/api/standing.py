"""`/v1/playbooks/{name}/standing`: where the open plays of a playbook stand."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from sqlalchemy import func, select

from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from schemas.play import StandingOut
from services.actions.storage.library import PLAYBOOKS
from services.actions.tables import plays


def router(db: Database) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["playbooks"])

    @routes.get(
        "/v1/playbooks/{name}/standing",
        response_model=StandingOut,
        summary="Count the open plays of the playbook by tier and step",
    )
    def of(
        name: Annotated[str, Path(min_length=1, max_length=256)], _: Principal = require("actions:read")
    ) -> Response:
        """`step` is the step at which a play waits. Held plays have not begun, and are not counted."""
        of_open = (plays.c.playbook == name, plays.c.status == "open")
        counted = select(plays.c.tier, plays.c.step, func.count().label("n")).where(*of_open)
        query = counted.group_by(plays.c.tier, plays.c.step).order_by(plays.c.tier, plays.c.step)
        with db.read() as connection:
            PLAYBOOKS.fetch(connection, name)
            return json_response({"items": [row._asdict() for row in connection.execute(query)]})

    return routes
