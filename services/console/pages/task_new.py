"""`/tasks/new`: a task made by hand."""

from typing import Any

from starlette.responses import Response

from services.console.api import ApiError, new_once
from services.console.dates import local, rfc3339
from services.console.pages.task import given
from services.console.render import segment
from services.console.routing import change, show
from services.console.visit import Visit

FIELDS = ("title", "body", "account", "contact", "assignee", "priority")
ENDS = 18  # o'clock: when a task is due that names a day alone


async def new(visit: Visit) -> Response:
    """The form."""
    typed = {
        "assignee": visit.me.email or "",
        **{name: visit.query[name] for name in FIELDS if name in visit.query},
    }
    return await _form(visit, typed, new_once())


async def _form(visit: Visit, typed: dict[str, Any], once: str, status: int = 200, **more: Any) -> Response:
    view: dict[str, Any] = {"title": None, "problems": (), "errors": {}, **more}
    return await visit.page("task_new.html", status, typed=typed, once=once, **view)


async def make(visit: Visit) -> Response:
    """Make it."""
    typed = {name: str(value) for name, value in visit.form.items()}
    once = str(visit.form.get("once", "")) or new_once()
    body: dict[str, Any] = given(visit.form, *FIELDS)
    due = str(visit.form.get("due", "")).strip()
    if due:
        try:
            body["due_at"] = rfc3339(local(due, visit.zone, ENDS))
        except (ValueError, OverflowError):
            return await _form(visit, typed, once, 422, errors={"due": "This is no date."})
    try:
        made = await visit.api.send("POST", "/v1/tasks", body=body, once=once)
    except ApiError as error:
        if error.status not in (409, 422):
            raise
        errors = {{"due_at": "due"}.get(one.field, one.field): one.message for one in error.errors}
        return await _form(
            visit, typed, new_once(), error.status, title=error.title, problems=error.errors, errors=errors
        )
    doubts = "".join(f" {one['field'].capitalize()}: {one['message']}." for one in made.get("warnings") or ())
    return visit.go(f"/tasks/{segment(made['id'])}", f"Made “{made['title']}”.{doubts}")


ROUTES = [show("/tasks/new", new, "actions:write"), change("/tasks", make)]
