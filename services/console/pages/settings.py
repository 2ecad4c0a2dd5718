"""`/settings`: its rooms, and those of them that are lists: keys, suppressions, unmatched events, audit, status."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from schemas.key import SCOPES
from services.console.api import ApiError, new_once
from services.console.dates import in_zone, rfc3339
from services.console.document_kinds import KINDS
from services.console.lists import is_narrowed, listed
from services.console.pages.deleted import page_of
from services.console.render import address, plural, segment
from services.console.routing import change, show
from services.console.visit import Visit


class Room(NamedTuple):
    """A page of the settings: `scope` is what its key needs."""

    title: str
    path: str
    lead: str
    scope: str


def _of(noun: str) -> Room:
    kind = KINDS[noun]
    return Room(kind.title, kind.home, kind.lead, kind.read)


ROOMS: Sequence[tuple[str, Sequence[Room]]] = (
    ("Customers", [
        _of("tiers"), _of("policy"), _of("brand"), _of("topic"),
        Room("Suppressions", "/settings/suppressions", "Who gets no mail, of which topic, and why.", "actions:read"),
    ]),
    ("Other systems", [
        _of("source"), _of("endpoint"), _of("aliases"),
        Room("Unmatched events", "/settings/unmatched", "Events whose account nobody knows.", "rules:read"),
    ]),
    ("Your team", [
        _of("task-mails"),
        Room("Keys", "/settings/keys", "Who may do what.", "admin"),
        Room("Audit", "/settings/audit", "Who changed what, and when.", "admin"),
        Room("Status", "/settings/status", "How far each service has come.", ""),
    ]),
)  # fmt: skip
AUDIT_FILTERS = ("actor", "object", "after")
SUPPRESSION_FILTERS = ("address", "topic")
TASK_MAIL_FILTERS = ("assignee", "status", "kind", "task", "after", "before")


async def settings(visit: Visit) -> Response:
    """The rooms that this key may enter."""
    rooms = [
        (title, [room for room in rooms if not room.scope or visit.may(room.scope)]) for title, rooms in ROOMS
    ]
    return await visit.page("settings.html", sections=[(title, found) for title, found in rooms if found])


async def keys(visit: Visit) -> Response:
    """The keys that work, and a form for another."""
    return await _keys(visit)


async def _keys(
    visit: Visit, made: Mapping[str, Any] | None = None, refused: ApiError | None = None
) -> Response:
    found = await listed(visit, "/v1/keys", ("name", "revoked"))
    return await visit.page(
        "keys.html",
        refused.status if refused else 200,
        keys=found["items"],
        next_cursor=found["next_cursor"],
        scopes=SCOPES,
        made=made,
        refused=refused,
        errors={each.field: each.message for each in refused.errors} if refused else {},
        typed=visit.form,
        ticked=[str(each) for each in visit.form.getlist("scopes")],
        once=new_once(),
    )


async def create_key(visit: Visit) -> Response:
    """Create a key. It stands on the answer itself, not on a page to which one could come back."""
    body = {
        "name": str(visit.form.get("name", "")).strip(),
        "scopes": [str(s) for s in visit.form.getlist("scopes")],
    }
    if email := str(visit.form.get("email", "")).strip():
        body["email"] = email
    try:
        made = await visit.api.send("POST", "/v1/keys", body=body, once=visit.once)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return await _keys(visit, refused=error)
    return await _keys(visit, made=made)


async def revoke_key(visit: Visit) -> Response:
    """Revoke a key."""
    try:
        await visit.api.send("DELETE", "/v1/keys/{}", visit.part("id"))
    except ApiError as error:
        if error.status != 409:
            raise
        return await _keys(visit, refused=error)
    return visit.go("/settings/keys", "The key was revoked. It is refused everywhere from now on.")


async def suppressions(visit: Visit) -> Response:
    """Who gets no mail."""
    return await _suppressions(visit)


async def _suppressions(visit: Visit, refused: ApiError | None = None) -> Response:
    found = await listed(visit, "/v1/suppressions", SUPPRESSION_FILTERS)
    return await visit.page(
        "suppressions.html",
        refused.status if refused else 200,
        suppressions=found["items"],
        next_cursor=found["next_cursor"],
        narrowed=is_narrowed(visit, SUPPRESSION_FILTERS),
        refused=refused,
        errors={each.field: each.message for each in refused.errors} if refused else {},
        typed=visit.form,
    )


async def suppress(visit: Visit) -> Response:
    """Let an address get no more mail."""
    given = {name: str(visit.form.get(name, "")).strip() for name in ("address", "topic", "reason")}
    body = {name: value for name, value in given.items() if value}
    try:
        await visit.api.send("POST", "/v1/suppressions", body=body, once=visit.once)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return await _suppressions(visit, error)
    return visit.go("/settings/suppressions", f"{given['address']} gets no more mail.")


async def lift(visit: Visit) -> Response:
    """Let an address get mail again."""
    who, topic = str(visit.form.get("address", "")), str(visit.form.get("topic", ""))
    await visit.api.send("DELETE", "/v1/suppressions/{}", who, query={"topic": topic})
    return visit.go("/settings/suppressions", f"{who} may get mail again.")


async def unmatched(visit: Visit) -> Response:
    """Events whose account nobody knows."""
    found = await listed(visit, "/v1/unmatched", ("source", "after"))
    return await visit.page("unmatched.html", events=found["items"], next_cursor=found["next_cursor"])


async def assign(visit: Visit) -> Response:
    """Say whose an event is."""
    account = str(visit.form.get("account", "")).strip()
    body = {"account": account, "learn": visit.form.get("learn") == "yes"}
    try:
        await visit.api.send("POST", "/v1/unmatched/{}/assign", visit.part("id"), body=body)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return visit.go("/settings/unmatched", f"The event was not assigned: {error.detail}")
    return visit.go("/settings/unmatched", f"The event counts for {account} now.")


async def forget(visit: Visit) -> Response:
    """Delete an event that is nobody's."""
    await visit.api.send("DELETE", "/v1/unmatched/{}", visit.part("id"))
    return visit.go("/settings/unmatched", "The event was deleted.")


async def task_mails(visit: Visit) -> Response:
    """What became of the mails to assignees."""
    found = await listed(visit, "/v1/task-mails/deliveries", TASK_MAIL_FILTERS)
    return await visit.page(
        "task_mails.html",
        mails=found["items"],
        next_cursor=found["next_cursor"],
        narrowed=is_narrowed(visit, TASK_MAIL_FILTERS),
    )


async def audit(visit: Visit) -> Response:
    """Who changed what."""
    found = await listed(visit, "/v1/audit", AUDIT_FILTERS)
    return await visit.page(
        "audit.html",
        entries=[(entry, page_of(entry["object"])) for entry in found["items"]],
        next_cursor=found["next_cursor"],
        narrowed=is_narrowed(visit, AUDIT_FILTERS),
    )


async def status(visit: Visit) -> Response:
    """How far each service has come."""
    return await visit.page("status.html", status=await visit.api.get("/v1/status"))


async def enable(visit: Visit) -> Response:
    """Let a disabled endpoint get its webhooks again."""
    name = visit.part("name")
    await visit.api.send("POST", "/v1/endpoints/{}/enable", name)
    return visit.go(f"/settings/endpoints/{segment(name)}", "It is enabled: what waited goes out now.")


async def retry_since(visit: Visit) -> Response:
    """Send the failed webhooks of an endpoint again."""
    name, local = visit.part("name"), str(visit.form.get("after", ""))
    moment = in_zone(local, visit.zone)
    back = f"/settings/endpoints/{segment(name)}"
    if moment is None:
        return visit.go(back, "Say from when on: a day and a time.")
    found = await visit.api.send("POST", "/v1/endpoints/{}/retry", name, body={"after": rfc3339(moment)})
    return visit.go(
        address("/deliveries", channel="webhook", recipient=name),
        f"{plural(found['count'], 'webhook')} sent again.",
    )


ROUTES = [
    show("/settings", settings),
    show("/settings/keys", keys),
    change("/settings/keys", create_key),
    change("/settings/keys/{id}/revoke", revoke_key),
    show("/settings/suppressions", suppressions),
    change("/settings/suppressions", suppress),
    change("/settings/suppressions/lift", lift),
    show("/settings/unmatched", unmatched),
    change("/settings/unmatched/{id}/assign", assign),
    change("/settings/unmatched/{id}/delete", forget),
    show("/settings/task-mails/deliveries", task_mails),
    show("/settings/audit", audit),
    show("/settings/status", status),
    change("/settings/endpoints/{name}/enable", enable),
    change("/settings/endpoints/{name}/retry", retry_since),
]
