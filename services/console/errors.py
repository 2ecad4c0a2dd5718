"""Pages that say what went wrong, and what to do about it."""

import re

from starlette.responses import HTMLResponse, Response

from services.console.api import ApiError
from services.console.render import as_sentence, render
from services.console.visit import Visit

_SCOPE = re.compile(r"lacks the scope ([a-z:]+)")


def plain(status: int, title: str, detail: str) -> Response:
    """A page for when nobody is signed in, or the API cannot say who is."""
    return HTMLResponse(render("plain.html", {"title": title, "detail": detail}), status)


async def missing(visit: Visit, status: int = 404) -> Response:
    """There is no such page (404), or nothing that can be done there this way (405)."""
    title = "There is no such page" if status == 404 else "This page cannot be used this way"
    return await visit.page("problem.html", status, title=title, detail="", scope=None, errors=())


async def lacking(visit: Visit, scope: str) -> Response:
    """The page is of no use without this scope."""
    return await page(visit, ApiError(403, "forbidden", "", f"the key lacks the scope {scope}"))


async def page(visit: Visit, error: ApiError) -> Response:
    """What a page says that one of its calls was refused."""
    scope = _SCOPE.search(error.detail) if error.status == 403 else None
    return await visit.page(
        "problem.html",
        error.status,
        title=title_of(error),
        detail="" if scope or error.errors else as_sentence(error.detail),
        scope=scope.group(1) if scope else None,
        errors=error.errors,
    )


def title_of(error: ApiError) -> str:
    """A heading for an error of the API."""
    if error.status == 404:
        return "There is no such thing here"
    if error.status == 403:
        return "Your key does not allow this"
    return error.title
