"""`GET /v1/export/triggers` and `…/accounts`: for analysts."""

from collections import defaultdict
from functools import partial

from fastapi import APIRouter
from sqlalchemy import select

from backbone.database import Database
from backbone.exports.erased import Place
from backbone.exports.reading import Export
from backbone.log import EVENTS, Log
from backbone.web.export import export_router
from schemas.event import Malformed
from schemas.rule_answers import AccountOut, TriggerOut
from services.rules.account_rows import AccountRows, shown
from services.rules.api.trigger_views import TriggerViews
from services.rules.decoding import decoded
from services.rules.tables import account_rows, export_erased, triggers


def router(db: Database, log: Log, rows: AccountRows, *, wall: bool) -> APIRouter:
    """The routes. `wall`: whether times follow the wall clock."""
    views = TriggerViews()
    of_triggers = Export(
        kind="triggers",
        table=triggers,
        gone=export_erased,
        query=select(triggers.c.stamp, triggers.c.seq, triggers.c.doc),
        views=lambda conn: partial(views.show, conn),
        fields=tuple(TriggerOut.model_fields),
    )
    of_accounts = Export(
        kind="accounts",
        table=account_rows,
        gone=export_erased,
        query=select(account_rows),
        views=lambda _: shown,
        fields=tuple(AccountOut.model_fields),
        ids=partial(_erased_accounts, log, wall),
        refresh=rows.refresh,
    )
    return export_router(db, [of_triggers, of_accounts], "rules:read")


def _erased_accounts(log: Log, wall: bool, places: list[Place]) -> dict[Place, str]:
    """The names of accounts, from the events that erased them: the log is the only one who still knows."""
    offsets: dict[int, set[int]] = defaultdict(set)
    for place in places:
        offsets[place.partition].add(place.offset)
    found: dict[Place, str] = {}
    for partition, wanted in offsets.items():
        for record in log.pick(EVENTS, partition, sorted(wanted)):
            try:
                event = decoded(record, wall=wall)
            except Malformed:
                continue
            if event.account is not None:
                found[Place(partition, record.offset)] = event.account
    return found
