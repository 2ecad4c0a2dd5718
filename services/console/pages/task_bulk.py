"""`/tasks/selected`: one change to many tasks, those that were shown and ticked."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from services.console.api import ApiError
from services.console.pages.task import back_of, given, until_of
from services.console.pages.tasks import LIMIT, OUTCOMES, Task, asked
from services.console.render import plural
from services.console.routing import change
from services.console.visit import Visit

# the verbs of the API, and what is said once it was done
DOINGS = {"complete": "Completed", "snooze": "Snoozed", "reassign": "Handed over"}


def query_of(back: str) -> dict[str, str]:
    """The query of the list that somebody came from."""
    return dict(parse_qsl(back.partition("?")[2].partition("#")[0]))


def summed_up(done: str, ids: Sequence[str], refused: Sequence[str]) -> str:
    """What came of it, in words. `refused`: why some were left out."""
    if not refused:
        return f"{done} {plural(len(ids), 'task')}."
    why = "; ".join(sorted(set(refused)))
    return f"{done} {len(ids) - len(refused)} of {plural(len(ids), 'task')}. Left out: {why}."


async def selected(visit: Visit) -> Response:
    """Ask once more, naming the number."""
    return await _asks(visit, str(visit.form.get("do", "")))


async def _asks(visit: Visit, doing: str, status: int = 200, errors: Mapping[str, str] = {}) -> Response:
    back = back_of(visit)
    ids = [str(each) for each in visit.form.getlist("task")][:LIMIT]
    if not ids or doing not in DOINGS:
        return visit.go(back, "Tick at least one task first.")
    query = query_of(back)
    found = await visit.api.get(
        "/v1/tasks", **asked(query, visit.me.email), limit=LIMIT, cursor=query.get("cursor")
    )
    items: list[Task] = [task for task in found["items"] if task["id"] in ids]
    if not items:
        return visit.go(back, "These tasks are no longer in the list.")
    return await visit.page(
        "tasks_selected.html",
        status,
        items=items,
        gone=len(ids) - len(items),
        doing=doing,
        back=back,
        outcomes=OUTCOMES,
        errors=errors,
    )


async def run(visit: Visit, doing: str) -> Response:
    """Change those that were named."""
    ids = [str(each) for each in visit.form.getlist("task")][:LIMIT]
    try:
        body = _body(visit, doing)
    except ValueError:
        return await _asks(visit, doing, 422, {"until": "Choose a day."})
    refused: list[str] = []
    for n, id_ in enumerate(ids):
        try:
            await visit.api.send("POST", "/v1/tasks/{}/" + doing, id_, body=body)
        except ApiError as error:
            if error.status not in (404, 409, 422):
                raise
            if error.status == 422 and n == 0:
                return await _asks(visit, doing, 422, {one.field: one.message for one in error.errors})
            refused.append(error.detail)
    return visit.go(back_of(visit), summed_up(DOINGS[doing], ids, refused))


def _body(visit: Visit, doing: str) -> dict[str, Any]:
    if doing == "complete":
        return given(visit.form, "note", "outcome")
    if doing == "reassign":
        return {"assignee": str(visit.form.get("assignee", "")).strip()}
    choice, day = str(visit.form.get("until", "")), str(visit.form.get("day", ""))
    return {"until": until_of(choice, day, visit.zone, visit.now)}


ROUTES = [
    change("/tasks/selected", selected),
    *(change(f"/tasks/selected/{doing}", partial(run, doing=doing)) for doing in DOINGS),
]
