"""The list of rules, searched and filtered."""

from collections.abc import Container, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Row

from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response, page
from backbone.web.pagination import Text
from schemas.answers import page_of
from schemas.rule import Status
from schemas.rule_answers import RuleOut
from schemas.search import searchable, sought
from services.rules.api.explain import Explainer
from services.rules.api.rule_views import sentence, shown
from services.rules.storage.revisions import newest_rules
from services.rules.tables import revisions
from services.rules.troubles import RuleTroubles


def rule_list_router(db: Database, explainer: Explainer, troubles: RuleTroubles) -> APIRouter:
    """`GET /v1/rules`."""
    router = APIRouter(tags=["rules"])

    def view(row: Row[Any]) -> dict[str, Any]:
        why = explainer.unhealthy(row.name)
        return {**shown(row), **({} if why is None else {"unhealthy": why})}

    @router.get("/v1/rules", response_model=page_of(RuleOut), summary="List rules, last changed first")
    def rules(
        pages: Pages,
        status: Status | None = None,
        playbook: Annotated[Text, Query(description="Only rules that start this playbook.")] = None,
        q: Annotated[
            Text,
            Query(
                description="Only rules with this text in their name, description or sentence, whatever its case."
            ),
        ] = None,
        unhealthy: Annotated[
            bool | None, Query(description="Whether the rule does not run, though it is in force.")
        ] = None,
        silent: Annotated[
            bool | None, Query(description="Whether the source of the rule (`alive`) is silent.")
        ] = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        query = newest_rules() if status is None else newest_rules().where(revisions.c.status == status)
        among = [] if unhealthy is None else [(troubles.unhealthy().keys(), unhealthy)]
        among += [] if silent is None else [(troubles.silent().keys(), silent)]
        asked = playbook is not None or q is not None or bool(among)
        keep = partial(_is_sought, playbook, q, among) if asked else None
        with db.read() as conn:
            return json_response(page(conn, query, [revisions.c.revision], pages, view, keep=keep))

    return router


def _is_sought(
    playbook: str | None, q: str | None, among: Sequence[tuple[Container[str], bool]], row: Row[Any]
) -> bool:
    """Whether a rule starts the playbook, has the text, and is among these names, or is not."""
    if not all((row.name in names) == wanted for names, wanted in among):
        return False
    if playbook is not None and row.doc.get("playbook") != playbook:
        return False
    return q is None or sought(q) in searchable([row.name, row.doc.get("description"), sentence(row)])
