"""Rules and tiers over HTTP (contract, sections 4 and 6)."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from backbone.audit import AuditTrail
from backbone.database import Database
from backbone.documents.api import Publish, Version
from backbone.errors import NotFound
from backbone.web.api_keys import ANY, Principal, require
from backbone.web.app import Once, Pages, etag, json_response, page
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, created, example, named_in_address
from schemas.answers import CheckOut, page_of
from schemas.conditions.keys import MAX_KEY
from schemas.fields import EmptyBody
from schemas.json_schemas import DOCUMENT, KINDS, TEST, schema_of
from schemas.lint.single import LintWarning
from schemas.rule import RULE_EXAMPLE, TIERS_EXAMPLE, ActivateIn, PauseIn, RuleIn, TiersDoc
from schemas.rule_answers import ExplanationOut, RuleOut, RuleVersionOut, TiersOut
from services.rules.api.audited import audited, audited_apart
from services.rules.api.explain import Explainer
from services.rules.api.pause import Plays, RulePauses
from services.rules.api.rule_views import author, sentence, shown, version_shown
from services.rules.storage.revisions import DEFAULT_TIERS, latest
from services.rules.storage.rule_repository import RuleRepository, exists, tag
from services.rules.storage.versions import all_versions, newest
from services.rules.tables import versions

Name = Annotated[str, Path(min_length=1, max_length=256)]
RuleBody = Annotated[RuleIn, AS_SHOWN, example(RULE_EXAMPLE)]
TiersBody = Annotated[TiersDoc, AS_SHOWN, example(TIERS_EXAMPLE)]
ActivateBody = Annotated[ActivateIn | None, example({"backfill": True})]
PauseBody = Annotated[PauseIn | None, example({"plays": "go_on"})]
IfMatch = Annotated[
    str | None,
    Header(
        description="The ETag of the version that you are changing. If it is no longer current, the change "
        "is refused with 412."
    ),
]

OTHER_NAME = "is {given!r}, but the address says {name!r}"


class Lint(Protocol):
    """Finds what is doubtful about a rule. `alone`: without looking at other documents."""

    def __call__(self, rule: RuleIn, *, alone: bool = False) -> list[LintWarning]: ...


def rules_router(
    db: Database,
    saver: RuleRepository,
    explainer: Explainer,
    lint: Lint,
    pauses: RulePauses,
) -> APIRouter:
    """`/v1/rules` and `/v1/tiers`."""
    router = APIRouter(tags=["rules"], route_class=JsonRoute)
    _writing(router, saver, lint)
    _versions(router, saver, lint)
    _reading(router, db, explainer)
    _verbs(router, saver, lint, pauses)
    _tiers(router, db, saver)
    _schemas(router)
    return router


def _writing(router: APIRouter, saver: RuleRepository, lint: Lint) -> None:
    @router.post("/v1/rules", status_code=201, response_model=RuleOut, summary="Create a new rule")
    def create(
        rule: RuleBody,
        once: Once,
        trail: Trail,
        publish: Publish = True,
        _: Principal = require("rules:write"),
    ) -> Response:
        warnings, by = lint(rule), trail.actor
        save = audited(saver, trail, rule.name, lambda conn: saver.create(conn, rule, by))
        save_apart = audited_apart(trail, lambda conn: saver.create_apart(conn, rule, by), lambda kept: kept)

        def make(conn: Connection) -> Response:
            if publish:
                return _answer(save(conn), 201, warnings=warnings)
            return _apart(save_apart(conn), None, warnings)

        response: Response = saver.run(lambda conn: once.run(conn, lambda: make(conn)), rule.playbook)
        return response

    @router.put(
        "/v1/rules/{name}",
        response_model=RuleOut,
        responses=created(RuleOut),
        summary="Create or replace the rule",
    )
    def put(
        rule: RuleBody,
        trail: Trail,
        name: str = named_in_address(OTHER_NAME),
        publish: Publish = True,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        by = trail.actor
        if not publish:
            save = audited_apart(
                trail, lambda conn: saver.put_apart(conn, rule, if_match, by), lambda saved: saved[0]
            )
            kept, now = saver.run(save, rule.playbook)
            return _apart(kept, now, lint(rule))
        change = audited(saver, trail, name, lambda conn: saver.put(conn, rule, if_match, by))
        row, new = saver.run(change, rule.playbook)
        warnings = lint(rule.model_copy(update={"status": row.status}))  # a PUT without one keeps it
        return _answer(row, 201 if new else 200, warnings=warnings)

    @router.delete("/v1/rules/{name}", status_code=204, summary="Delete the rule and keep its triggers")
    def delete(
        name: Name, trail: Trail, if_match: IfMatch = None, _: Principal = require("rules:write")
    ) -> Response:
        saver.run(audited(saver, trail, name, lambda conn: saver.delete(conn, name, if_match, trail.actor)))
        return Response(status_code=204)


def _versions(router: APIRouter, saver: RuleRepository, lint: Lint) -> None:
    @router.post(
        "/v1/rules/{name}/versions/{version}/publish",
        response_model=RuleOut,
        summary="Put any saved version of the rule into force",
    )
    def publish_version(
        name: Name,
        version: Version,
        trail: Trail,
        _body: Annotated[EmptyBody | None, example({})] = None,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        """The version is checked like a save, against the documents that exist now. No new version is
        created. The rule keeps its status, and its state is kept as it would be by a save. If the rule was
        deleted, this restores it as a draft.
        """
        row = saver.run(
            audited(saver, trail, name, lambda conn: saver.publish(conn, name, version, if_match)),
            saver.playbook_of(name, version),
        )
        return _answer(row, warnings=lint(RuleIn.model_validate(row.doc)))

    @router.post(
        "/v1/rules/check",
        response_model=CheckOut,
        summary="Check a rule without saving it",
    )
    def check(
        rule: RuleBody,
        alone: Annotated[
            bool,
            Query(
                description="Check the rule on its own, without looking at saved rules, playbooks and templates."
            ),
        ] = False,
        _: Principal = require("rules:read"),
    ) -> Response:
        saver.check(rule)
        return json_response({"warnings": lint(rule, alone=alone)})


def _verbs(router: APIRouter, saver: RuleRepository, lint: Lint, pauses: RulePauses) -> None:
    def turned(
        name: str,
        status: str,
        if_match: str | None,
        trail: AuditTrail,
        *,
        backfill: bool = False,
        plays: Plays | None = None,
    ) -> Response:
        def turn(conn: Connection) -> Row[Any]:
            return saver.turn(conn, name, status, backfill=backfill, holds=plays == "hold", if_match=if_match)

        row = saver.run(audited(saver, trail, name, turn), saver.playbook_of(name))
        warnings: list[LintWarning] = []
        if status != "paused":
            with suppress(ValidationError):  # saved by an older version of this program
                warnings = lint(RuleIn.model_validate(row.doc))
        concerned = None if plays is None else pauses.concerned(name, plays)
        return _answer(row, warnings=warnings, concerned=concerned)

    @router.post(
        "/v1/rules/{name}/activate", response_model=RuleOut, summary="Activate the rule, so that it fires"
    )
    def activate(
        name: Name,
        trail: Trail,
        how: ActivateBody = None,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        return turned(name, "active", if_match, trail, backfill=how is not None and how.backfill)

    @router.post(
        "/v1/rules/{name}/shadow",
        response_model=RuleOut,
        summary="Run the rule in shadow: record triggers, but start no plays",
    )
    def shadow(
        name: Name,
        trail: Trail,
        how: ActivateBody = None,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        return turned(name, "shadow", if_match, trail, backfill=how is not None and how.backfill)

    @router.post(
        "/v1/rules/{name}/pause",
        response_model=RuleOut,
        summary="Pause the rule: keep counting, but do not fire",
    )
    def pause(
        name: Name,
        trail: Trail,
        body: PauseBody = None,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        """`concerned`: how many plays of the rule are open, and how many of their mails wait.

        By default they go on. With `hold` they stand still until the rule is active again, and those that would begin
        are held (`rule_paused`); with `exit` they end (`rule_paused`). Either way nothing more of them is sent. The
        answer waits until that is so, 10 s at most: after a 503 the rule is paused, and the same call tells the rest.
        """
        plays: Plays = "go_on" if body is None else body.plays
        return turned(name, "paused", if_match, trail, plays=plays)


def _reading(router: APIRouter, db: Database, explainer: Explainer) -> None:
    @router.get("/v1/rules/{name}", response_model=RuleOut, summary="Get the rule in force")
    def rule(name: Name, _: Principal = require("rules:read")) -> Response:
        with db.read() as conn:
            row = latest(conn, name)
        if row is None or not exists(row):
            raise NotFound(f"there is no rule named {name}")
        return _answer(row, 200, unhealthy=explainer.unhealthy(name))

    @router.get(
        "/v1/rules/{name}/versions",
        response_model=page_of(RuleVersionOut),
        summary="List the versions of the rule, newest first",
    )
    def all_of_rule(name: Name, pages: Pages, _: Principal = require("rules:read")) -> Response:
        """`in_force` marks the version that is in force. The status belongs to the rule, not to a version, so
        only the version in force shows it. `status: deleted` marks a deletion.
        """
        with db.read() as conn:
            if newest(conn, name) == 0:
                raise NotFound(f"there was never a rule named {name}")
            now = latest(conn, name)
            show = partial(version_shown, now=now if exists(now) else None)
            return json_response(page(conn, all_versions(name), [versions.c.version], pages, show))

    @router.get(
        "/v1/rules/{name}/explain",
        response_model=ExplanationOut,
        summary="Explain why the rule fires for a subject now, or why not",
    )
    def explain(
        name: Name,
        account: Annotated[str, Query(min_length=1, max_length=256)],
        contact: Annotated[
            str | None, Query(max_length=256, description="The contact. For rules with `scope: contact`.")
        ] = None,
        key: Annotated[
            str | None, Query(max_length=MAX_KEY, description="The value of `by`. For rules with `by`.")
        ] = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """`reason` is one of a fixed set. `sentence` gives the reason with its numbers, and mentions the last
        trigger.

        For a rule that is decided at the daily tick, this is the decision at the next tick if no more events
        arrive. `figures` holds what a trend compares. `evidence` holds the ids of events; look them up with
        `GET /v1/accounts/{id}/events`.
        """
        return json_response(explainer.explain(name, account, contact, key))


def _tiers(router: APIRouter, db: Database, saver: RuleRepository) -> None:
    @router.get("/v1/tiers", response_model=TiersOut, summary="Get the tier policy")
    def read(_: Principal = require("rules:read")) -> Response:
        with db.read() as conn:
            row = latest(conn, None)
        if row is None:
            return json_response({"tiers": list(DEFAULT_TIERS), "version": 0}, headers={"ETag": etag(0)})
        return json_response(_tiers_shown(row), headers={"ETag": etag(row.version)})

    @router.put("/v1/tiers", response_model=TiersOut, summary="Replace the tier policy")
    def write(
        doc: TiersBody, trail: Trail, if_match: IfMatch = None, _: Principal = require("rules:write")
    ) -> Response:
        row = saver.run(
            audited(saver, trail, None, lambda conn: saver.tiers(conn, doc, if_match, trail.actor))
        )
        return json_response(_tiers_shown(row), headers={"ETag": etag(row.version)})


def _schemas(router: APIRouter) -> None:
    @router.get(
        "/v1/schemas/{kind}",
        response_model=dict[str, Any],
        summary="Get the JSON Schema of a kind of file, for editors",
    )
    def schema(
        kind: Annotated[
            str,
            Path(
                description="The kind of file: rule, playbook, template, endpoint, tiers, policy, brand, "
                "task-mails, aliases, test or document."
            ),
        ],
        _: Principal = require(ANY),
    ) -> Response:
        try:
            return json_response(schema_of(kind))
        except KeyError:
            raise NotFound(
                f"there is no kind {kind}; there are: {', '.join((*KINDS, TEST, DOCUMENT))}"
            ) from None


def _tiers_shown(row: Row[Any]) -> dict[str, Any]:
    return {**row.doc, **author(row)}


def _apart(kept: Row[Any], now: Row[Any] | None, warnings: Sequence[LintWarning]) -> Response:
    """The answer to a save that changes nothing in force: the version, and status and ETag of the rule (None: new)."""
    status = "draft" if now is None else now.status
    shown = {**kept.doc, "status": status, **author(kept), "in_force": False, "sentence": sentence(kept)}
    more = {"warnings": list(warnings)} if warnings else {}
    tagged = tag(now)
    headers = {"Location": f"/v1/rules/{kept.name}/versions"} if tagged is None else {"ETag": tagged}
    return json_response({**shown, **more}, 201 if now is None else 200, headers)


def _answer(
    row: Row[Any],
    status: int = 200,
    *,
    unhealthy: str | None = None,
    warnings: Sequence[LintWarning] = (),
    concerned: dict[str, int] | None = None,
) -> Response:
    headers = {"ETag": tag(row) or etag(row.version)}
    if status == 201:
        headers["Location"] = f"/v1/rules/{row.name}"
    more = {"unhealthy": unhealthy, "warnings": list(warnings), "concerned": concerned}
    return json_response({**shown(row), **{k: v for k, v in more.items() if v}}, status, headers)
