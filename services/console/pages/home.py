"""`/`: what needs a person now; the switch that stops all sending."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from starlette.responses import Response

from services.console.api import together
from services.console.charts import Bars, Series, by_tier, days_from, stacked_bars
from services.console.dates import of_day
from services.console.frame import page_of
from services.console.render import address, plural
from services.console.routing import change, show
from services.console.visit import Visit, quietly

DAYS = 30
CHANNELS = (("email", "Mails", "one"), ("task", "Tasks", "two"), ("webhook", "Webhooks", "three"))


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
_TO_US = ("mail to assignees", "mails to assignees")  # in place of deliveries to customers


def lines_of(items: Sequence[Mapping[str, Any]]) -> list[Line]:
    """What needs a person, in words; that sending is off stands above every page already."""
    lines = []
    for item in items:
        if item["kind"] == "sending_off":
            continue
        form, *noun = _WORDS.get(item["kind"], ("{}", item["kind"].replace("_", " ")))
        path = page_of(item["link"])
        if path.startswith("/settings/task-mails/"):
            noun = [*_TO_US]
        lines.append(Line(form.format(plural(item["count"], *noun)), item["oldest"], path))
    return lines


async def home(visit: Visit) -> Response:
    """The first page."""
    days = days_from(
        visit.now.astimezone(visit.zone).date() - timedelta(days=DAYS - 1),
        visit.now.astimezone(visit.zone).date(),
    )
    span = {**of_day(days[0], days[-1], visit.zone), "timezone": visit.zone.key}
    rule = visit.query.get("rule")
    frame, triggers, by_rule, actions = await together(
        visit.frame(),
        quietly(visit.api.get("/v1/stats/triggers", by="day,rule,tier" if rule else "day,tier", **span)),
        quietly(visit.api.get("/v1/stats/triggers", by="rule", **span)),
        quietly(visit.api.get("/v1/stats/actions", by="day,channel,status", **span)),
    )
    return await visit.page(
        "home.html",
        lines=lines_of(frame.attention),
        triggers=None if triggers is None else fired(triggers["items"], days, visit.zone, rule),
        outcomes=None if actions is None else gone_out(actions["items"], days, visit.zone),
        by_rule=sorted(by_rule["items"], key=lambda one: -one["n"]) if by_rule else [],
        is_new=by_rule is not None and not by_rule["items"],
        unseen=[scope for scope in ("rules:read", "actions:read") if not visit.may(scope)],
        rule=rule,
        span={name: span[name] for name in ("after", "before")},
    )


def fired(items: Sequence[Mapping[str, Any]], days: Sequence[str], zone: ZoneInfo, rule: str | None) -> Bars:
    """Triggers by day and tier, of one rule or of all."""
    found = [one for one in items if rule is None or one["rule"] == rule]

    def link(first: str, last: str) -> str:
        return address("/triggers", of_day(first, last, zone), rule=rule)

    return stacked_bars(days, by_tier(found, days), "trigger", link=link)


def gone_out(items: Sequence[Mapping[str, Any]], days: Sequence[str], zone: ZoneInfo) -> Bars:
    """Mails, webhooks and tasks by day, of those that were done."""
    at = {day: n for n, day in enumerate(days)}
    series = {channel: [0] * len(days) for channel, _, _ in CHANNELS}
    for one in items:
        if one["status"] == "done" and one["day"] in at and one["channel"] in series:
            series[one["channel"]][at[one["day"]]] += one["n"]
    shown = [Series(name, kind, series[channel]) for channel, name, kind in CHANNELS]

    def link(first: str, last: str) -> str:
        return address("/deliveries", of_day(first, last, zone), status="done")

    return stacked_bars(days, shown, "delivery", "deliveries", link=link)


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
