"""One request of a signed-in person, as the handlers of pages see it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console.api import Api, ApiError, new_once
from services.console.frame import Frame
from services.console.guard import address_of, local_path
from services.console.render import render
from services.console.session import Sessions

SAID = "touchline_said"  # the cookie that tells the next page what was done
MOST_SAID = 400  # characters of it


class Me:
    """The key that is signed in: its name, its scopes, and whose it is."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.name: str = said["name"]
        self.email: str | None = said["email"]
        self.scopes = frozenset(said["scopes"])

    def may(self, scope: str) -> bool:
        """Whether the key has this scope; `admin` has all."""
        return not self.scopes.isdisjoint({scope, "admin"})


class Visit:
    """What a handler works with.

    `api` calls with the visitor's key; `query` and `form` are what was asked and sent; `zone` and `now` are the
    reader's. A handler ends with `page(…)` after a GET, and with `go(…)` after a change.
    """

    def __init__(
        self,
        request: Request,
        api: Api,
        me: Me,
        token: str,
        frame: Callable[[], "asyncio.Task[Frame]"],
        sessions: Sessions,
        zone: ZoneInfo,
        now: datetime,
    ) -> None:
        self.request, self.api, self.me, self.token = request, api, me, token
        self.query: Mapping[str, str] = dict(request.query_params)
        self.form = FormData()
        self.zone, self.now = zone, now
        self._sessions, self._frame = sessions, frame

    def may(self, scope: str) -> bool:
        """Whether the visitor's key has this scope."""
        return self.me.may(scope)

    async def frame(self) -> Frame:
        """What stands around every page."""
        return await asyncio.shield(self._frame())

    @property
    def once(self) -> str:
        """What the form carries so that it creates once, however often it is sent; see `Api.send`."""
        return str(self.form.get("once") or "") or new_once()

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    async def page(self, template: str, status: int = 200, /, **view: Any) -> Response:
        """A page: the template with `view`, inside the frame that all pages have."""
        frame = await self.frame()
        said = self._sessions.read_message(self.token, self.request.cookies.get(SAID))
        everything = {
            "visit": self,
            "me": self.me,
            "may": self.may,
            "token": self.token,
            "query": self.query,
            "path": self.request.scope["path"],
            "here": local_path(address_of(self.request.scope)),
            "frame": frame,
            "said": said,
            "zone": self.zone,
            "now": self.now,
            **view,
        }
        answer = HTMLResponse(render(template, everything), status)
        if said is not None:
            answer.delete_cookie(SAID)
        return answer

    async def piece(self, template: str, /, **view: Any) -> Response:
        """A part of a page, for a page that is there already."""
        everything = {
            "may": self.may,
            "token": self.token,
            "query": self.query,
            "zone": self.zone,
            "now": self.now,
        }
        return HTMLResponse(render(template, {**everything, **view}))

    def go(self, path: str, said: str | None = None) -> Response:
        """On to a page, after a change; `said`: what was done, in a sentence, shown there."""
        answer = RedirectResponse(path, 303)
        if said is not None:
            answer.set_cookie(
                SAID,
                self._sessions.message(self.token, said[:MOST_SAID]),
                max_age=60,
                secure=self.request.url.scheme == "https",
                httponly=True,
                samesite="lax",
            )
        return answer


async def quietly(call: Any, otherwise: Any = None) -> Any:
    """The answer of a call that a page can do without: `otherwise` if the API refuses it."""
    try:
        return await call
    except ApiError as error:
        if error.status == 401:
            raise
        return otherwise
