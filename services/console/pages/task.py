"""`/tasks/{id}`: one task with what led to it, and what a person does about it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from services.console.api import ApiError, together
from services.console.dates import in_days, local, next_monday, rfc3339
from services.console.guard import local_path
from services.console.pages.tasks import OUTCOMES, Task, asked, whys
from services.console.render import segment
from services.console.routing import change, show
from services.console.visit import Visit, quietly

EVENTS_SHOWN, EVENTS_READ = 5, 20  # some that are read are Touchline's own, and left out
NOTHING: dict[str, Any] = {"items": []}


def until_of(choice: str, day: str, zone: ZoneInfo, now: datetime) -> str:
    """When a task comes back: `tomorrow`, `in-3-days`, `monday`, or a day of its own. Raises `ValueError`."""
    known = {
        "tomorrow": in_days(1, zone, now),
        "in-3-days": in_days(3, zone, now),
        "monday": next_monday(zone, now),
    }
    return rfc3339(known[choice] if choice in known else local(day, zone))


def given(form: Mapping[str, Any], *names: str) -> dict[str, str]:
    """The fields of a form that say something."""
    return {name: text for name in names if (text := str(form.get(name, "")).strip())}


def back_of(visit: Visit) -> str:
    """The list that somebody came from; `/` if none is known."""
    return local_path(str(visit.form.get("back", visit.query.get("back", ""))))


async def context_of(visit: Visit, task: Task) -> dict[str, Any]:
    """What led to a task: why, the account's last events, and the mails of the same play."""
    why, events, mails = await together(
        whys(visit.api, [task["play"]] if task["play"] else []),
        _events(visit, task["account"]),
        _mails(visit, task["play"]),
    )
    outside = [event for event in events["items"] if not event["type"].startswith("touchline.")]
    return {
        "task": task,
        "why": why.get(task["play"]),
        "events": outside[:EVENTS_SHOWN],
        "mails": mails["items"],
    }


async def _events(visit: Visit, account: str | None) -> Any:
    if account is None:
        return NOTHING
    return await quietly(visit.api.get("/v1/accounts/{}/events", account, limit=EVENTS_READ), NOTHING)


async def _mails(visit: Visit, play: str | None) -> Any:
    if play is None:
        return NOTHING
    return await quietly(visit.api.get("/v1/actions", play=play, channel="email", limit=20), NOTHING)


async def task(visit: Visit) -> Response:
    """The page."""
    found = await visit.api.get("/v1/tasks/{}", visit.part("id"))
    return await _shown(visit, found)


async def context(visit: Visit) -> Response:
    """What a task of the list opens to: what one can do about it, and what led to it."""
    found = await visit.api.get("/v1/tasks/{}", visit.part("id"))
    return await visit.piece("task_context.html", **await context_of(visit, found), back=back_of(visit))


async def _shown(
    visit: Visit, found: Task, refused: ApiError | None = None, wrong: Mapping[str, str] = {}
) -> Response:
    errors = {one.field: one.message for one in refused.errors} if refused else {}
    return await visit.page(
        "task.html",
        refused.status if refused else 422 if wrong else 200,
        **await context_of(visit, found),
        outcomes=OUTCOMES,
        refused_with=refused,
        errors={**errors, **wrong},
        back=back_of(visit),
    )


async def _changed(visit: Visit, verb: str, body: Mapping[str, Any], said: str) -> Response:
    """Change a task; then on to the next one, or back with what is wrong."""
    id_ = visit.part("id")
    try:
        done = await visit.api.send("POST", "/v1/tasks/{}/" + verb, id_, body=body)
    except ApiError as error:
        if error.status not in (409, 422):
            raise
        return await _shown(visit, await visit.api.get("/v1/tasks/{}", id_), error)
    return visit.go(await _next(visit, done), f"{said}: “{done['title']}”.")


async def _next(visit: Visit, done: Task) -> str:
    """Where a person goes on: the list they came from, at the next task; or the next task of the same assignee."""
    back = back_of(visit)
    if back != "/":
        after = str(visit.form.get("after", ""))
        return f"{back.partition('#')[0]}#task-{segment(after)}" if after else back
    asked_for = {**asked({}, done["assignee"]), "limit": 2}
    following = await quietly(visit.api.get("/v1/tasks", **asked_for), NOTHING)
    return next(
        (f"/tasks/{segment(one['id'])}" for one in following["items"] if one["id"] != done["id"]), "/tasks"
    )


async def complete(visit: Visit) -> Response:
    """Complete the task."""
    return await _changed(visit, "complete", given(visit.form, "note", "outcome"), "Completed")


async def snooze(visit: Visit) -> Response:
    """Put the task off."""
    choice, day = str(visit.form.get("until", "")), str(visit.form.get("day", ""))
    try:
        until = until_of(choice, day, visit.zone, visit.now)
    except ValueError:
        found = await visit.api.get("/v1/tasks/{}", visit.part("id"))
        return await _shown(visit, found, wrong={"until": "Choose a day."})
    return await _changed(visit, "snooze", {"until": until}, "Snoozed")


async def reassign(visit: Visit) -> Response:
    """Hand the task over."""
    body = {"assignee": str(visit.form.get("assignee", "")).strip()}
    return await _changed(visit, "reassign", body, f"Handed over to {body['assignee']}")


ROUTES = [
    show("/tasks/{id}", task),
    show("/tasks/{id}/context", context),
    change("/tasks/{id}/complete", complete),
    change("/tasks/{id}/snooze", snooze),
    change("/tasks/{id}/reassign", reassign),
]
