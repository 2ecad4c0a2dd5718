"""`/rules/{name}/backtest`: what a rule would have done, with other values too, and how many tasks that makes."""

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from backbone.yaml.reading import YamlError, parse_yaml
from services.console import backtest_figures as figures
from services.console.api import ApiError, FieldProblem, new_once, together
from services.console.pages.rule import UNSAVED, framed, nothing, path_of
from services.console.render import address
from services.console.routing import change, show
from services.console.visit import Visit, quietly

TAB = "Backtest"
LIMIT = 50
SHOWN = 12  # triggers
REFRESH_S = "3"
MOST_REHEARSALS = 8  # shown at once
MOST_TRIGGERS, AT_ONCE = 10_000, 1_000  # of a rehearsal
WAITS = {"queued", "running"}
FIELDS = ("from", "to", "against", "vary_path", "vary_values", "tiers")
JSON = Mapping[str, Any]


async def asking(visit: Visit) -> Response:
    """The form, and the backtests of the last days."""
    return await _form(visit, {}, 200)


async def _form(
    visit: Visit, given: Mapping[str, str], status: int, problems: Sequence[FieldProblem] = (), why: str = ""
) -> Response:
    return await framed(
        visit,
        TAB,
        "backtest_new.html",
        _recent(visit),
        status,
        given=given,
        problems=problems,
        why=why,
        errors=errors_of(problems),
        suggest=figures.suggested,
        once=new_once(),
    )


async def _recent(visit: Visit) -> dict[str, Any]:
    found = await quietly(visit.api.get("/v1/backtests", limit=LIMIT), {"items": []})
    return {"recent": [one for one in found["items"] if one["rule"] == visit.part("name")]}


def errors_of(problems: Sequence[FieldProblem]) -> dict[str, str]:
    """The fields of the form that the API's errors belong to."""
    found: dict[str, str] = {}
    for one in problems:
        head = one.field.partition(".")[0]
        found.setdefault({"vary": "vary_values"}.get(head, head), one.message)
    return found


async def ask(visit: Visit) -> Response:
    """Start a backtest."""
    name = visit.part("name")
    given = {field: str(visit.form.get(field, "")).strip() for field in FIELDS}
    body, problems = request_of(name, visit.form)
    if problems:
        return await _form(visit, given, 422, problems, "This cannot be backtested yet.")
    once = str(visit.form.get("once", "")) or None
    try:
        made = await visit.api.send("POST", "/v1/backtests", body=body, once=once)
    except ApiError as error:
        if error.status not in {409, 422, 429}:
            raise
        return await _form(visit, given, error.status, error.errors, error.detail or error.title)
    return visit.go(address(path_of(name, "backtests", made["id"]), varied=given["vary_path"]))


def request_of(rule: Any, form: FormData) -> tuple[dict[str, Any], list[FieldProblem]]:
    """The body that a form asks for, and what cannot be read of it. `rule`: a name, or a document."""
    body: dict[str, Any] = {"rule": rule}
    problems = []
    for field in ("from", "to"):
        if day := str(form.get(field, "")).strip():
            body[field] = day if "T" in day else f"{day}T00:00:00Z"
    if against := str(form.get("against", "")).strip():
        body["against"] = against
    path, values = (str(form.get(name, "")).strip() for name in ("vary_path", "vary_values"))
    if path and values:
        try:
            body["vary"] = {path: figures.values_of(values)}
        except YamlError as error:
            problems.append(FieldProblem("vary_values", f"is no list of values: {error.message}"))
    elif path or values:
        lacking = "vary_values" if path else "vary_path"
        problems.append(FieldProblem(lacking, "is needed too: a path and values go together"))
    if tiers := str(form.get("tiers", "")).strip():
        try:
            found = parse_yaml(tiers, Path("tiers"))
            body["tiers"] = found[0].value if found else []
        except YamlError as error:
            problems.append(FieldProblem("tiers", f"line {error.line}: {error.message}"))
    return body, problems


async def backtest(visit: Visit) -> Response:
    """One backtest: how far it is, then what it found."""
    found = await _backtest(visit)
    results = _results(visit, found["backtest"]) if found["backtest"]["status"] == "done" else None
    answer = await _framed(visit, "backtest.html", results, **found)
    waiting = found["backtest"]["status"] in WAITS or any(
        one["status"] in WAITS for one in found["rehearsals"].values()
    )
    if waiting:
        answer.headers["Refresh"] = REFRESH_S
    return answer


async def _framed(
    visit: Visit, template: str, call: Awaitable[dict[str, Any]] | None, *, backtest: JSON, **view: Any
) -> Response:
    """A page of a backtest: a part of its rule's, or by itself where the rule has not been saved."""
    if visit.part("name") != UNSAVED:
        return await framed(visit, TAB, template, call, backtest=backtest, **view)
    found = await (call or nothing())
    playbook = next((one["playbook"] for one in found.get("examples", ())), None)
    rule = {"name": backtest["rule"], "playbook": playbook, "when": {}}
    return await visit.page(
        template, frame_of="rule_unsaved.html", rule=rule, backtest=backtest, **found, **view
    )


async def _backtest(visit: Visit) -> dict[str, Any]:
    asked = rehearsals_of(visit.request.query_params.getlist("rehearsal"))
    job = visit.part("job")
    done, *rehearsals = await together(
        visit.api.get("/v1/backtests/{}", job),
        *(quietly(visit.api.get("/v1/rehearsals/{}", one)) for one in asked.values()),
    )
    found = dict(zip(asked, rehearsals, strict=True))
    return {
        "backtest": {"variants": [], "against": None, "error": None, "log_from": None, **done},
        "rehearsals": {
            n: {"error": None, "errors": [], **one} for n, one in found.items() if one is not None
        },
        "asked": [f"{n}:{one}" for n, one in asked.items()],
    }


def rehearsals_of(given: Sequence[str]) -> dict[int, str]:
    """The rehearsals that an address names, by the number of the value that was tried; -1: the rule as it is."""
    found = {}
    for one in given:
        number, _, job = one.partition(":")
        if number.removeprefix("-").isdecimal() and len(number) < 4 and job:
            found[int(number)] = job
    return dict(list(found.items())[-MOST_REHEARSALS:])


async def _results(visit: Visit, done: JSON) -> dict[str, Any]:
    path, job = "/v1/backtests/{}/triggers", done["id"]
    calls = [visit.api.get(path, job, limit=SHOWN)]
    if done.get("against"):
        calls += [visit.api.get(path, job, limit=SHOWN, change=one) for one in ("added", "dropped")]
    examples, *changes = await together(*calls)
    return {
        "examples": examples["items"],
        "changes": dict(zip(("added", "dropped"), changes, strict=False)),
        "figures": figures,
    }


async def triggers(visit: Visit) -> Response:
    """All triggers that it found; `variant` and `change` as the API has them."""
    asked = {name: visit.query.get(name) for name in ("variant", "change", "cursor")}
    path = "/v1/backtests/{}/triggers"
    done, found = await together(
        visit.api.get("/v1/backtests/{}", visit.part("job")),
        visit.api.get(path, visit.part("job"), limit=LIMIT, **asked),
    )
    return await _framed(visit, "backtest_triggers.html", None, backtest=done, found=found)


async def cancel(visit: Visit) -> Response:
    """End it and forget it."""
    await visit.api.send("DELETE", "/v1/backtests/{}", visit.part("job"))
    name, said = visit.part("name"), "The backtest was cancelled and is gone."
    return visit.go("/rules" if name == UNSAVED else path_of(name, "backtest"), said)


async def rehearse(visit: Visit) -> Response:
    """Play the playbook over the triggers of one of the values that were tried."""
    name, job = visit.part("name"), visit.part("job")
    number = next(iter(rehearsals_of([f"{visit.form.get('variant')}:x"])), -1)
    found = await _all_triggers(visit, job, number)
    page = path_of(name, "backtests", job)
    books = [one["playbook"] for one in found if one["playbook"]]
    if not books:
        return visit.go(page, "There is nothing to rehearse: no trigger starts a playbook.")
    try:
        body = {"playbook": books[0], "triggers": found}
        made = await visit.api.send(
            "POST", "/v1/rehearsals", body=body, once=str(visit.form.get("once", "")) or None
        )
    except ApiError as error:
        if error.status not in {404, 409, 422, 429}:
            raise
        return visit.go(page, f"Nothing was rehearsed: {error.detail or error.title}")
    asked = [str(one) for one in visit.form.getlist("rehearsal") if not str(one).startswith(f"{number}:")]
    named = rehearsals_of([*asked, f"{number}:{made['id']}"])
    varied = str(visit.form.get("varied", ""))
    return visit.go(address(page, varied=varied, rehearsal=[f"{n}:{one}" for n, one in named.items()]))


async def _all_triggers(visit: Visit, job: str, number: int) -> list[Any]:
    """The earliest triggers, as many as a rehearsal takes."""
    found: list[Any] = []
    cursor = None
    while True:
        variant = None if number < 0 else str(number)
        page = await visit.api.get(
            "/v1/backtests/{}/triggers", job, limit=AT_ONCE, cursor=cursor, variant=variant
        )
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None or len(found) >= MOST_TRIGGERS:
            return found[:MOST_TRIGGERS]


ROUTES = [
    show("/rules/{name}/backtest", asking),
    change("/rules/{name}/backtest", ask),
    show("/rules/{name}/backtests/{job}", backtest),
    show("/rules/{name}/backtests/{job}/triggers", triggers),
    change("/rules/{name}/backtests/{job}/cancel", cancel),
    change("/rules/{name}/backtests/{job}/rehearse", rehearse),
]
