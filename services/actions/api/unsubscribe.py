"""`/u/{token}`: where readers of our mails unsubscribe and come back. The page changes nothing; its buttons do."""

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection, Row, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.log import partition_for
from backbone.web.api_keys import open_route
from backbone.web.query_params import any_query
from services.actions.api import preference_page
from services.actions.api.plays import Times
from services.actions.plays.model import ActionDraft, OwnEvent, event_id
from services.actions.storage import outbox, preferences, suppressions
from services.actions.storage.library import brand_now
from services.actions.storage.preferences import Choice, ListedTopic, Reader
from services.actions.storage.suppressions import ALL_TOPICS, Hasher
from services.actions.tables import actions
from services.actions.unsubscribe_token import PREVIEW, Claim, Tokens, preview_link

EVENT = "touchline.email.unsubscribed"
FORM_BYTES = 4_096

_PAGE = (Path(__file__).with_name("unsubscribe_page.html")).read_text(encoding="utf-8")
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


_CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class UnsubscribeLinks:
    """Makes the links in mails."""

    def __init__(self, base_url: str, hasher: Hasher, tokens: Tokens) -> None:
        self._base, self._hasher, self._tokens = base_url, hasher, tokens

    def of(self, draft: ActionDraft) -> str:
        """The link in a draft's mail. It depends on the draft alone."""
        claim = Claim(self._hasher.digest(draft.recipient or ""), draft.id, draft.topic)
        return f"{self._base}/u/{self._tokens.make(claim)}"

    @property
    def preview(self) -> str:
        """The link in a preview, which unsubscribes nobody."""
        return preview_link(self._base)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; any other body has none.

    A one-click unsubscribe (RFC 8058) says nothing that the token does not say.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            return {}
    return {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}


_Form: Any = Depends(_form)


class _Desk:
    """Carries out what the page's buttons ask for."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        times: Times,
        hasher: Hasher,
        partitions: int,
        changed: Callable[[], None],
    ) -> None:
        self._db, self._clock, self._times = db, clock, times
        self._hasher, self._partitions, self._changed = hasher, partitions, changed

    def brand(self) -> Mapping[str, str | None]:
        """Whose mails they are."""
        with self._db.read() as connection:
            return brand_now(connection)

    def seen(self, claim: Claim) -> tuple[str | None, list[ListedTopic]]:
        """The address, for as long as the action is kept, and its topics."""
        with self._db.read() as connection:
            reader = _reader(claim, _action(connection, claim))
            return reader.address, preferences.topics_for(connection, reader)

    def unsubscribe(self, claim: Claim, topic: str) -> None:
        """Add the suppression and emit the event."""

        def act(connection: Connection) -> None:
            row = _action(connection, claim, hold=True)  # an erasure comes before, or finds the suppression
            new = preferences.stop(connection, _reader(claim, row), topic, self._clock.now())
            if new and row is not None:
                outbox.emit(connection, [self._event(connection, row, topic)], self._partitions)

        suppressions.once_quiet(self._db, self._hasher, claim.digest, self._clock, act)
        self._changed()

    def come_back(self, claim: Claim, topic: str) -> None:
        """Undo what a page did."""
        with self._db.write() as connection:
            suppressions.lock(connection, [claim.digest], shared=False)
            reader = _reader(claim, _action(connection, claim))
            preferences.come_back(connection, reader, topic, self._clock.now())

    def _event(self, connection: Connection, row: Row[Any], topic: str) -> OwnEvent:
        now = self._times.now(connection, partition_for(row.account, self._partitions))
        data = {
            "play": row.play,
            "playbook": row.playbook,
            "step": row.step,
            "action": row.id,
            "topic": topic or None,
            "depth": 0,
            "place": outbox.place_of(connection, row.play),
        }
        return OwnEvent(
            id=event_id(EVENT, row.id, topic, str(now)), type=EVENT, account=row.account, contact=row.contact,
            time=now, data=data,
        )  # fmt: skip


def _reader(claim: Claim, row: Row[Any] | None) -> Reader:
    return Reader(claim.digest, None if row is None else row.recipient, claim.topic)


def _action(connection: Connection, claim: Claim, *, hold: bool = False) -> Row[Any] | None:
    query = select(actions).where(actions.c.id == claim.action)
    return connection.execute(query.with_for_update() if hold else query).one_or_none()


def router(
    db: Database,
    clock: Clock,
    times: Times,
    hasher: Hasher,
    tokens: Tokens,
    partitions: int,
    changed: Callable[[], None],
) -> APIRouter:
    """The routes, which ask for no key. `changed` is called when records were put into the outbox."""
    routes = APIRouter(tags=["unsubscribing"], default_response_class=HTMLResponse)
    desk = _Desk(db, clock, times, hasher, partitions, changed)
    answers: dict[int | str, dict[str, Any]] = {
        404: {"description": "There is no such link.", "content": {"text/html": {}}}
    }

    @routes.get(
        "/u/{token}",
        dependencies=[open_route],
        responses=answers,
        summary="Show the preference page without changing anything",
    )
    @any_query  # mail programs and trackers add parameters of their own
    def page(token: str) -> Response:
        claim = tokens.read(token)
        if claim is None:
            return _shown(_PREVIEW_PAGE if token == PREVIEW else _UNKNOWN_PAGE, desk.brand())
        return _shown(_Page(*preference_page.asking(*desk.seen(claim))), desk.brand())

    # Link scanners send HEAD. The server leaves the answer's body out.
    routes.add_api_route(
        "/u/{token}",
        page,
        methods=["HEAD"],
        dependencies=[open_route],
        responses=answers,
        include_in_schema=False,
    )

    @routes.post(
        "/u/{token}",
        dependencies=[open_route],
        responses=answers,
        summary="Unsubscribe (RFC 8058), or come back",
    )
    @any_query
    def unsubscribe(token: str, form: dict[str, str] = _Form) -> Response:
        claim = tokens.read(token)
        if claim is None:
            return _shown(_PREVIEW_PAGE if token == PREVIEW else _UNKNOWN_PAGE, desk.brand())
        page = _Page(*preference_page.changed(*_change(desk, claim, form)))
        return _shown(page, desk.brand())

    return routes


class _Page(NamedTuple):
    """A page without the brand: its title, its body in HTML, and the status of the answer."""

    title: str
    body: str
    status: int = 200


def _change(
    desk: _Desk, claim: Claim, form: dict[str, str]
) -> tuple[str | None, list[ListedTopic], str | None, str | None]:
    """Do what a button asks for; without a known one, stop the mail's topic, as RFC 8058 asks.

    Returns the address, its topics, and the title of what was stopped or of what it came back to.
    """
    _, before = desk.seen(claim)
    titles = {one.name: one.title for one in before} | {ALL_TOPICS: ""}
    stopped = ALL_TOPICS if form.get("topics") == "all" else form.get("stop", claim.topic)
    back = ALL_TOPICS if form.get("topics") == "back" else form.get("back")
    if back is None and stopped in titles:
        desk.unsubscribe(claim, stopped)
        return *desk.seen(claim), titles[stopped], None
    if back is not None and _may_come_back(before, back):
        desk.come_back(claim, back)
        return *desk.seen(claim), None, titles[back]
    return *desk.seen(claim), None, None


def _may_come_back(topics: list[ListedTopic], back: str) -> bool:
    return any(one.choice == Choice.OFF for one in topics if back in (one.name, ALL_TOPICS))


_PREVIEW_PAGE = _Page(
    "Preview", "<h1>This was a preview</h1>\n<p>In a real mail, this link unsubscribes its recipient.</p>"
)
_UNKNOWN_PAGE = _Page(
    "Link not found",
    """<h1>This link does not work</h1>
<p>It may have been cut off on its way. Open it from the mail again, or reply to the mail and ask to be left
out.</p>""",
    404,
)


def _shown(page: _Page, brand: Mapping[str, str | None]) -> Response:
    """The page as those see it whose mails these are."""
    name, logo, address = (brand.get(one) or "" for one in ("name", "logo_url", "postal_address"))
    picture = f'<img src="{escape(logo)}" alt="{escape(name)}" height="40">' if logo else escape(name)
    head = f'<div class="brand">{picture}</div>' if name else ""
    foot = ", ".join(([] if address.startswith(name) else [name]) + address.splitlines())
    parts = {"title": page.title, "head": head, "body": page.body}
    parts["foot"] = f"<footer>{escape(foot)}</footer>" if foot else ""
    html = _PAGE
    pieces = []
    for part, value in parts.items():
        before, _, html = html.partition("{" + part + "}")
        pieces += [before, value]
    pictures = f"; img-src {'{0.scheme}://{0.netloc}'.format(urlsplit(logo))}" if logo else ""
    headers = {**_HEADERS, "Content-Security-Policy": _CSP + pictures}
    return HTMLResponse("".join((*pieces, html)), page.status, headers)
