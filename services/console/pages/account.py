"""`/accounts/{id}`: one customer: who it is, all that happened, and what each rule lacks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from starlette.responses import Response

from schemas.addresses import normal
from services.console.api import ApiError, new_once, together
from services.console.dates import day_text
from services.console.pages.account_words import Line, anchors_of, line_of
from services.console.pages.timeline import KINDS, Page, place_of, query_of, read
from services.console.render import address, segment
from services.console.routing import change, show
from services.console.visit import Visit, quietly

NOTHING: dict[str, Any] = {"items": [], "next_cursor": None}
MOST_CONTACTS = 100  # whose suppressions are looked up, and who are shown
NEAREST = 8  # rules that are shown before one asks for all


class Day(NamedTuple):
    """What happened on one day of the reader."""

    name: str
    lines: list[Line]


class Chip(NamedTuple):
    """A filter of the timeline: a link that adds or removes one kind."""

    name: str
    target: str
    is_on: bool


def path_of(account: str) -> str:
    """The page of an account."""
    return f"/accounts/{segment(account)}"


def kinds_of(query: Mapping[str, str]) -> list[str]:
    """The kinds that are shown: those of the query, else all."""
    wanted = query.get("kinds", "").split(",")
    return [kind for kind in KINDS if kind in wanted] or list(KINDS)


def chips_of(account: str, kinds: Sequence[str]) -> list[Chip]:
    """From all kinds, a chip leads to its own alone; else it adds or removes it."""
    path, everything = path_of(account), len(kinds) == len(KINDS)
    chips = [Chip("Everything", f"{path}#timeline", everything)]
    for kind in KINDS:
        is_on = kind in kinds and not everything
        then = [each for each in KINDS if (each in kinds and not everything) != (each == kind)]
        chips.append(Chip(kind.capitalize(), address(path, {"kinds": ",".join(then)}) + "#timeline", is_on))
    return chips


def days_of(page: Page, zone: ZoneInfo, now: datetime) -> list[Day]:
    """The rows of a page under the days of the reader."""
    shown = anchors_of(page.rows)
    days: list[Day] = []
    for row in page.rows:
        name = day_text(row.at.isoformat(), zone, now)
        if not days or days[-1].name != name:
            days.append(Day(name, []))
        days[-1].lines.append(line_of(row, shown))
    return days


def suppressed_of(account: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What is suppressed, by the id of the contact."""
    by_address: dict[str, list[Any]] = {}
    for one in found:
        if one["address"]:
            by_address.setdefault(normal(one["address"]), []).append(one)
    return {
        contact["id"]: by_address[normal(contact["email"])]
        for contact in account["contacts"]
        if contact["email"] and normal(contact["email"]) in by_address
    }


async def account(visit: Visit) -> Response:
    """The page."""
    id_ = visit.part("id")
    if visit.query.get("download") == "record":
        return await _record(visit, id_)
    return await _shown(visit, id_)


async def _shown(visit: Visit, id_: str, refused: ApiError | None = None) -> Response:
    kinds = kinds_of(visit.query)
    try:
        (found, known), rules, page = await together(
            _read(visit, id_),
            quietly(visit.api.get("/v1/accounts/{}/explain", id_), NOTHING),
            read(visit.api, id_, kinds, place_of(visit.query)),
        )
    except ApiError as error:
        if error.status != 404:
            raise
        return await visit.page("account_unknown.html", 404, id=id_)
    following = None
    if page.following is not None:
        older = query_of(page.following)
        following = address(path_of(id_), {"kinds": visit.query.get("kinds"), **older}) + "#timeline"
    return await visit.page(
        "account.html",
        refused.status if refused else 200,
        account=found,
        rules=rules["items"],
        nearest=NEAREST,
        most_contacts=MOST_CONTACTS,
        suppressed=suppressed_of(found, known),
        days=days_of(page, visit.zone, visit.now),
        crowded=page.crowded,
        older=following,
        is_first=place_of(visit.query) == place_of({}),
        kinds=kinds,
        chips=chips_of(id_, kinds),
        base=path_of(id_),
        once=new_once(),
        refused_with=refused,
    )


async def _read(visit: Visit, id_: str) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """The account, and what is suppressed of its contacts' addresses."""
    found = await visit.api.get("/v1/accounts/{}", id_)
    mailed = [contact["email"] for contact in found["contacts"][:MOST_CONTACTS] if contact["email"]]
    if not mailed:
        return found, ()
    known = await quietly(visit.api.get("/v1/suppressions", address=mailed, limit=1_000), NOTHING)
    return found, known["items"]


async def _record(visit: Visit, id_: str) -> Response:
    text = await visit.api.text("/v1/accounts/{}/record", id_)
    headers = {"Content-Disposition": 'attachment; filename="record.json"'}
    return Response(text, media_type="application/json", headers=headers)


async def _changed(visit: Visit, call: Any, said: str) -> Response:
    id_ = visit.part("id")
    try:
        await call
    except ApiError as error:
        if error.status not in (404, 409, 422):
            raise
        return await _shown(visit, id_, error)
    return visit.go(path_of(id_), said)


async def exit_play(visit: Visit) -> Response:
    """End an open play of this account."""
    play = str(visit.form.get("play", ""))
    return await _changed(
        visit,
        visit.api.send("POST", "/v1/plays/{}/exit", play),
        "The play has ended. Nothing more of it is sent.",
    )


async def suppress(visit: Visit) -> Response:
    """Send no more mail to an address."""
    to = str(visit.form.get("address", "")).strip()
    topic = str(visit.form.get("topic", "")).strip() or None
    body: dict[str, Any] = {"address": to, "topic": topic}
    if reason := str(visit.form.get("reason", "")).strip():
        body["reason"] = reason
    once = str(visit.form.get("once", "")) or None
    about = f" about {topic}" if topic else ""
    return await _changed(
        visit,
        visit.api.send("POST", "/v1/suppressions", body=body, once=once),
        f"{to} gets no more mail{about}.",
    )


async def lift(visit: Visit) -> Response:
    """Let mail go to an address again."""
    to, topic = str(visit.form.get("address", "")), str(visit.form.get("topic", ""))
    call = visit.api.send("DELETE", "/v1/suppressions/{}", to, query={"topic": topic})
    return await _changed(visit, call, f"Mail goes to {to} again.")


async def erase(visit: Visit) -> Response:
    """Erase the account, or one contact of it, once its id was typed."""
    id_, contact = visit.part("id"), str(visit.form.get("contact", ""))
    if str(visit.form.get("typed", "")).strip() != (contact or id_).strip():
        what = "contact" if contact else "account"
        return await _shown(
            visit,
            id_,
            ApiError(422, "not_confirmed", "", f"Nothing was erased: that is not the id of the {what}."),
        )
    event: dict[str, Any] = {"type": "account.deleted", "account": id_}
    if contact:
        event = {"type": "contact.deleted", "account": id_, "contact": contact}
    try:
        await visit.api.send("POST", "/v1/events", body=event, once=str(visit.form.get("once", "")) or None)
    except ApiError as error:
        if error.status not in (403, 422):
            raise
        return await _shown(visit, id_, error)
    if contact:
        return visit.go(path_of(id_), f"The contact {contact} is being erased.")
    return visit.go("/accounts", f"The account {id_} is being erased. It leaves the lists in a moment.")


ROUTES = [
    change("/accounts/{id:path}/exit", exit_play),
    change("/accounts/{id:path}/suppress", suppress),
    change("/accounts/{id:path}/lift", lift),
    change("/accounts/{id:path}/erase", erase),
    show("/accounts/{id:path}", account),
]
