"""`/deliveries`: what went out, what did not and why; approve, reject and send again."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from services.console.api import ApiError, together
from services.console.lists import chosen, is_narrowed, listed
from services.console.mail_frame import mail_frame
from services.console.render import address, plural
from services.console.routing import change, show
from services.console.visit import Visit

FILTERS = (
    "status", "reason", "channel", "recipient", "account", "playbook", "rule", "tier", "owner", "play", "after",
    "before",
)  # fmt: skip
# (text, the filters that it stands for)
TABS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("All", {}),
    ("To approve", {"status": "pending", "reason": "awaiting_approval"}),
    ("Failed", {"status": "failed"}),
    ("Uncertain", {"status": "uncertain"}),
    ("Waiting", {"status": "pending"}),
    ("Trying again", {"status": "retrying"}),
    ("Done", {"status": "done"}),
    ("Skipped", {"status": "skipped"}),
)
CHANNELS = (("", "All"), ("email", "Mails"), ("webhook", "Webhooks"), ("task", "Tasks"))
RETRIED = frozenset({"failed", "uncertain", "skipped"})
NEVER_AGAIN = frozenset({"play_exited", "not_approved"})
# a mail of which nothing was rendered, or for nobody: the API refuses to send it again
NOTHING_TO_SEND = frozenset({
    "template_error", "template_limits", "template_unknown", "no_recipient", "no_owner", "no_address",
    "contact_unknown",
})  # fmt: skip


def tabs_of(query: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """The tabs as links that keep the other filters: (text, address, whether it is the present one)."""
    now = {name: query[name] for name in ("status", "reason") if query.get(name)}
    rest = {name: value for name, value in query.items() if name not in {"status", "reason", "cursor"}}
    return [(text, address("/deliveries", rest, **means), means == now) for text, means in TABS]


def may_retry(action: Mapping[str, Any]) -> bool:
    """Whether a person may send it again."""
    if action["channel"] == "email" and action["reason"] in NOTHING_TO_SEND:
        return False
    return action["status"] in RETRIED and action["reason"] not in NEVER_AGAIN and action["channel"] != "task"


def awaits(action: Mapping[str, Any]) -> bool:
    """Whether somebody has to approve it."""
    return (action["status"], action["reason"]) == ("pending", "awaiting_approval")


async def deliveries(visit: Visit) -> Response:
    """The list."""
    found = await listed(visit, "/v1/actions", FILTERS)
    return await visit.page(
        "deliveries.html",
        actions=found["items"],
        next_cursor=found["next_cursor"],
        tabs=tabs_of(visit.query),
        channels=CHANNELS,
        narrowed=is_narrowed(visit, FILTERS),
        to_approve=sum(awaits(action) for action in found["items"]),
        to_retry=sum(may_retry(action) for action in found["items"]),
        awaits=awaits,
        may_retry=may_retry,
    )


async def delivery(visit: Visit) -> Response:
    """One of them: what was rendered, and every attempt."""
    return await _shown(visit)


async def _shown(visit: Visit, refused: ApiError | None = None) -> Response:
    action = await visit.api.get("/v1/actions/{}", visit.part("id"))
    return await visit.page(
        "delivery.html",
        refused.status if refused else 200,
        action=action,
        typed=visit.form,
        refused=refused,
        errors={problem.field: problem.message for problem in refused.errors} if refused else {},
        awaits=awaits(action),
        may_retry=may_retry(action),
    )


async def mail(visit: Visit) -> Response:
    """The mail itself, for the frame."""
    action = await visit.api.get("/v1/actions/{}", visit.part("id"))
    return mail_frame((action["rendered"] or {}).get("html"))


async def approve(visit: Visit) -> Response:
    """Let a mail go out, as it is or with other words."""
    edits = {
        name: value for name in ("subject", "markdown") if (value := str(visit.form.get(name, "")).strip())
    }
    try:
        await visit.api.send("POST", "/v1/actions/{}/approve", visit.part("id"), body=edits)
    except ApiError as error:
        return await _refused(visit, error)
    return await _on(visit, "Approved: the mail goes out.")


async def reject(visit: Visit) -> Response:
    """Keep a mail from going out."""
    reason = str(visit.form.get("reason", "")).strip()
    try:
        await visit.api.send(
            "POST", "/v1/actions/{}/reject", visit.part("id"), body={"reason": reason} if reason else {}
        )
    except ApiError as error:
        return await _refused(visit, error)
    return await _on(visit, "Rejected: the mail does not go out.")


async def retry(visit: Visit) -> Response:
    """Send one again."""
    try:
        await visit.api.send("POST", "/v1/actions/{}/retry", visit.part("id"))
    except ApiError as error:
        return await _refused(visit, error)
    return visit.go(f"/deliveries/{visit.part('id')}", "It is sent again, under the same id.")


async def _refused(visit: Visit, error: ApiError) -> Response:
    if error.status not in {409, 422}:
        raise error
    return await _shown(visit, error)


async def _on(visit: Visit, said: str) -> Response:
    """To the next mail that waits, as one goes through a pile; else back to the list."""
    waiting = await visit.api.get("/v1/actions", status="pending", reason="awaiting_approval", limit=1)
    if waiting["items"]:
        return visit.go(f"/deliveries/{waiting['items'][0]['id']}", f"{said} Here is the next one.")
    return visit.go("/deliveries", f"{said} No other waits.")


async def approve_chosen(visit: Visit) -> Response:
    """Let the chosen mails go out: those that were shown, and no others."""
    ids = chosen(visit)
    if not ids:
        return visit.go(_list(visit), "No mail was chosen.")
    done = await visit.api.send("POST", "/v1/actions/approve", body={"ids": ids})
    left = len(done["left_out"])
    said = f"{plural(len(done['approved']), 'mail')} approved."
    return visit.go(_list(visit), said + (f" {left:,} left out: no longer waiting." if left else ""))


async def retry_chosen(visit: Visit) -> Response:
    """Send the chosen ones again."""
    ids = chosen(visit)
    if not ids:
        return visit.go(_list(visit), "No delivery was chosen.")
    refused = [why for why in await together(*(_again(visit, one) for one in ids)) if why]
    said = f"{plural(len(ids) - len(refused), 'delivery', 'deliveries')} sent again."
    return visit.go(_list(visit), said + (f" {len(refused):,} left out: {refused[0]}" if refused else ""))


async def _again(visit: Visit, action: str) -> str | None:
    try:
        await visit.api.send("POST", "/v1/actions/{}/retry", action)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise
        return error.detail
    return None


def _list(visit: Visit) -> str:
    """The list as it was narrowed when the form was shown."""
    asked: Sequence[tuple[str, str]] = [(name, str(visit.form.get(name, ""))) for name in FILTERS]
    return address("/deliveries", dict(asked))


ROUTES = [
    show("/deliveries", deliveries),
    change("/deliveries/approve", approve_chosen),
    change("/deliveries/retry", retry_chosen),
    show("/deliveries/{id}", delivery),
    show("/deliveries/{id}/mail", mail),
    change("/deliveries/{id}/approve", approve),
    change("/deliveries/{id}/reject", reject),
    change("/deliveries/{id}/retry", retry),
]
