"""The console as an ASGI app: finds the page, knows the visitor, checks forms, and turns errors into pages.

    console = Console(transport, secret=…, public_url=…, clock=…)

`transport` reaches the API: `httpx.ASGITransport(app)` in the same process.
"""

from collections.abc import Sequence
from functools import partial
from urllib.parse import parse_qsl, quote

import httpx
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from backbone.clock import Clock
from backbone.errors import TooLarge, TouchlineError
from backbone.telemetry import get_logger
from backbone.web.bodies import MAX_BODY, read_body
from backbone.web.body_budget import BodyBudget
from services.console import errors
from services.console.api import Api, ApiError
from services.console.dates import from_microseconds, zone_named
from services.console.frame import Frames
from services.console.guard import Address, Tries, address_of, local_path, protect
from services.console.pages import ROUTES, deleted
from services.console.render import PREFIX, render, static_files
from services.console.routing import PageRoute
from services.console.session import LASTS_S, Session, Sessions
from services.console.visit import SAID, Me, Visit

log = get_logger("console")
MOST_FIELDS = 2_000  # of a form
ZONE = "touchline_zone"  # the cookie in which the page tells the reader's time zone
FOR_NOW = {429, 503}  # refusals that say when to try again
FOR_EVER = "public, max-age=31536000, immutable"


class Console:
    """The pages. `secret`: see `Sessions`; `public_url`: see `Address`; `clock`: times are shown relative to it."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        secret: bytes,
        public_url: str = "",
        clock: Clock,
        routes: Sequence[PageRoute] = ROUTES,
    ) -> None:
        self._transport = transport
        self._sessions, self._address, self._tries = Sessions(secret), Address(public_url), Tries()
        self._clock, self._routes = clock, routes
        self._forms, self._frames = BodyBudget(), Frames()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except TouchlineError as error:
            answer = errors.plain(error.status, error.title, error.message)
        except Exception as error:
            log.error("page failed", method=request.method, exc_info=error)
            answer = errors.plain(500, "Something went wrong here", "It was logged. Try again in a moment.")
        if "Content-Security-Policy" not in answer.headers:
            protect(answer)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path.startswith(f"{PREFIX}/"):
            return _static(request)
        form = await self._form(request) if request.method == "POST" else FormData()
        if request.method == "POST" and not self._address.is_own(request):
            return errors.plain(403, "This form came from another site", "Nothing was changed.")
        if path == "/login":
            return await self._login(request, form)
        session = self._sessions.read(request.cookies.get(self._cookie(request)))
        if session is None:
            return self._to_login(request)
        if request.method == "POST" and not self._sessions.fits(session, str(form.get("token", ""))):
            return errors.plain(
                403, "This form is not of your session", "Nothing was changed. Go back, reload, retry."
            )
        if path == "/logout" and request.method == "POST":
            return self._signed_out(request, "/login")
        return await self._visit(request, form, session)

    async def _visit(self, request: Request, form: FormData, session: Session) -> Response:
        api = Api(self._transport, session.key)
        try:
            me = Me(await api.get("/v1/me"))
        except ApiError as error:
            if error.status == 401:
                return self._signed_out(request, f"/login?next={quote(_back(request), safe='')}")
            if error.status != 403:
                return errors.plain(502, error.title, error.detail)
            return errors.plain(403, "This key cannot open the console", error.detail)
        zone = zone_named(request.cookies.get(ZONE))
        frame = partial(self._frames.of, session.key, api)
        if request.method == "POST":
            self._frames.forget(session.key)
        else:
            frame()  # while the page's own calls are made
        now = from_microseconds(self._clock.now())
        visit = Visit(request, api, me, self._sessions.token(session), frame, self._sessions, zone, now)
        visit.form = form
        try:
            answer = await self._page(visit)
        except ApiError as error:
            if error.status == 401:
                return self._signed_out(request, f"/login?next={quote(_back(request), safe='')}")
            answer = await deleted.page(visit, error) or await errors.page(visit, error)
        finally:
            if request.method == "POST":
                self._frames.forget(session.key)
        if answer.status_code in FOR_NOW and api.retry_after is not None:
            answer.headers["Retry-After"] = api.retry_after
        return answer

    async def _page(self, visit: Visit) -> Response:
        methods = set()
        for route in self._routes:
            match, found = route.matches(visit.request.scope)
            if match == Match.FULL:
                visit.request.scope.update(found)
                if route.needs is not None and not visit.may(route.needs):
                    return await errors.lacking(visit, route.needs)
                return await route.handler(visit)
            if match == Match.PARTIAL:
                methods |= route.methods or set()
        if methods == {"POST"}:  # the address of a change, reloaded after the session had ended
            return visit.go("/")
        return await errors.missing(visit, 405 if methods else 404)

    async def _login(self, request: Request, form: FormData) -> Response:
        following = local_path(str(form.get("next") or request.query_params.get("next") or ""))
        if request.method != "POST":
            return _login_page(following)
        client = request.client.host if request.client else ""
        if self._tries.is_over(client):
            answer = _login_page(following, "Too many attempts. Wait a second and try again.", 429)
            answer.headers["Retry-After"] = "1"
            return answer
        key = str(form.get("key", "")).strip()
        try:
            if not key or not key.isascii() or not key.isprintable():
                raise ApiError(401, "", "", "")
            await Api(self._transport, key).get("/v1/me")
        except ApiError as error:
            return _login_page(following, _why_not(error), error.status)
        _, cookie = self._sessions.begin(key)
        answer = RedirectResponse(following, 303)
        answer.set_cookie(
            self._cookie(request),
            cookie,
            max_age=LASTS_S,
            secure=self._address.is_https(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    def _cookie(self, request: Request) -> str:
        return "__Host-touchline" if self._address.is_https(request) else "touchline_session"

    def _to_login(self, request: Request) -> Response:
        following = _back(request)
        return RedirectResponse(
            "/login" if following == "/" else f"/login?next={quote(following, safe='')}", 303
        )

    def _signed_out(self, request: Request, path: str) -> Response:
        answer = RedirectResponse(path, 303)
        answer.delete_cookie(SAID)
        answer.delete_cookie(
            self._cookie(request), secure=self._address.is_https(request), httponly=True, samesite="lax"
        )
        return answer

    async def _form(self, request: Request) -> FormData:
        async with self._forms.hold() as came:
            body = await read_body(request.scope, request.receive, most=MAX_BODY, came=came)
        if body.count(b"&") >= MOST_FIELDS:
            raise TooLarge(f"a form may have {MOST_FIELDS:,} fields", code="too_many_fields")
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return FormData([(name, value.replace("\r\n", "\n")) for name, value in pairs])


def _back(request: Request) -> str:
    """The page to come back to; after a change that was not made, the first one."""
    if request.method != "GET":
        return "/"
    return local_path(address_of(request.scope))


def _why_not(error: ApiError) -> str:
    if error.status == 401:
        return "This key is unknown or was revoked."
    if error.status == 403:
        return "This key has no scope that lets it read anything."
    return f"{error.title}. Try again in a moment."


def _login_page(following: str, wrong: str | None = None, status: int = 200) -> Response:
    return HTMLResponse(render("login.html", {"next": following, "wrong": wrong}), status)


def _static(request: Request) -> Response:
    digest, _, path = request.scope["path"].removeprefix(f"{PREFIX}/").partition("/")
    found = static_files().get(path)
    if found is None or found.digest != digest:
        return errors.plain(404, "There is nothing here", "The address of a file changes with its content.")
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.content, headers=headers, media_type=found.media_type)
    return Response(
        found.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.media_type
    )
