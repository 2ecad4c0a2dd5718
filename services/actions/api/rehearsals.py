"""`POST /v1/rehearsals`: a playbook played over given triggers and the log. Nothing is stored, sent or counted.

All that a rehearsal needs of the database is put into its job here: its process has none.
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import ValidationError
from sqlalchemy import Connection, func, select

from backbone.errors import FieldError, Invalid, NotFound
from backbone.jobs.api import jobs_router
from backbone.jobs.queue import JobQueue
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, json_response
from backbone.web.bodies import large_body
from backbone.web.json_route import JsonRoute, example
from backbone.web.validation import field_errors
from schemas.blanks import EndpointTemplates, templates_of
from schemas.brand import in_scope
from schemas.event import microseconds, rfc3339
from schemas.playbook import PlaybookIn
from schemas.playbook_texts import texts_of
from schemas.policy import PolicyDoc
from schemas.rehearsal import RehearsalIn, RehearsalOut
from schemas.template import TemplateIn
from services.actions.api.template_flaws import flaws_of_texts
from services.actions.plays.model import DraftRendering
from services.actions.rehearsal_body import MAX_BYTES, RehearsalJob, read_rehearsal, triggers_of
from services.actions.storage.library import ENDPOINTS, PLAYBOOKS, POLICY, TEMPLATES, brand_now
from services.actions.storage.suppressions import without_mail
from services.actions.tables import accounts

PATH = "/v1/rehearsals"
_encode = msgspec.msgpack.Encoder().encode
EXAMPLE = {
    "playbook": "invoice-overdue",
    "triggers": [
        {
            "id": "trg_902958824fa9c769ac0f2d310e", "rule": "invoice-overdue", "rule_version": 1, "account": "acme",
            "tier": "low", "at": "2026-11-22T09:00:00Z", "event_id": "inv-88", "reason": "threshold_reached",
            "position": {"partition": 3, "offset": 17},
        }
    ],
    "until": "2026-12-31T00:00:00Z",
}  # fmt: skip


def router(
    queue: JobQueue,
    renderer: DraftRendering,
    partition_of: Callable[[str], int],
    submitted: Callable[[], None],
) -> APIRouter:
    """The routes. `submitted` is called when there is a new job."""
    routes = APIRouter(tags=["rehearsals"], route_class=JsonRoute)

    @routes.post(
        PATH,
        status_code=202,
        response_model=RehearsalOut,
        summary="Start a rehearsal of a playbook, which sends nothing",
    )
    @large_body(MAX_BYTES, read_rehearsal)
    def create(
        body: Annotated[RehearsalIn, example(EXAMPLE)],
        once: Once,
        principal: Principal = require("actions:read"),
    ) -> Response:
        """Plays start, wait, exit and go on as they would on a server with the log clock, over what the log
        holds now, and mails begin as the sending policy lets them. Suppressions are respected, and erased
        accounts are left out. The template of every step is rendered at least once for a real trigger.
        Nobody completes tasks in a rehearsal, so a wait for that runs out, unless the log has the event for
        a real play of the same trigger.
        """
        triggers = triggers_of(body.triggers, partition_of)
        with queue.write() as conn:

            def make() -> Response:
                playbook = _playbook(conn, body.playbook)
                templates = _templates(conn, playbook, body, renderer)
                job = RehearsalJob(
                    playbook=playbook.model_dump(mode="json", by_alias=True, exclude_unset=True),
                    templates=[one.model_dump(mode="json", exclude_unset=True) for one in templates],
                    triggers=triggers,
                    until=None if body.until is None else microseconds(body.until),
                    suppressed=_suppressed(conn, playbook.topic),
                    endpoints=_endpoints(conn, playbook, body),
                    brand=brand_now(conn) if body.brand is None else in_scope(body.brand.model_dump()),
                    policy=_policy(conn, body.policy),
                    accounts=conn.scalar(select(func.count()).select_from(accounts)) or 0,
                )
                until = None if job.until is None else rfc3339(job.until)
                shown = {"playbook": playbook.name, "until": until}
                made = queue.submit(conn, principal.key_id, _encode(job), shown)
                return json_response(made.answer(), 202, {"Location": f"{PATH}/{made.id}"})

            answer = once.run(conn, make)
        submitted()
        return answer

    routes.routes.extend(jobs_router(PATH, "rehearsal", RehearsalOut, "actions:read", queue).routes)
    return routes


def _playbook(conn: Connection, given: PlaybookIn | str) -> PlaybookIn:
    """The playbook; a saved one by its name. Raises `NotFound`."""
    if isinstance(given, PlaybookIn):
        return given
    stored = PLAYBOOKS.get(conn, given)
    if stored is None:
        raise NotFound(f"there is no playbook {given!r}")
    try:
        return PlaybookIn.model_validate({**stored.doc, "name": given})
    except ValidationError as error:  # an older program has saved it
        why = field_errors(error.errors(include_url=False, include_input=False), stored.doc, PlaybookIn)
        raise Invalid(
            [FieldError(field=f"playbook.{one['field']}", message=one["message"]) for one in why]
        ) from None


def _policy(conn: Connection, given: PolicyDoc | None) -> dict[str, Any] | None:
    """The sending policy to try: the given one, else the one in force, if there is any."""
    if given is not None:
        return given.model_dump(mode="json", by_alias=True, exclude_unset=True)
    stored = POLICY.get(conn, POLICY.kind)
    return None if stored is None else stored.doc


def _templates(
    conn: Connection, playbook: PlaybookIn, body: RehearsalIn, renderer: DraftRendering
) -> list[TemplateIn]:
    """The templates that the steps name: those given, else the saved ones. Raises `Invalid`."""
    given = {one.name: one for one in body.templates}
    found: dict[str, TemplateIn] = {}
    wrong: list[FieldError] = []
    for kind, name, path in playbook.references():
        if kind == "template" and name not in found:
            template = given.get(name) or _saved(conn, name)
            if template is not None:
                found[name] = template
        known = name in found if kind == "template" else _endpoint(conn, name, body)
        if not known:
            wrong.append(FieldError(field=f"playbook.{path}", message=f"there is no {kind} {name!r}"))
    sources = {f"playbook.{path}": text for path, text in texts_of(playbook).items()}
    for place, one in enumerate(body.templates):
        sources |= {f"templates.{place}.{field}": text for field, text in one.sources().items()}
    wrong += flaws_of_texts(sources, renderer)
    if wrong:
        raise Invalid(wrong)
    return list(found.values())


def _saved(conn: Connection, name: str) -> TemplateIn | None:
    stored = TEMPLATES.get(conn, name)
    return None if stored is None else TemplateIn.model_validate({**stored.doc, "name": name})


def _endpoint(conn: Connection, name: str, body: RehearsalIn) -> bool:
    return name in body.endpoints or ENDPOINTS.get(conn, name) is not None


def _endpoints(conn: Connection, playbook: PlaybookIn, body: RehearsalIn) -> dict[str, EndpointTemplates]:
    """What is rendered of saved endpoints."""
    called = {name for kind, name, _ in playbook.references() if kind == "endpoint"} - {*body.endpoints}
    stored = {name: ENDPOINTS.get(conn, name) for name in sorted(called)}
    return {name: templates_of(one.doc) for name, one in stored.items() if one is not None}


def _suppressed(conn: Connection, topic: str) -> bytes:
    """The hashes of the addresses that get no mail of this topic, one after the other."""
    return b"".join(sorted(bytes.fromhex(digest) for digest in without_mail(conn, topic)))
