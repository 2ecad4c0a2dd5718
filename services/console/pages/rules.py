"""`/rules`: every rule as a sentence, what is wrong with it, and how often it fired lately."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from starlette.responses import Response

from services.console.api import together
from services.console.dates import rfc3339
from services.console.render import address, segment
from services.console.routing import show
from services.console.visit import Visit, quietly

LATELY = timedelta(days=30)
FILTERS = ("status", "playbook", "q", "unhealthy", "silent")  # the API's own parameters
LIMIT = 50
MOST_SILENT = 1_000
KINDS = (
    ("threshold", "Something happens often enough, or too rarely"),
    ("absence", "Something does not happen for a while"),
    ("trend", "Use falls or rises against the time before"),
    ("date", "A date comes near, or has passed"),
    ("becomes", "An account or contact becomes something"),
    ("all_of", "Several of these come together"),
)

# what the API leaves out of a rule where there is nothing to say
LEFT_OUT: Mapping[str, Any] = {
    "description": "",
    "unhealthy": "",
    "plays": None,
    "playbook": None,
    "scope": "account",
    "by": None,
    "alive": None,
    "sentence": None,
}


class Line(NamedTuple):
    """A rule of the list. `fired`: triggers lately, None where that is not known; `link`: to them."""

    rule: Mapping[str, Any]
    silent: bool
    fired: int | None
    link: str


async def rules(visit: Visit) -> Response:
    """The list."""
    asked = {name: visit.query.get(name) for name in FILTERS}
    after = since(visit.now)
    found, silent, stats = await together(
        visit.api.get("/v1/rules", **asked, limit=LIMIT, cursor=visit.query.get("cursor")),
        _silent(visit),
        quietly(visit.api.get("/v1/stats/triggers", by="rule", after=after)),
    )
    return await visit.page(
        "rules.html",
        lines=lines_of(found["items"], silent["items"], stats, after),
        next_cursor=found["next_cursor"],
        filtered=any(asked.values()),
        kinds=KINDS,
    )


async def _silent(visit: Visit) -> Any:
    """The rules whose source is silent, asked for only where the frame of the page knows of some."""
    nothing: dict[str, Any] = {"items": []}
    if all(item["kind"] != "silent" for item in (await visit.frame()).attention):
        return nothing
    return await quietly(visit.api.get("/v1/rules", silent=True, limit=MOST_SILENT), nothing)


def since(now: datetime) -> str:
    """Where what is called lately begins: the tick of its first midnight counts, and the API's `after` is exclusive."""
    first = (now - LATELY).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return rfc3339(first - timedelta(microseconds=1))


def lines_of(
    rules: Sequence[Mapping[str, Any]],
    silent: Sequence[Mapping[str, Any]],
    stats: Mapping[str, Any] | None,
    after: str,
) -> list[Line]:
    """What the list shows. `stats`: as the API answers it, by rule; None: it does not."""
    quiet = {rule["name"] for rule in silent}
    counts: dict[str, int] = {}
    for item in stats["items"] if stats is not None else ():
        counts[item["rule"]] = counts.get(item["rule"], 0) + item["n"]
    fired = address("/triggers", after=after)
    return [
        Line(
            {**LEFT_OUT, **rule},
            rule["name"] in quiet,
            None if stats is None else counts.get(rule["name"], 0),
            f"{fired}&rule={segment(rule['name'])}",
        )
        for rule in rules
    ]


ROUTES = [show("/rules", rules)]
