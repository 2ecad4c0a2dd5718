"""`/rules/{name}`: what a rule says, how often it fired, who matches it now; start, stop and delete it."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from services.console.api import ApiError, new_once, together
from services.console.charts import Bars, by_tier, days_from, stacked_bars
from services.console.pages.rules import LATELY, LEFT_OUT, MOST_SILENT, since
from services.console.render import address, plural, segment
from services.console.routing import change, show
from services.console.visit import Visit, quietly

LIMIT = 50
NEAR = 0.8
VERBS = {"activate": "active", "shadow": "shadow", "pause": "paused"}
PLAYS = ("go_on", "hold", "exit")
UNSAVED = "-"  # in an address, for a rule that has not been saved


class Turned(NamedTuple):
    """Who gave a rule its status, and when."""

    by: str
    at: str


def path_of(name: str, *more: str) -> str:
    """The address of a rule's page."""
    return "/".join(("/rules", *map(segment, (name, *more))))


async def framed(
    visit: Visit, tab: str, template: str, call: Awaitable[Any] | None = None, status: int = 200, **view: Any
) -> Response:
    """A page of one rule: its sentence and status above, `tab` below.

    `call`: what the tab asks of the API besides, as a mapping that its template shows; `view` is shown too.
    """
    name = visit.part("name")
    (rule, tag), silent, audit, more = await together(
        visit.api.tagged("/v1/rules/{}", name),
        quietly(visit.api.get("/v1/rules", silent=True, limit=MOST_SILENT), {"items": []}),
        quietly(visit.api.get("/v1/audit", object=f"rule/{name}", limit=LIMIT), {"items": []}),
        call or nothing(),
    )
    everything = {
        "rule": {**LEFT_OUT, **rule},
        "etag": tag,
        "tab": tab,
        "silent": any(one["name"] == name for one in silent["items"]),
        "turned": turned_by(audit["items"], rule["status"]),
        **more,
        **view,
    }
    return await visit.page(template, status, **everything)


async def nothing() -> dict[str, Any]:
    """No further call."""
    return {}


def turned_by(entries: Sequence[Mapping[str, Any]], status: str) -> Turned | None:
    """Who gave the rule the status that it has. `entries`: of the audit, newest first."""
    for entry in entries:
        before, after = entry.get("before") or {}, entry.get("after") or {}
        if after.get("status") == status != before.get("status"):
            return Turned(entry["actor"], entry["at"])
    return None


async def overview(visit: Visit) -> Response:
    """How often it fired."""
    return await framed(visit, "Overview", "rule.html", _fired(visit))


async def _fired(visit: Visit) -> dict[str, Any]:
    stats = await quietly(visit.api.get("/v1/stats/triggers", by="day,rule,tier", after=since(visit.now)))
    return {"chart": fired(visit.part("name"), stats, visit.now.date())}


def fired(name: str, stats: Mapping[str, Any] | None, today: date) -> Bars | None:
    """A rule's triggers of the last 30 days; None where the API does not count them."""
    if stats is None:
        return None
    days = days_from(today - LATELY, today)
    mine = [item for item in stats["items"] if item.get("rule", name) == name]
    return stacked_bars(
        days, by_tier(mine, days), "trigger", link=lambda first, last: triggers_of(name, first, last)
    )


def triggers_of(name: str, first: str, last: str) -> str:
    """The list of a rule's triggers from the first to the last of these days (UTC).

    `after` is exclusive, and the daily tick fires at midnight sharp.
    """
    begin, end = date.fromisoformat(first) - timedelta(days=1), date.fromisoformat(last) + timedelta(days=1)
    return address("/triggers", rule=name, after=f"{begin}T23:59:59.999999Z", before=f"{end}T00:00:00Z")


# -- who matches now


async def matches(visit: Visit) -> Response:
    """Who matches now, and who is near."""
    return await framed(visit, "Who matches", "rule_matches.html", _matches(visit))


async def _matches(visit: Visit) -> dict[str, Any]:
    """`found` None: it is a draft, which has counted nothing."""
    cursor = visit.query.get("cursor")
    try:
        found = await visit.api.get(
            "/v1/rules/{}/matches", visit.part("name"), near=NEAR, limit=LIMIT, cursor=cursor
        )
    except ApiError as error:
        if error.status != 409:
            raise
        return {"found": None}
    return {**parted(found["items"]), "found": found}


def parted(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those that match, those that are near, and the subjects that a start would name."""
    known = [
        {"last_trigger": None, "cooldown_until": None, **item} for item in items
    ]  # a backtest knows neither
    matching = [item for item in known if item["share"] >= 1]
    near = [item for item in known if item["share"] < 1]
    return {"matching": matching, "near": near, "subjects": [encoded(subject_of(one)) for one in matching]}


def subject_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Whom a match is about, as a start takes it."""
    return {name: item[name] for name in ("account", "contact", "key") if item[name] is not None}


def encoded(subject: Mapping[str, str]) -> str:
    """A subject as a form carries it."""
    return msgspec.json.encode(subject).decode()


async def start(visit: Visit) -> Response:
    """Start the rule for the subjects that the form names: first what would come of it, then in earnest."""
    name, sure = visit.part("name"), visit.form.get("sure") == "yes"
    subjects = subjects_of(visit.form.getlist("subject"))
    if not subjects:
        return visit.go(path_of(name, "matches"), "Nobody was chosen. Nothing was started.")
    body = {"subjects": subjects, "dry_run": not sure}
    once = str(visit.form.get("once", "")) if sure else None
    try:
        done = await visit.api.send("POST", "/v1/rules/{}/start", name, body=body, once=once)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return await framed(visit, "Who matches", "rule_start.html", status=error.status, error=error)
    if sure:
        return visit.go(address("/triggers", rule=name), started(done))
    left = [subject_of(one) for one in done["left_out"]]
    kept = [encoded(one) for one in subjects if one not in left]
    return await framed(
        visit, "Who matches", "rule_start.html", error=None, done=done, subjects=kept, once=new_once()
    )


def subjects_of(given: Sequence[Any]) -> list[dict[str, str]]:
    """The subjects that a form names; none where one of them is none of ours."""
    try:
        return [msgspec.json.decode(str(one), type=dict[str, str]) for one in given]
    except msgspec.DecodeError:
        return []


def started(done: Mapping[str, Any]) -> str:
    """What a start did, in words."""
    said = f"Started for {plural(len(done['triggers']), 'subject')}."
    left = done["left_out"]
    return said if not left else f"{said} Left out: {len(left):,}, the first because: {left[0]['sentence']}"


# -- start, stop, delete


async def activation(visit: Visit) -> Response:
    """Who matches now, before the rule is put into force. `as=shadow`: to record only."""
    verb = "shadow" if visit.query.get("as") == "shadow" else "activate"
    return await framed(visit, "Overview", "rule_activate.html", _before(visit), verb=verb)


async def _before(visit: Visit) -> dict[str, Any]:
    """Who matches now; for a draft, at the end of its newest backtest, if there is one of this version."""
    name = visit.part("name")
    found = await _matches(visit)
    if found["found"] is not None:
        return {**found, "backtest": None}
    rule, backtests = await together(
        visit.api.get("/v1/rules/{}", name),
        quietly(visit.api.get("/v1/backtests", limit=LIMIT), {"items": []}),
    )
    backtest = newest_of(backtests["items"], name, rule["version"])
    if backtest is None:
        return {"found": None, "backtest": None}
    path = "/v1/backtests/{}/matches"
    found = await visit.api.get(path, backtest["id"], near=NEAR, limit=LIMIT)
    return {**parted(found["items"]), "found": found, "backtest": backtest}


def newest_of(backtests: Sequence[Mapping[str, Any]], name: str, version: int) -> Mapping[str, Any] | None:
    """The newest backtest of a saved version that is done."""
    fitting = (
        one
        for one in backtests
        if (one["rule"], one["rule_version"], one["status"]) == (name, version, "done")
    )
    return next(fitting, None)


async def turn(visit: Visit) -> Response:
    """Activate, shadow or pause."""
    name, verb = visit.part("name"), str(visit.form.get("verb"))
    if verb not in VERBS:
        return visit.go(path_of(name))
    plays = str(visit.form.get("plays") or PLAYS[0])
    body = {"plays": plays} if verb == "pause" else {"backfill": visit.form.get("backfill") == "yes"}
    try:
        rule = await visit.api.send("POST", f"/v1/rules/{{}}/{verb}", name, body=body, if_match=_tag(visit))
    except ApiError as error:
        return await refused(visit, error)
    return visit.go(path_of(name), turned(rule))


def turned(rule: Mapping[str, Any]) -> str:
    """What a verb did, in words."""
    said = f"{rule['name']} is {'in shadow' if rule['status'] == 'shadow' else rule['status']} now."
    if concerned := rule.get("concerned"):
        said += f" It has {plural(concerned['plays'], 'open play')}, with {plural(concerned['mails'], 'mail')} waiting."
    return " ".join([said, *(f"Warning: {one['message']}." for one in rule.get("warnings", ()))])


async def remove(visit: Visit) -> Response:
    """Delete it."""
    name = visit.part("name")
    try:
        await visit.api.send("DELETE", "/v1/rules/{}", name, if_match=_tag(visit))
    except ApiError as error:
        return await refused(visit, error)
    return visit.go(path_of(name), f"The rule {name} was deleted. Its triggers and versions are kept.")


async def refused(visit: Visit, error: ApiError) -> Response:
    """The rule's page, with why the change was not made. Raises what is no fault of the change."""
    if error.status not in {409, 412, 422}:
        raise error
    return await framed(visit, "Overview", "rule.html", _fired(visit), error.status, error=error)


def _tag(visit: Visit) -> str | None:
    return str(visit.form.get("etag") or "") or None


ROUTES = [
    show("/rules/{name}", overview),
    show("/rules/{name}/matches", matches),
    change("/rules/{name}/start", start),
    show("/rules/{name}/activate", activation, "rules:write"),
    change("/rules/{name}/turn", turn),
    change("/rules/{name}/delete", remove),
]
