"""`/v1/playbooks/{name}/impact`: what a playbook did, by those it touched and those it held out."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from backbone.clock import Clock
from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import JsonRoute
from schemas.impact import ImpactOut
from schemas.sentences import impact as words
from services.actions.impact.verdict import judge
from services.actions.storage import impact
from services.actions.storage.library import PLAYBOOKS

Name = Annotated[str, Path(min_length=1, max_length=256)]
Version = Annotated[
    int | None,
    Query(
        ge=1, le=2**31 - 1, description="Only accounts whose first play used this version of the playbook."
    ),
]


def router(db: Database, clock: Clock, *, log_clock: bool) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["playbooks"], route_class=JsonRoute)

    @routes.get(
        "/v1/playbooks/{name}/impact",
        summary="Compare the accounts that a playbook treated with those it held out",
        response_model=ImpactOut,
    )
    def of(name: Name, version: Version = None, _: Principal = require("actions:read")) -> Response:
        """Each account counts once, with the first of its plays to begin. The goal counts as reached if its
        event comes within the goal's time.
        """
        now = None if log_clock else clock.now()
        with db.read() as connection:
            stored = PLAYBOOKS.fetch(connection, name)
            if version is not None:
                stored = PLAYBOOKS.version(connection, name, version)
            treated, held_out = impact.groups(connection, name, version, now)
        figures = judge(treated, held_out, held_out=bool(stored.doc.get("holdout"))).shown()
        said = words.sentence(figures, goal=bool(stored.doc.get("goal")))
        return json_response({**figures, "sentence": said})

    return routes
