"""Writes the outlines of rules and tiers for other services to the registry (`backbone.documents.registry`)."""

from typing import Any

from sqlalchemy import Connection, func, select

from backbone.database import Database
from backbone.documents import registry
from schemas.lint.outline import RuleOutline, TiersOutline, outline_rule, outline_tiers
from schemas.rule import RuleIn, TiersDoc
from services.rules.storage.revisions import DELETED, latest
from services.rules.tables import revisions


def write_outline(conn: Connection, name: str | None, version: int, status: str, doc: dict[str, Any]) -> None:
    """Write the outline of a rule, or of the tiers (None), when it is saved or deleted."""
    if name is None:
        registry.write(conn, outline_tiers(TiersDoc.model_validate(doc)), version)
    elif status == DELETED:
        registry.remove(conn, "rule", name)
    else:
        registry.write(conn, outline_rule(RuleIn.model_validate(doc)), version)


def refresh(db: Database) -> None:
    """Write outlines for documents that were saved before outlines existed, or by an older program."""
    registry.refresh(db, "rule", _versions, _outline)
    registry.refresh(db, "tiers", _tiers_version, _tiers_outline)


def _versions(conn: Connection) -> dict[str, int]:
    last = select(func.max(revisions.c.revision)).where(revisions.c.name.is_not(None))
    query = select(revisions.c.name, revisions.c.version).where(
        revisions.c.revision.in_(last.group_by(revisions.c.name)), revisions.c.status != DELETED
    )
    return {row.name: row.version for row in conn.execute(query)}


def _outline(conn: Connection, name: str) -> RuleOutline:
    row = latest(conn, name)
    if row is None:
        raise LookupError(f"the rule {name} is gone")
    return outline_rule(RuleIn.model_validate(row.doc))


def _tiers_version(conn: Connection) -> dict[str, int]:
    row = latest(conn, None)
    return {} if row is None else {"tiers": row.version}


def _tiers_outline(conn: Connection, _: str) -> TiersOutline:
    row = latest(conn, None)
    return outline_tiers(TiersDoc.model_validate(row.doc if row is not None else {"tiers": []}))
