"""The route of an export: `GET /v1/export/{kind}`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from backbone.database import Database
from backbone.exports.formats import MEDIA, Format, body
from backbone.exports.reading import Export, Page
from backbone.web.api_keys import require

LIMIT, MOST = 10_000, 100_000
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows. As `ndjson`, one JSON object a line.",
        "headers": {
            "next-cursor": {
                "description": "The cursor for the next call.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
        "content": {"application/x-ndjson": _TEXT, "text/csv": _TEXT},
    }
}


def export_router(db: Database, exports: list[Export], scope: str) -> APIRouter:
    """The routes of these exports, for keys with this scope."""
    router = APIRouter(tags=["export"])
    for export in exports:
        _add(router, db, export, scope)
    return router


def _add(router: APIRouter, db: Database, export: Export, scope: str) -> None:
    @router.get(
        f"/v1/export/{export.kind}",
        name=f"export_{export.kind}",
        summary=f"Export {export.kind} in the order of their last change",
        response_class=StreamingResponse,
        responses=_ANSWER,
    )
    def exported(
        cursor: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=200,
                description="The `next-cursor` of the last answer, or the `cursor` of the last row that was kept. "
                "Without it, the export begins with the oldest row.",
            ),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST, description="The number of rows at most.")] = LIMIT,
        format: Annotated[Format, Query(description="The format of the answer.")] = "ndjson",
        _: Any = require(scope),
    ) -> StreamingResponse:
        """For analysts: a reader who goes on from the last cursor misses nothing and reads nothing twice.

        Every row has its `cursor`. A row that changed comes again, with a new one. A row that was erased comes as
        `{"cursor", "id", "deleted": true}`. If there is nothing new, `next-cursor` is the cursor that was given. The
        answer is streamed: if the connection breaks off, go on from the last whole row.
        """
        page = Page(db, export, cursor, limit)
        return StreamingResponse(
            body(page, format, export.fields),
            media_type=MEDIA[format],
            headers={"next-cursor": page.next_cursor},
        )
