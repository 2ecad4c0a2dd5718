"""A mail as it looks, at an address of its own: it is shown in a frame that runs nothing and loads nothing."""

from starlette.responses import HTMLResponse, Response

from services.console.guard import protect

_NOTHING = '<!doctype html><html lang="en"><title>No mail</title><p>There is nothing to show.</p></html>'


def mail_frame(html: str | None) -> Response:
    """The page inside the frame."""
    answer = HTMLResponse(html or _NOTHING)
    protect(answer, mail=True)
    return answer
