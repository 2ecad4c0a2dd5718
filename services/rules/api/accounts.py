"""Accounts and triggers over HTTP: what rules has learnt from the log, and what it decided."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import select

from backbone.database import Database
from backbone.errors import NotFound
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response, page
from backbone.web.pagination import Address, After, Before, Ids, Text, among, between, equal, newest
from backbone.web.path_params import ends_apart
from schemas.account import Tier
from schemas.answers import page_of
from schemas.conditions.keys import MAX_KEY
from schemas.rule_answers import AccountExplanationsOut, AccountOut, EventOut, TriggerOut
from services.rules.api.account_events import AccountEvents, Wanted
from services.rules.api.explain import Explainer
from services.rules.api.trigger_views import TriggerViews
from services.rules.storage import listings, queries
from services.rules.tables import accounts, triggers

NOTHING_SOUGHT = listings.Sought()
Id = Annotated[str, Path(min_length=1, max_length=256)]


def accounts_router(db: Database, explainer: Explainer, events: AccountEvents) -> APIRouter:
    """`/v1/accounts`."""
    router = APIRouter(tags=["accounts"])
    _listing(router, db, explainer)
    _one(router, db, explainer, events)
    return router


def _listing(router: APIRouter, db: Database, explainer: Explainer) -> None:
    @router.get("/v1/accounts", response_model=page_of(AccountOut), summary="List accounts, newest first")
    def listed(
        pages: Pages,
        q: Annotated[
            Text,
            Query(
                description="Only accounts with this text in their id, name or domains, or in the id, name or email of "
                "a contact, whatever its case."
            ),
        ] = None,
        tier: Tier | None = None,
        owner: Annotated[Address, Query(description="The address of the account's owner.")] = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """Accounts that were merged into others are left out."""
        rules, view = explainer.rules(), explainer.account_view()
        wanted = listings.Sought(q, tier, owner)
        with db.read(steady=True) as conn:
            if wanted == NOTHING_SOUGHT:
                query = select(accounts).where(accounts.c.merged_into.is_(None))
                return json_response(page(conn, query, [accounts.c.seen_at, accounts.c.account], pages, view))
            query, keep = listings.listed(conn, wanted, rules)
            return json_response(page(conn, query, listings.ORDER, pages, view, keep=keep))


def _one(router: APIRouter, db: Database, explainer: Explainer, events: AccountEvents) -> None:
    # Registered before the account itself, whose name may be any text; and so are its events.
    @router.get(
        "/v1/accounts/{id:path}/explain",
        response_model=AccountExplanationsOut,
        summary="Explain every rule for the account now, nearest first",
    )
    def explain_all(request: Request, id: Id, principal: Principal = require("rules:read")) -> Response:
        """One item for every rule that is active, shadow or paused, each as `GET /v1/rules/{name}/explain` answers
        it. For a rule that counts for contacts or by a value, it is about the contact and value that are nearest.

        `share` is how near that is: 1 means that the rule's condition holds. It is null where there is nothing to
        measure, and those come last.
        """
        if not ends_apart(request, "explain"):  # an account whose name ends in `/explain`
            return one(f"{id}/explain", principal)
        return json_response({"items": explainer.explain_all(id)})

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


def triggers_router(db: Database) -> APIRouter:
    """`/v1/triggers`."""
    router = APIRouter(tags=["triggers"])
    views = TriggerViews()

    @router.get("/v1/triggers", response_model=page_of(TriggerOut), summary="List triggers, newest first")
    def listed(
        pages: Pages,
        id: Ids = None,
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
        query = between(among(query, id), triggers.c.at, after, before)
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
