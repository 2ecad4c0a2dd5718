"""Accounts and triggers over HTTP: what rules has learnt from the log, and what it decided."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import select

from backbone.database import Database
from backbone.errors import NotFound
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response, page
from backbone.web.pagination import After, Before, Text, between, equal, newest
from backbone.web.path_params import ends_apart
from schemas.account import Tier
from schemas.answers import page_of
from schemas.conditions.keys import MAX_KEY
from schemas.rule_answers import AccountOut, EventOut, TriggerOut
from services.rules.api.account_events import AccountEvents, Wanted
from services.rules.api.explain import Explainer
from services.rules.api.trigger_views import TriggerViews
from services.rules.storage import queries
from services.rules.tables import accounts, triggers

Id = Annotated[str, Path(min_length=1, max_length=256)]


def accounts_router(db: Database, explainer: Explainer, events: AccountEvents) -> APIRouter:
    """`/v1/accounts`."""
    router = APIRouter(tags=["accounts"])

    @router.get("/v1/accounts", response_model=page_of(AccountOut), summary="List accounts, newest first")
    def listed(pages: Pages, _: Principal = require("rules:read")) -> Response:
        """Accounts that were merged into others are left out."""
        view = explainer.account_view()
        query = select(accounts).where(accounts.c.merged_into.is_(None))
        with db.read() as conn:
            return json_response(page(conn, query, [accounts.c.seen_at, accounts.c.account], pages, view))

    # Registered before the account itself, whose name may be any text.
    @router.get(
        "/v1/accounts/{id:path}/events",
        response_model=page_of(EventOut),
        summary="List the events of an account, newest first",
    )
    def events_of(
        request: Request,
        id: Id,
        pages: Pages,
        type: Annotated[Text, Query(description="Only events of this type.")] = None,
        after: Annotated[After, Query(description="Only events that happened after this time.")] = None,
        event: Annotated[
            str | None,
            Query(alias="id", min_length=1, max_length=1_024, description="Only the event with this id."),
        ] = None,
        principal: Principal = require("rules:read"),
    ) -> Response:
        """Lists events for as long as the log keeps them, in the order in which they arrived. Each event is
        listed once, and erased events are left out.

        A page may have fewer items than `limit`, or none: follow `next_cursor` until it is null. Use `id` to
        look up the events that the `evidence` of a trigger or an explanation names.
        """
        if not ends_apart(request, "events"):  # an account whose name ends in `/events`
            return one(f"{id}/events", principal)
        return json_response(events.page(id, Wanted(type, after, event), pages))

    @router.get(
        "/v1/accounts/{id:path}",
        response_model=AccountOut,
        summary="Get an account with its tier and the reason for it",
    )
    def one(id: Id, _: Principal = require("rules:read")) -> Response:
        """For an account that was merged, `merged_into` names the account that replaced it and now has its
        contacts.
        """
        with db.read() as conn:
            row = conn.execute(select(accounts).where(accounts.c.account == id)).one_or_none()
        if row is None:
            raise NotFound(f"no event of an account {id!r} has been processed yet")
        return json_response(explainer.account_view()(row))

    return router


def triggers_router(db: Database) -> APIRouter:
    """`/v1/triggers`."""
    router = APIRouter(tags=["triggers"])
    views = TriggerViews()

    @router.get("/v1/triggers", response_model=page_of(TriggerOut), summary="List triggers, newest first")
    def listed(
        pages: Pages,
        rule: Text = None,
        account: Text = None,
        tier: Tier | None = None,
        key: Annotated[
            str | None,
            Query(max_length=MAX_KEY, description="Only triggers with this value of the rule's `by`."),
        ] = None,
        after: After = None,
        before: Before = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """`after` and `before` are compared with `at`."""
        digest = queries.key_digest(key)
        query = equal(select(triggers), rule=rule, account=account, tier=tier, key_digest=digest)
        query = between(query, triggers.c.at, after, before)
        order = newest(triggers.c.seq, triggers.c.at, after, before)
        with db.read() as conn:
            return json_response(page(conn, query, order, pages, partial(views.show, conn)))

    @router.get("/v1/triggers/{id}", response_model=TriggerOut, summary="Get a trigger with its evidence")
    def one(id: Id, _: Principal = require("rules:read")) -> Response:
        with db.read() as conn:
            row = conn.execute(select(triggers).where(triggers.c.id == id)).one_or_none()
            if row is None:
                raise NotFound(f"there is no trigger {id}")
            return json_response(views.show(conn, row))

    return router
