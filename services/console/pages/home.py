"""`/`: what needs a person now; the switch that stops all sending."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from services.console.frame import page_of
from services.console.render import plural
from services.console.routing import change, show
from services.console.visit import Visit


class Line(NamedTuple):
    """One thing that needs a person: what, since when, and where to see it."""

    text: str
    oldest: str | None
    path: str


_WORDS = {
    "awaiting_approval": ("{} to approve", "mail"),
    "failed": ("{} failed in the last 7 days", "delivery", "deliveries"),
    "uncertain": ("{} may or may not have arrived", "delivery", "deliveries"),
    "held": ("{} held", "play"),
    "unhealthy": ("{} cannot run", "rule or playbook", "rules and playbooks"),
    "disabled": ("{} disabled", "endpoint"),
    "silent": ("{} waiting for a silent source", "rule"),
    "unmatched": ("{} of unknown accounts", "event"),
    "behind": ("{} waiting to be processed", "record"),
}


def lines_of(items: Sequence[Mapping[str, Any]]) -> list[Line]:
    """What needs a person, in words; that sending is off stands above every page already."""
    lines = []
    for item in items:
        if item["kind"] == "sending_off":
            continue
        form, *noun = _WORDS.get(item["kind"], ("{}", item["kind"].replace("_", " ")))
        lines.append(Line(form.format(plural(item["count"], *noun)), item["oldest"], page_of(item["link"])))
    return lines


async def home(visit: Visit) -> Response:
    """The first page."""
    items = (await visit.api.get("/v1/attention"))["items"]
    return await visit.page("home.html", lines=lines_of(items))


async def sending(visit: Visit) -> Response:
    """Stop all sending, or start it again."""
    status = str(visit.form.get("status", ""))
    reason = str(visit.form.get("reason", "")).strip() or None
    await visit.api.send("PUT", "/v1/sending", body={"status": status, "reason": reason})
    return visit.go(
        "/",
        "Sending is on again."
        if status == "on"
        else "Sending is off. Nothing goes out until it is on again.",
    )


ROUTES = [show("/", home), change("/sending", sending)]
