"""`/tasks`: what a person has to do, by due date; what everybody has; and many tasks changed at once."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from starlette.responses import Response

from services.console.api import Api
from services.console.dates import moment_in, parsed
from services.console.render import address
from services.console.routing import show
from services.console.visit import Visit, quietly

Task = Mapping[str, Any]
LIMIT = 50
MOST_GROUPED = 1_000  # tasks that the page of everybody counts
FILTERS = (
    "assignee", "status", "account", "playbook", "rule", "tier", "owner", "priority", "reason", "overdue",
    "due_before", "after", "before",
)  # fmt: skip
OUTCOMES = ("reached", "not reached", "left a message", "solved", "not needed")  # proposed; any word will do
WAITING = ("open", "snoozed")


class Group(NamedTuple):
    """Tasks under one heading."""

    name: str
    tasks: list[Task]


class Load(NamedTuple):
    """The open tasks of one assignee: how many, and how many of them are overdue."""

    assignee: str | None
    open: int
    overdue: int


def asked(query: Mapping[str, str], email: str | None) -> dict[str, str]:
    """The filters of the list: those of the query, or if it has none, the visitor's own open tasks."""
    given = {name: query[name] for name in FILTERS if name in query}
    if not given:
        given = {"assignee": email or "", "status": "open"}
    by_due = given.get("status") in WAITING or "overdue" in given
    return {**given, "sort": query.get("sort") or ("due" if by_due else "created")}


def grouped(tasks: Sequence[Task], zone: ZoneInfo, now: datetime) -> list[Group]:
    """Open tasks by when they are due in the reader's zone; a group without tasks is left out."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(_due_group(task["due_at"], zone, now), []).append(task)
    order = ("Overdue", "Today", "This week", "Later", "Without a due date")
    return [Group(name, groups[name]) for name in order if name in groups]


def _due_group(due_at: str | None, zone: ZoneInfo, now: datetime) -> str:
    if due_at is None:
        return "Without a due date"
    due, today = parsed(due_at), now.astimezone(zone).date()
    if due < now:
        return "Overdue"
    day: date = moment_in(due_at, zone).date()
    if day == today:
        return "Today"
    return "This week" if day <= today + timedelta(days=6 - today.weekday()) else "Later"


def loads(tasks: Sequence[Task], now: datetime) -> list[Load]:
    """How much everybody has to do, most overdue first."""
    found: dict[str | None, list[bool]] = {}
    for task in tasks:
        late = task["due_at"] is not None and parsed(task["due_at"]) < now
        found.setdefault(task["assignee"], []).append(late)
    counted = [Load(who, len(late), sum(late)) for who, late in found.items()]
    return sorted(counted, key=lambda one: (-one.overdue, -one.open, one.assignee or ""))


async def whys(api: Api, plays: Sequence[str]) -> dict[str, str]:
    """Why there are these plays: what their triggers say."""
    if not plays:
        return {}
    nothing: dict[str, Any] = {"items": []}
    limit = len(plays)
    found = await quietly(api.get("/v1/plays", id=plays, limit=limit), nothing)
    of = {play["id"]: play["trigger"] for play in found["items"]}
    wanted = sorted(set(of.values()))
    if not wanted:
        return {}
    triggers = await quietly(api.get("/v1/triggers", id=wanted, limit=limit), nothing)
    said = {trigger["id"]: trigger["sentence"] for trigger in triggers["items"]}
    return {play: said[trigger] for play, trigger in of.items() if said.get(trigger)}


async def tasks(visit: Visit) -> Response:
    """The list."""
    filters = asked(visit.query, visit.me.email)
    found = await visit.api.get("/v1/tasks", **filters, limit=LIMIT, cursor=visit.query.get("cursor"))
    items = found["items"]
    by_due = filters.get("status") == "open" and filters["sort"] == "due"
    groups = grouped(items, visit.zone, visit.now) if by_due else [Group("", items)]
    return await visit.page(
        "tasks.html",
        groups=groups,
        following=following(items),
        next_cursor=found["next_cursor"],
        filters=filters,
        mine=not any(name in visit.query for name in FILTERS),
        narrowed=any(visit.query.get(name) for name in FILTERS if name not in ("assignee", "status")),
        plays=sorted({task["play"] for task in items if task["play"]}),
        outcomes=OUTCOMES,
        tabs=tabs_of(filters),
    )


async def reasons(visit: Visit) -> Response:
    """Why there are the tasks of the list, which is there already: to know it takes longer than to list them."""
    plays = visit.request.query_params.getlist("play")[:LIMIT]
    return await visit.piece("task_whys.html", whys=await whys(visit.api, plays))


def following(items: Sequence[Task]) -> dict[str, str]:
    """The task after each, by id, so that a page can go on with it; after the last one, the one before."""
    ids = [task["id"] for task in items]
    after = dict(pairwise(ids))
    return {**after, **({ids[-1]: ids[-2]} if len(ids) > 1 else {})}


def tabs_of(filters: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """The same list in every status."""
    kept = {name: value for name, value in filters.items() if name not in ("status", "sort", "overdue")}
    names = (("Open", "open"), ("Snoozed", "snoozed"), ("Completed", "completed"), ("Closed", "closed"))
    return [
        (name, address("/tasks", {**kept, "status": status}), filters.get("status") == status)
        for name, status in names
    ]


async def everyone(visit: Visit) -> Response:
    """Who has how much to do."""
    found = await visit.api.get("/v1/tasks", status="open", sort="due", limit=MOST_GROUPED)
    return await visit.page(
        "tasks_everyone.html",
        loads=loads(found["items"], visit.now),
        counted=len(found["items"]),
        is_all=found["next_cursor"] is None,
    )


ROUTES = [show("/tasks", tasks), show("/tasks/everyone", everyone), show("/tasks/whys", reasons)]
