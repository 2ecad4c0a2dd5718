"""Writes the outlines of playbooks and templates for other services, and collects warnings when one is saved."""

from sqlalchemy import Connection

from backbone.database import Database
from backbone.documents import registry
from backbone.documents.store import StoredDocument
from schemas.lint.goals import lint_goal
from schemas.lint.outline import Outline, outline
from schemas.lint.single import LintWarning, lint_playbook, lint_template
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from services.actions.storage.library import PLAYBOOKS, TEMPLATES

Body = PlaybookIn | TemplateIn


def write_outline(conn: Connection, body: Body, stored: StoredDocument) -> None:
    """Write the outline of a document that is being saved."""
    registry.write(conn, outline(body), stored.version)


def warnings_about(conn: Connection, body: Body, *, alone: bool = False) -> list[LintWarning]:
    """The warnings about a document, by itself and (unless `alone`) with the documents it works with."""
    found = _by_itself(body)
    return found if alone else [*found, *registry.warnings_about(conn, outline(body))]


def _by_itself(body: Body) -> list[LintWarning]:
    if isinstance(body, TemplateIn):
        return lint_template(body)
    return [*lint_playbook(body), *lint_goal(body)]


def refresh(db: Database) -> None:
    """Write the outlines of documents that were saved before there were outlines, or by an older program."""
    registry.refresh(db, "playbook", PLAYBOOKS.current_versions, _playbook)
    registry.refresh(db, "template", TEMPLATES.current_versions, _template)


def _playbook(conn: Connection, name: str) -> Outline:
    return outline(PlaybookIn.model_validate({**PLAYBOOKS.fetch(conn, name).doc, "name": name}))


def _template(conn: Connection, name: str) -> Outline:
    return outline(TemplateIn.model_validate({**TEMPLATES.fetch(conn, name).doc, "name": name}))
