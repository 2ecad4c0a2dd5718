"""Writes the outlines of playbooks and templates for other services, and collects warnings when one is saved."""

from contextlib import suppress

from pydantic import ValidationError
from sqlalchemy import Connection, select

from backbone.database import Database
from backbone.documents import registry
from backbone.documents.store import StoredDocument
from schemas.lint.approvals import lint_approvals
from schemas.lint.goals import lint_goal
from schemas.lint.held_mails import lint_held_mails, lint_topics
from schemas.lint.outline import Outline, outline, outline_playbook
from schemas.lint.policy import lint_policy
from schemas.lint.single import LintWarning, lint_playbook, lint_template
from schemas.lint.together import told
from schemas.lint.variants import lint_variants
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.template import TemplateIn
from services.actions.storage.library import PLAYBOOKS, POLICY, TEMPLATES
from services.actions.tables import accounts

Body = PlaybookIn | TemplateIn


def write_outline(conn: Connection, body: Body, stored: StoredDocument) -> None:
    """Write the outline of a document that is being saved."""
    registry.write(conn, outline(body), stored.version)


def warnings_about(conn: Connection, body: Body, *, alone: bool = False) -> list[LintWarning]:
    """The warnings about a document, by itself and (unless `alone`) with the documents it works with."""
    found = _by_itself(conn, body)
    return found if alone else [*found, *registry.warnings_about(conn, outline(body)), *_held(conn, body)]


def warnings_about_policy(conn: Connection, policy: PolicyDoc) -> list[LintWarning]:
    """The warnings about the sending policy, by itself and with the playbooks."""
    books = registry.playbooks(conn) or {}
    findings = [*lint_topics(policy, books), *lint_held_mails(policy, books.values())]
    return [*lint_policy(policy), *told(findings, "policy", "policy")][: registry.MOST_WARNINGS]


def _held(conn: Connection, body: Body) -> list[LintWarning]:
    """The warnings about mails of a playbook that the policy never lets begin."""
    stored = POLICY.get(conn, POLICY.kind)
    if stored is None or not isinstance(body, PlaybookIn):
        return []
    with suppress(ValidationError):  # another version of this program saved the policy
        policy = PolicyDoc.model_validate(stored.doc)
        return told(lint_held_mails(policy, [outline_playbook(body)]), "playbook", body.name)
    return []


def _by_itself(conn: Connection, body: Body) -> list[LintWarning]:
    if isinstance(body, TemplateIn):
        return [*lint_template(body), *lint_variants(body)]
    approvals = lint_approvals(body, owners=_has_owners(conn))
    return [*lint_playbook(body), *lint_goal(body), *approvals]


def _has_owners(conn: Connection) -> bool:
    """Whether some account has an owner with an address; also if no account is known yet."""
    owned = conn.execute(select(accounts.c.account).where(accounts.c.owner.is_not(None)).limit(1)).first()
    return owned is not None or conn.execute(select(accounts.c.account).limit(1)).first() is None


def refresh(db: Database) -> None:
    """Write the outlines of documents that were saved before there were outlines, or by an older program."""
    registry.refresh(db, "playbook", PLAYBOOKS.current_versions, _playbook)
    registry.refresh(db, "template", TEMPLATES.current_versions, _template)


def _playbook(conn: Connection, name: str) -> Outline:
    return outline(PlaybookIn.model_validate({**PLAYBOOKS.fetch(conn, name).doc, "name": name}))


def _template(conn: Connection, name: str) -> Outline:
    return outline(TemplateIn.model_validate({**TEMPLATES.fetch(conn, name).doc, "name": name}))
