"""`/playbooks`: what a customer gets, step by step and tier by tier, and who stands where; pause, resume, rehearse."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.responses import Response

from schemas.playbook import KINDS, PlaybookIn, Step
from schemas.sentences.conditions import in_words
from schemas.sentences.of_playbooks import beside_steps, step_in_words
from services.console.api import ApiError, together
from services.console.lists import is_narrowed, listed
from services.console.render import segment
from services.console.routing import change, show
from services.console.visit import Visit, quietly

FILTERS = ("status", "q", "unhealthy")
REHEARSED = 1_000  # of the newest triggers of each rule


class Place(NamedTuple):
    """A step in the picture: `depth` of branches, `way` into one of them, how many plays are `here` now."""

    id: str
    kind: str
    depth: int
    way: str
    text: str
    here: int


class Column(NamedTuple):
    """The steps of one tier; `tier` is None if they are the same for all."""

    tier: str | None
    places: Sequence[Place]
    not_begun: int


async def playbooks(visit: Visit) -> Response:
    """The list."""
    found = await listed(visit, "/v1/playbooks", FILTERS)
    return await visit.page(
        "playbooks.html",
        playbooks=found["items"],
        next_cursor=found["next_cursor"],
        narrowed=is_narrowed(visit, FILTERS),
    )


async def playbook(visit: Visit) -> Response:
    """One of them."""
    return await _shown(visit)


async def _shown(visit: Visit, refused: ApiError | None = None) -> Response:
    name = visit.part("name")
    found, standing, impact, rules = await together(
        visit.api.get("/v1/playbooks/{}", name),
        quietly(visit.api.get("/v1/playbooks/{}/standing", name), {"items": []}),
        quietly(visit.api.get("/v1/playbooks/{}/impact", name)),
        quietly(visit.api.get("/v1/rules", playbook=name, limit=50), {"items": []}),
    )
    return await visit.page(
        "playbook.html",
        refused.status if refused else 200,
        playbook=found,
        columns=picture(found, standing["items"]),
        around=around(found),
        impact=impact,
        rules=rules["items"],
        refused=refused,
    )


def readable(document: Mapping[str, Any]) -> PlaybookIn | None:
    """The playbook that the API shows; None if this release cannot read it."""
    try:
        return PlaybookIn.model_validate(
            {name: document[name] for name in PlaybookIn.model_fields if name in document}
        )
    except ValidationError:
        return None


def around(document: Mapping[str, Any]) -> str:
    """What ends its plays, and what holds for them, in words."""
    read = readable(document)
    return "" if read is None else beside_steps(read)


def picture(document: Mapping[str, Any], standing: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The steps as columns, with how many open plays stand at each. Empty if this release cannot read the document."""
    read = readable(document)
    if read is None:
        return []
    counts: dict[tuple[str | None, str | None], int] = {}
    for one in standing:
        for tier in (one["tier"], None):
            counts[tier, one["step"]] = counts.get((tier, one["step"]), 0) + one["n"]
    columns: list[tuple[str | None, list[Step]]] = (
        [(None, read.steps)] if isinstance(read.steps, list) else [*read.by_tier().items()]
    )
    return [
        Column(tier, list(_laid(steps, tier, counts)), counts.get((tier, None), 0)) for tier, steps in columns
    ]


def _laid(
    steps: Sequence[Step],
    tier: str | None,
    counts: Mapping[tuple[str | None, str | None], int],
    prefix: str = "",
    depth: int = 0,
    way: str = "",
) -> Iterator[Place]:
    """As `schemas.playbook.numbered` names them, with the way that leads to each."""
    for place, step in enumerate(steps):
        name = step.id or f"{prefix}{place}"
        kind = next(kind for kind in KINDS if getattr(step, kind) is not None)
        text = (
            step_in_words(step, tier) if step.branch is None else f"asks whether {in_words(step.branch.if_)}"
        )
        yield Place(name, kind, depth, way if place == 0 else "", text, counts.get((tier, name), 0))
        if step.branch is not None:
            yield from _laid(step.branch.then, tier, counts, f"{name}.then.", depth + 1, "if so")
            yield from _laid(step.branch.else_, tier, counts, f"{name}.else.", depth + 1, "otherwise")


async def pause(visit: Visit) -> Response:
    """Let nothing of it begin, go on or go out."""
    reason = str(visit.form.get("reason", "")).strip()
    body = {"reason": reason} if reason else {}
    return await _changed(visit, "pause", body, "Paused. Its plays stand still, and new ones are held.")


async def resume(visit: Visit) -> Response:
    """Let it go on; what was held begins, or is skipped."""
    held = str(visit.form.get("held", ""))
    said = (
        "Resumed. The held plays begin now." if held == "release" else "Resumed. The held plays are skipped."
    )
    return await _changed(visit, "resume", {"held": held}, said)


async def _changed(visit: Visit, verb: str, body: Mapping[str, Any], said: str) -> Response:
    name = visit.part("name")
    try:
        await visit.api.send("POST", f"/v1/playbooks/{{}}/{verb}", name, body=body)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return await _shown(visit, error)
    return visit.go(f"/playbooks/{segment(name)}", said)


async def rehearse(visit: Visit) -> Response:
    """Play it over what the log holds, for the triggers of the rules that start it. Nothing is sent."""
    name = visit.part("name")
    rules = (await visit.api.get("/v1/rules", playbook=name, limit=50))["items"]
    lists = await together(
        *(visit.api.get("/v1/triggers", rule=rule["name"], limit=REHEARSED) for rule in rules)
    )
    triggers = [trigger for found in lists for trigger in found["items"]]
    if not triggers:
        return visit.go(
            f"/playbooks/{segment(name)}",
            "There is nothing to rehearse with: no rule that starts this playbook has fired. Backtest a rule first.",
        )
    try:
        job = await visit.api.send(
            "POST", "/v1/rehearsals", body={"playbook": name, "triggers": triggers}, once=visit.once
        )
    except ApiError as error:
        if error.status not in {422, 429}:
            raise
        return await _shown(visit, error)
    return visit.go(f"/rehearsals/{job['id']}")


async def rehearsal(visit: Visit) -> Response:
    """What a rehearsal found."""
    job = await visit.api.get("/v1/rehearsals/{}", visit.part("id"))
    return await visit.page("rehearsal.html", job=job, under_way=job["status"] in {"queued", "running"})


async def cancel(visit: Visit) -> Response:
    """Stop a rehearsal, and forget it."""
    job = await visit.api.get("/v1/rehearsals/{}", visit.part("id"))
    await visit.api.send("DELETE", "/v1/rehearsals/{}", visit.part("id"))
    return visit.go(f"/playbooks/{segment(job['playbook'])}", "The rehearsal was stopped.")


ROUTES = [
    show("/playbooks", playbooks),
    show("/playbooks/{name}", playbook),
    change("/playbooks/{name}/pause", pause),
    change("/playbooks/{name}/resume", resume),
    change("/playbooks/{name}/rehearse", rehearse),
    show("/rehearsals/{id}", rehearsal),
    change("/rehearsals/{id}/cancel", cancel),
]
