"""The route of counts: `GET /v1/stats/{kind}`."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from backbone.database import Database
from backbone.errors import Invalid
from backbone.stats.counted import Counted, StatsTables
from backbone.stats.reading import DAY, Period, read_counts
from backbone.web.api_keys import require
from backbone.web.responses import json_response
from schemas.dates import zone_of
from schemas.event import microseconds
from schemas.stats import stats_of
from schemas.timestamps import QueryMoment
from schemas.zones import BadZone, valid_zone


def stats_router(db: Database, tables: StatsTables, counted: Sequence[Counted], scope: str) -> APIRouter:
    """The routes of what is counted, for keys with this scope."""
    router = APIRouter(tags=["stats"])
    for one in counted:
        _add(router, db, tables, one, scope)
    return router


def _add(router: APIRouter, db: Database, tables: StatsTables, counted: Counted, scope: str) -> None:
    known = [DAY, *counted.dimensions]
    one = f"({'|'.join(known)})"

    @router.get(
        f"/v1/stats/{counted.kind}",
        name=f"stats_{counted.kind}",
        summary=f"Count {counted.kind}",
        response_model=stats_of(counted.kind, known),
    )
    def stats(
        by: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=100,
                description=f"What the counts are split by, separated by commas: {', '.join(known)}. Without it there "
                "is one count of them all.",
                json_schema_extra={"pattern": f"^{one}(,{one})*$"},
                examples=["day,rule"],
            ),
        ] = None,
        after: Annotated[QueryMoment | None, Query(description="Count only what is later than this.")] = None,
        before: Annotated[
            QueryMoment | None, Query(description="Count only what is earlier than this.")
        ] = None,
        timezone: Annotated[
            str,
            Query(
                min_length=1,
                max_length=100,
                description="The timezone whose days `day` has, by its IANA name.",
            ),
        ] = "UTC",
        _: Any = require(scope),
    ) -> Response:
        """Counts of what is there now: what was erased, or has left because of its age, counts no more.

        Combinations of which there are none are left out. There can be 10,000 items, and `day` can span ten years.
        """
        wanted = _dimensions(by, known, counted.kind)
        start = None if after is None else microseconds(after) + 1
        period = Period(start, None if before is None else microseconds(before))
        zone = _zone(timezone)
        with db.read(steady=True) as conn:
            return json_response({"items": read_counts(conn, tables, counted, wanted, period, zone)})


def _dimensions(by: str | None, known: Sequence[str], kind: str) -> list[str]:
    """Raises `Invalid` for those that are unknown or given twice."""
    found = [] if by is None else [name.strip() for name in by.split(",")]
    for name in found:
        if name not in known:
            message = f"{kind} cannot be split by {name[:100]!r}; allowed: {', '.join(known)}"
            raise Invalid([{"field": "by", "message": message}])
        if found.count(name) > 1:
            raise Invalid([{"field": "by", "message": f"has {name} twice"}])
    return found


def _zone(name: str) -> Any:
    try:
        return zone_of(valid_zone(name))
    except BadZone:
        message = f"should be an IANA name such as Europe/Berlin; there is no timezone {name[:100]!r}"
        raise Invalid([{"field": "timezone", "message": message}]) from None
