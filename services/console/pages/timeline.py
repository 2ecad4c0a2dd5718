"""An account's timeline: events, triggers, plays, mails, webhooks and tasks in one list, newest first, page by page.

Triggers, plays, actions and tasks are listed by time, so one bound holds for all of them: a page shows everything at
or after its bound, and the next one everything before it. Events are listed as they arrived, and a late one stands
among newer ones: they are read by a cursor, and by the offset down to which the page has shown them. So whatever
comes while somebody reads, nothing is left out and nothing is shown twice.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from services.console.api import Api, ApiError, together
from services.console.dates import parsed, rfc3339

SIZE = 50  # rows of a page
MOST_AT_ONCE = 1_000  # rows of one list at one moment
READS = 4  # pages of events that are read for one of ours
EVER = "9999-12-31T23:59:59Z"
KINDS = ("events", "triggers", "plays", "mails", "webhooks", "tasks")
_LISTS: dict[str, tuple[str, str, dict[str, str]]] = {  # path, field with the time, filter
    "triggers": ("/v1/triggers", "at", {}),
    "plays": ("/v1/plays", "started_at", {}),
    "mails": ("/v1/actions", "due_at", {"channel": "email"}),
    "webhooks": ("/v1/actions", "due_at", {"channel": "webhook"}),
    "tasks": ("/v1/tasks", "created_at", {}),
}
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}  # of one moment, the effect stands above its cause
# Touchline's own events that tell what a row of another list tells already
_TOLD = frozenset(
    f"touchline.{what}"
    for what in ("play.started", "email.sent", "webhook.delivered", "webhook.failed", "task.created")
)
DONE = "done"


class Place(NamedTuple):
    """Where a page begins. `before`: the bound in time; `events`: the cursor of a page of events, None for the first
    one, `DONE` when there are none left; `below`: only events before this offset."""

    before: str | None = None
    events: str | None = None
    below: int | None = None


class Row(NamedTuple):
    """One thing that happened. `key`: by which it is merged; `at`, unless it came late."""

    kind: str
    at: datetime
    key: datetime
    item: Mapping[str, Any]

    @property
    def is_late(self) -> bool:
        """Whether it came after newer ones."""
        return self.key > self.at


class Page(NamedTuple):
    """`rows`: newest first; `following`: where the next page begins, None after the last one; `crowded`: of these
    kinds, more happened at one moment than is shown."""

    rows: list[Row]
    following: Place | None
    crowded: list[str]


class Listed(NamedTuple):
    """What was read of a list. `frontier`: down to this moment, itself not included, nothing is missing."""

    rows: list[Row]
    frontier: datetime | None = None
    crowded: bool = False


class Event(NamedTuple):
    """An event, and the cursor of the page of events on which it was read."""

    row: Row
    cursor: str | None


def place_of(query: Mapping[str, str]) -> Place:
    """The place in a query; the beginning, where that says nothing or something else than we wrote."""
    cursor, _, below = query.get("events", "").partition(".")
    return Place(
        query.get("before") or None,
        cursor or None,
        int(below) if below.isascii() and below.isdigit() and len(below) < 10 else None,
    )


def query_of(place: Place) -> dict[str, str | None]:
    """What a query says of a place."""
    events = None
    if place.events or place.below is not None:
        events = (place.events or "") + ("" if place.below is None else f".{place.below}")
    return {"before": place.before, "events": events}


async def read(api: Api, account: str, kinds: Sequence[str], place: Place) -> Page:
    """A page of the timeline. Raises `ApiError`; a list that the key may not see is left out."""
    timed = [kind for kind in KINDS if kind in _LISTS and kind in kinds]
    (events, more), *lists = await together(
        _events(api, account, place) if "events" in kinds else _nothing(),
        *(_listed(api, kind, account, place.before or EVER) for kind in timed),
    )
    crowded = [kind for kind, one in zip(timed, lists, strict=True) if one.crowded]
    rows, following = merged(lists, events, more, place)
    if kinds != ["events"]:
        rows = [row for row in rows if row.kind != "events" or row.item["type"] not in _TOLD]
    return Page(rows, following, crowded)


def merged(
    lists: Sequence[Listed], events: Sequence[Event], more: str | None, place: Place
) -> tuple[list[Row], Place | None]:
    """The rows of a page, and where the next one begins. `more`: the cursor of further events."""
    frontier = max((one.frontier for one in lists if one.frontier is not None), default=None)
    timed = [row for one in lists for row in one.rows if frontier is None or row.at > frontier]
    timed.sort(key=lambda row: row.at, reverse=True)
    i = j = 0
    while i + j < SIZE and (i < len(timed) or j < len(events)):
        if j >= len(events) or (i < len(timed) and timed[i].at >= events[j].row.key):
            i += 1
        else:
            j += 1
    while 0 < i < len(timed) and timed[i].at == timed[i - 1].at:  # the bound is one moment
        i += 1
    rows = timed[:i] + [event.row for event in events[:j]]
    rows.sort(key=lambda row: (row.at, _RANK[row.kind]), reverse=True)
    if i == len(timed) and frontier is None and j == len(events) and more is None:
        return rows, None
    if i == len(timed) and frontier is not None:
        before = rfc3339(frontier + timedelta(microseconds=1))
    else:
        before = rfc3339(timed[i - 1].at) if i else place.before or EVER
    return rows, _further(before, events, j, more, place)


def _further(before: str, events: Sequence[Event], shown: int, more: str | None, place: Place) -> Place:
    if shown == len(events):
        return Place(before, more or DONE)
    below = events[shown - 1].row.item["position"]["offset"] if shown else place.below
    return Place(before, events[shown].cursor, below)


async def _nothing() -> tuple[list[Event], None]:
    return [], None


async def _events(api: Api, account: str, place: Place) -> tuple[list[Event], str | None]:
    """At least a page of events that were not shown yet, as they arrived, and the cursor of further ones."""
    if place.events == DONE:
        return [], None
    found: list[tuple[Mapping[str, Any], str | None]] = []
    cursor = place.events
    for _ in range(READS):
        answer = await _allowed(api.get("/v1/accounts/{}/events", account, limit=SIZE, cursor=cursor))
        found += [
            (item, cursor)
            for item in answer["items"]
            if place.below is None or item["position"]["offset"] < place.below
        ]
        cursor = answer["next_cursor"]
        if cursor is None or len(found) >= SIZE:
            break
    return in_order(found), cursor


def in_order(found: Sequence[tuple[Mapping[str, Any], str | None]]) -> list[Event]:
    """Events with the moment at which they came, as far as it can be told: no earlier than those before them."""
    newest = datetime.min.replace(tzinfo=UTC)
    events = []
    for item, cursor in reversed(found):
        at = parsed(item["time"])
        newest = max(newest, at)
        events.append(Event(Row("events", at, newest, item), cursor))
    return events[::-1]


async def _listed(api: Api, kind: str, account: str, before: str) -> Listed:
    """The newest rows of a list before a moment: a page, or as many as the first moment has."""
    path, field, only = _LISTS[kind]
    rows: list[Row] = []
    cursor = None
    while True:
        limit = MOST_AT_ONCE if cursor else SIZE
        answer = await _allowed(
            api.get(path, account=account, before=before, limit=limit, cursor=cursor, **only)
        )
        for item in answer["items"]:
            at = parsed(item[field])
            rows.append(Row(kind, at, at, item))
        cursor = answer["next_cursor"]
        if cursor is None:
            return Listed(rows)
        if rows[0].at > rows[-1].at:
            return Listed(rows, frontier=rows[-1].at)
        if len(rows) >= MOST_AT_ONCE:
            return Listed(rows, frontier=rows[-1].at - timedelta(microseconds=1), crowded=True)


async def _allowed(call: Any) -> Any:
    try:
        return await call
    except ApiError as error:
        if error.status != 403:
            raise
        return {"items": [], "next_cursor": None}
