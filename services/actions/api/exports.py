"""`GET /v1/export/plays`, `…/actions` and `…/tasks`: for analysts."""

from functools import partial

from fastapi import APIRouter
from sqlalchemy import Connection, select

from backbone.database import Database
from backbone.exports.reading import Export, View
from backbone.web.export import export_router
from schemas.play import ActionOut, PlayOut, TaskOut
from services.actions.api.plays import Times
from services.actions.api.views import action_view, play_view, task_view
from services.actions.tables import actions, export_erased, plays, tasks

# what no reader sees, and may be large
_HIDDEN = {"trigger", "templates", "watched", "rendered"}


def router(db: Database, times: Times) -> APIRouter:
    """The routes."""
    return export_router(db, exports(times), "actions:read")


def exports(times: Times) -> list[Export]:
    """What is exported."""

    def of_tasks(conn: Connection) -> View:
        return partial(task_view, now=times.now(conn, None))

    return [
        Export(
            kind=kind,
            table=table,
            gone=export_erased,
            query=select(*(column for column in table.c if column.name not in _HIDDEN)),
            views=views,
            fields=tuple(model.model_fields),
        )
        for kind, table, views, model in (
            ("plays", plays, lambda _: play_view, PlayOut),
            ("actions", actions, lambda _: action_view, ActionOut),
            ("tasks", tasks, of_tasks, TaskOut),
        )
    ]
