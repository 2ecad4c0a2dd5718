"""`/library`: the canned plays; look at one, and add it. `/start`: from nothing to the first mail, step by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from backbone.web.bodies import NotJson, parse_json
from services.console.api import ApiError, new_once, together
from services.console.errors import missing
from services.console.library import CannedPlay, library
from services.console.pages.playbooks import picture
from services.console.render import address, plural, segment
from services.console.routing import change, show
from services.console.samples import MOST, Sample, sample_of
from services.console.visit import Visit, quietly

FIRST = ("support-spike", "payment-failed", "nps-detractor")  # that events alone make happen: to begin with
TIERS = (
    ("high", "High touch: a person calls"),
    ("low", "Low touch: a bit of both"),
    ("tech", "Tech touch: automated"),
)
NOTHING: Mapping[str, Any] = {"items": []}


async def plays(visit: Visit) -> Response:
    """All of it."""
    rules = await visit.api.get("/v1/rules", limit=1_000)
    have = {rule["name"] for rule in rules["items"]}
    found = sorted(library().values(), key=lambda play: (play.name not in FIRST, play.name))
    added = {play.name for play in found if {rule.name for rule in play.of("rule")} <= have}
    return await visit.page("library.html", plays=found, added=added, first=FIRST)


async def play(visit: Visit) -> Response:
    """One of them: what it would do, before it is added."""
    return await _shown(visit)


async def _shown(visit: Visit, refused: ApiError | None = None) -> Response:
    found = library().get(visit.part("name"))
    if found is None:
        return await missing(visit)
    columns = {each.name: picture(each.body, []) for each in found.of("playbook")}
    return await visit.page(
        "library_play.html", refused.status if refused else 200, play=found, columns=columns, refused=refused
    )


async def add(visit: Visit) -> Response:
    """Make its documents. What is there already under the same name is left as it is; rules are drafts at first."""
    found = library().get(visit.part("name"))
    if found is None:
        return await missing(visit)
    try:
        made, kept = await _made(visit, found)
    except ApiError as error:
        if error.status != 422:
            raise
        return await _shown(visit, error)
    said = f"{plural(made, 'document')} added; its rules are drafts."
    if kept:
        said += f" {plural(len(kept), 'other')} there already, left as they are: {', '.join(kept[:5])}."
    return visit.go(
        f"/rules/{segment(found.of('rule')[0].name)}", f"{said} Look whom it would touch, then activate it."
    )


async def _made(visit: Visit, found: CannedPlay) -> tuple[int, list[str]]:
    made, kept = 0, []
    for document in found.documents:
        try:
            await visit.api.send("POST", document.api, body=document.body, once=new_once())
        except ApiError as error:
            if error.status != 409:
                raise
            kept.append(document.name)
            continue
        made += 1
    return made, kept


async def start(visit: Visit) -> Response:
    """The way from nothing to the first mail."""
    return await _start(visit)


async def _start(visit: Visit, refused: ApiError | None = None) -> Response:
    rules, triggers, actions = await together(
        quietly(visit.api.get("/v1/rules", limit=1_000), NOTHING),
        quietly(visit.api.get("/v1/triggers", limit=1), NOTHING),
        quietly(visit.api.get("/v1/actions", limit=1), NOTHING),
    )
    active = [rule for rule in rules["items"] if rule["status"] == "active"]
    tier = str(visit.form.get("tier") or visit.query.get("tier") or "low")
    samples = samples_of(active, tier)
    chosen = str(visit.form.get("rule") or visit.query.get("rule") or next(iter(samples), ""))
    return await visit.page(
        "start.html",
        refused.status if refused else 200,
        rules=rules["items"],
        active=active,
        fired=triggers["items"],
        acted=actions["items"],
        samples=samples,
        rule_choices=[(name, name) for name in samples],
        chosen=chosen,
        sample=samples.get(chosen),
        tier=tier,
        tiers=TIERS,
        typed=visit.form,
        refused=refused,
        errors={each.field: each.message for each in refused.errors} if refused else {},
    )


def samples_of(rules: Sequence[Mapping[str, Any]], tier: str) -> dict[str, Sample]:
    """The sample events of each rule that events alone can make fire."""
    found = {rule["name"]: sample_of(rule, tier) for rule in rules}
    return {name: sample for name, sample in found.items() if sample is not None}


async def send_sample(visit: Visit) -> Response:
    """Make a sample account, and send it the events that make a rule fire."""
    form = {
        name: str(visit.form.get(name, "")).strip()
        for name in ("account", "name", "email", "tier", "event", "data")
    }
    count = str(visit.form.get("count", ""))
    try:
        data = parse_json(form["data"].encode() or b"{}")
    except NotJson as error:
        return await _start(visit, ApiError(422, "", "The data is no JSON", f"The data is no JSON: {error}"))
    many = int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 1
    account = {"name": form["name"] or form["account"], "tier": form["tier"]}
    if form["email"]:
        account["contacts"] = [
            {"id": "sample", "email": form["email"], "name": form["name"], "roles": ["admin"]}
        ]  # type: ignore[assignment]
    event = {"type": form["event"], "account": form["account"], "source": "console", "data": data}
    once = visit.once
    events = [{**event, "id": f"sample-{once}-{n}"} for n in range(min(max(many, 1), MOST))]
    try:
        await visit.api.send("PUT", "/v1/accounts/{}", form["account"] or " ", body=account)
        await visit.api.send("POST", "/v1/events", body=events)
    except ApiError as error:
        if error.status not in {400, 409, 422}:
            raise
        return await _start(visit, error)
    return visit.go(
        address(f"/accounts/{segment(form['account'])}"),
        f"{plural(len(events), form['event'] + ' event')} sent. What follows appears below; reload in a second.",
    )


ROUTES = [
    show("/library", plays),
    show("/library/{name}", play),
    change("/library/{name}/add", add),
    show("/start", start, "rules:read"),
    change("/start/sample", send_sample),
]
