"""Backtests over HTTP (contract, section 11)."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from backbone.database import Database
from backbone.errors import Invalid, StateConflict
from backbone.jobs.api import JobId, jobs_router
from backbone.jobs.queue import JobQueue
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, Pages, Paging, encode_cursor, json_response
from backbone.web.json_route import AS_SHOWN, example
from backbone.web.pagination import bad_cursor
from schemas.answers import page_of
from schemas.backtest import BACKTEST_EXAMPLE, MAX_VALUES, BacktestIn, BacktestOut
from schemas.rule import RuleIn
from schemas.rule_answers import BacktestMatchOut, TriggerOut
from schemas.sentences.rules import of_trigger
from services.rules.api.matches import Near
from services.rules.backtest.ledger import pages_of, series_of
from services.rules.backtest.plan import AGAINST, BASE, MATCHES, Plan
from services.rules.backtest.request import plan_of
from services.rules.backtest.standing import chosen

PATH = "/v1/backtests"
Body = Annotated[BacktestIn, AS_SHOWN, example(BACKTEST_EXAMPLE)]
Variant = Annotated[
    int | None,
    Query(
        ge=0,
        lt=MAX_VALUES,
        description="The index of a value in `vary`, counted from 0. Default: the rule itself.",
    ),
]
Change = Annotated[
    Literal["added", "dropped"] | None,
    Query(
        description="Only triggers that the rule of `against` does not have (`added`), or that only it has "
        "(`dropped`)."
    ),
]


def backtests_router(db: Database, queue: JobQueue, wake: Callable[[], None]) -> APIRouter:
    """`/v1/backtests`."""
    router = jobs_router(PATH, "backtest", BacktestOut, "rules:read", queue)
    _asking(router, db, queue, wake)
    _triggers(router, queue)
    _matches(router, queue)
    return router


def _asking(router: APIRouter, db: Database, queue: JobQueue, wake: Callable[[], None]) -> None:
    @router.post(PATH, status_code=202, response_model=BacktestOut, summary="Start a backtest of a rule")
    def ask(asked: Body, once: Once, principal: Principal = require("rules:read")) -> Response:
        """The rule is run over the whole log in a process of its own, as if it had been saved before the
        first record, with the log clock and the current tiers. Nothing is changed and nothing is sent.

        The triggers have the ids that they would have had. Imported history (`historical`) counts like live
        events. One backtest runs at a time and up to 20 wait; an API key may have two that run or wait.
        Further requests are answered with 429 and `Retry-After`.
        """
        with db.read() as conn:
            plan, shown = plan_of(conn, asked)
        body = plan.encode()

        def make(conn: Connection) -> Response:
            job = queue.submit(conn, principal.key_id, body, shown)
            return json_response(job.answer(), 202, {"Location": f"{PATH}/{job.id}"})

        with queue.write() as conn:
            answer = once.run(conn, partial(make, conn))
        wake()
        return answer


def _triggers(router: APIRouter, queue: JobQueue) -> None:
    @router.get(
        PATH + "/{job}/triggers",
        response_model=page_of(TriggerOut),
        summary="List the triggers that a backtest found, earliest first",
    )
    def triggers(
        job: JobId,
        pages: Pages,
        variant: Variant = None,
        change: Change = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """Only the earliest 100,000 triggers are kept. Answers 409 until the backtest is done."""
        status = queue.get(job).status
        plan = Plan.decode(queue.body(job))
        series = BASE if variant is None else str(variant)
        _check(plan, variant, change)
        _done(status, "triggers")
        docs = {rule.series: RuleIn.model_validate(rule.doc) for rule in plan.rules}
        doc = docs[AGAINST if change == "dropped" else series]
        skip = _skipped(pages)
        found = pages_of(queue.parts(job, series_of(series, change), skip), skip, pages.limit + 1)
        items = [{**one, "sentence": of_trigger(one, doc)} for one in found[: pages.limit]]
        more = len(found) > pages.limit
        return json_response(
            {"items": items, "next_cursor": encode_cursor([skip + pages.limit]) if more else None}
        )


def _matches(router: APIRouter, queue: JobQueue) -> None:
    @router.get(
        PATH + "/{job}/matches",
        response_model=page_of(BacktestMatchOut),
        summary="List the subjects that matched or nearly matched at the end of a backtest, greatest "
        "share first",
    )
    def matches(
        job: JobId,
        pages: Pages,
        near: Near = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """Works like `GET /v1/rules/{name}/matches`, but the rule need not be saved, and windows end at the
        newest time in the log.

        Only the 100,000 subjects with the greatest shares are kept. Answers 409 until the backtest is done.
        """
        _done(queue.get(job).status, "matches")
        skip = _skipped(pages)
        found = list(islice(chosen(queue.parts(job, MATCHES, skip), skip, near), pages.limit + 1))
        more = encode_cursor([found[-1][0]]) if len(found) > pages.limit else None
        return json_response({"items": [one for _, one in found[: pages.limit]], "next_cursor": more})


def _done(status: str, what: str) -> None:
    if status != "done":
        raise StateConflict(f"the backtest is {status}: it has no {what} to show")


def _check(plan: Plan, variant: int | None, change: str | None) -> None:
    if variant is not None and variant >= len(plan.values):
        had = f"its variants are 0 to {len(plan.values) - 1}" if plan.values else "it has no variants"
        raise Invalid([{"field": "variant", "message": f"the backtest has no such variant; {had}"}])
    if change is not None and all(rule.series != AGAINST for rule in plan.rules):
        raise Invalid(
            [{"field": "change", "message": "goes with a backtest that was asked for with `against`"}]
        )


def _skipped(pages: Paging) -> int:
    if pages.cursor is None:
        return 0
    if len(pages.cursor) != 1 or not isinstance(pages.cursor[0], int) or pages.cursor[0] < 0:
        raise bad_cursor()
    return pages.cursor[0]
