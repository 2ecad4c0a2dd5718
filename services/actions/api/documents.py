"""`/v1/playbooks`, `/v1/templates`, `/v1/endpoints`, `/v1/topics`: documents, and the checks made when one is saved."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents import registry
from backbone.documents.api import DocumentKind, Filter, documents_router, dump, show
from backbone.documents.in_use import hold
from backbone.documents.store import Keep, StoredDocument
from backbone.errors import FieldError, Invalid
from backbone.web.pagination import Text
from schemas.answers import PlaybookOut, PlaybookVersionOut, TemplateOut
from schemas.lint.single import LintWarning
from schemas.mail_topic import TopicIn, TopicOut
from schemas.playbook import PlaybookIn
from schemas.playbook_texts import texts_of
from schemas.search import searchable, sought
from schemas.sentences.documents import sentence_of
from schemas.template import TemplateIn
from services.actions import published_outlines
from services.actions.api import endpoints
from services.actions.api.template_flaws import flaws, flaws_of_texts
from services.actions.api.views import moment
from services.actions.plays.model import DraftRendering
from services.actions.storage import holds
from services.actions.storage.library import ENDPOINTS, PLAYBOOKS, TEMPLATES, TOPICS, readable

PLAYBOOK_EXAMPLE = {
    "name": "invoice-overdue",
    "topic": "billing",
    "exit_when": {"event": "invoice.paid", "by": "data.invoice"},
    "steps": {
        "high": [
            {"task": {"title": "Call {{ account.name }}: invoice {{ trigger.key }} is overdue", "due": "1d"}}
        ],
        "low": [
            {"email": {"template": "invoice-reminder"}},
            {"wait": "7d"},
            {"task": {"title": "Phone them"}},
        ],
        "tech": [{"email": {"template": "invoice-reminder"}}],
    },
}
TEMPLATE_EXAMPLE = {
    "name": "invoice-reminder",
    "subject": "Invoice {{ trigger.key }}",
    "markdown": "Hi {{ contact.name or 'there' }},\n\ninvoice {{ trigger.key }} is overdue.",
}
TOPIC_EXAMPLE = {
    "name": "billing",
    "title": "Invoices and payments",
    "description": "Reminders of invoices that are due.",
}


def routers(
    db: Database, clock: Clock, renderer: DraftRendering, saved: Callable[[], None], due: Callable[[], None]
) -> list[APIRouter]:
    """The routers. `saved` is called when a playbook is about to be saved, `due` when webhooks may go on."""

    def check_playbook(connection: Connection, body: PlaybookIn, *, alone: bool = False) -> list[LintWarning]:
        errors = [*([] if alone else _unknown(connection, body)), *flaws_of_texts(texts_of(body), renderer)]
        if errors:
            raise Invalid(errors)
        return published_outlines.warnings_about(connection, body, alone=alone)

    def playbook(
        connection: Connection, body: PlaybookIn, before: StoredDocument | None
    ) -> Mapping[str, Any]:
        errors = [*_unknown(connection, body), *flaws_of_texts(texts_of(body), renderer)]
        if errors:
            raise Invalid(errors)
        saved()
        return dump(connection, body, before)

    def check_template(connection: Connection, body: TemplateIn, *, alone: bool = False) -> list[LintWarning]:
        errors = flaws_of_texts(body.sources(), renderer)
        if errors:
            raise Invalid(errors)
        return published_outlines.warnings_about(connection, body, alone=alone)

    def template(
        connection: Connection, body: TemplateIn, before: StoredDocument | None
    ) -> Mapping[str, Any]:
        errors = flaws_of_texts(body.sources(), renderer)
        if errors:
            raise Invalid(errors)
        return dump(connection, body, before)

    return [
        *endpoints.routers(db, clock, partial(flaws, renderer=renderer), due),
        documents_router(
            DocumentKind(
                "/v1/playbooks", "playbook", PlaybookIn, PlaybookOut, PLAYBOOK_EXAMPLE,
                "actions:read", "actions:write", prepare=playbook,
                saved=published_outlines.write_outline, removing=_take_down("playbook"),
                lint=published_outlines.warnings_about, narrow=_narrow_playbooks,
                check=check_playbook, render=playbook_view(db), render_version=version_view,
                version_answer=PlaybookVersionOut,
            ), PLAYBOOKS, db, clock,
        ),
        documents_router(
            DocumentKind(
                "/v1/templates", "template", TemplateIn, TemplateOut, TEMPLATE_EXAMPLE,
                "actions:read", "actions:write", prepare=template,
                saved=published_outlines.write_outline, removing=_take_down("template"),
                lint=published_outlines.warnings_about,
                check=check_template,
            ), TEMPLATES, db, clock,
        ),
        documents_router(
            DocumentKind(
                "/v1/topics", "topic", TopicIn, TopicOut, TOPIC_EXAMPLE, "actions:read", "actions:write",
            ), TOPICS, db, clock,
        ),
    ]  # fmt: skip


def _narrow_playbooks(
    status: Literal["active", "paused"] | None = None,
    q: Annotated[
        Text,
        Query(
            description="Only playbooks with this text in their name, description or sentence, whatever its case."
        ),
    ] = None,
    unhealthy: Annotated[
        bool | None, Query(description="Whether the playbook can no longer be read.")
    ] = None,
) -> Filter:
    if status is None and q is None and unhealthy is None:
        return None

    def of(connection: Connection) -> Keep:
        paused = {key.name for key in holds.paused(connection) if key.kind == "playbook"}

        def keep(stored: StoredDocument) -> bool:
            if status is not None and (status == "paused") != (stored.name in paused):
                return False
            why = None if unhealthy is None else readable(stored.name, stored.version, stored.doc).unhealthy
            if unhealthy not in (None, why is not None):
                return False
            said = sentence_of("playbook", stored.name, stored.doc)
            return q is None or sought(q) in searchable([stored.name, stored.doc.get("description"), said])

        return keep

    return of


def playbook_view(db: Database) -> Callable[[StoredDocument], dict[str, Any]]:
    """Shows a playbook: its version, whether it is paused, and if it can no longer be read, the error."""

    def view(stored: StoredDocument) -> dict[str, Any]:
        if stored.deleted:
            return show(stored)
        with db.read() as connection:
            state = holds.shown(holds.row_of(connection, holds.Key("playbook", stored.name)), moment)
        return {**version_view(stored), **state}

    return view


def version_view(stored: StoredDocument) -> dict[str, Any]:
    """A version of a playbook, in force or not; its status belongs to none."""
    why = None if stored.deleted else readable(stored.name, stored.version, stored.doc).unhealthy
    shown = {**show(stored), **({} if why is None else {"unhealthy": why})}
    return (
        shown if stored.deleted else {**shown, "sentence": sentence_of("playbook", stored.name, stored.doc)}
    )


def _take_down(kind: str) -> Callable[[Connection, str], None]:
    return lambda connection, name: registry.remove(connection, kind, name)


def _unknown(connection: Connection, body: PlaybookIn) -> list[FieldError]:
    """Errors for the templates and endpoints that the steps name and that do not exist."""
    kinds = {"template": TEMPLATES, "endpoint": ENDPOINTS}
    hold(connection, {(kind, name) for kind, name, _ in body.references()})
    known: dict[tuple[str, str], bool] = {}
    errors = []
    for kind, name, path in body.references():
        if (kind, name) not in known:
            known[kind, name] = kinds[kind].get(connection, name) is not None
        if not known[kind, name]:
            errors.append(FieldError(field=path, message=f"there is no {kind} {name!r}"))
    return errors
