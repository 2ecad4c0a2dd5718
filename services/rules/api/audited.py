"""Changes of rules and tiers, each with its entry in the audit."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Row

from backbone.audit import AuditTrail
from services.rules.storage.rule_repository import RuleRepository, exists

Result = TypeVar("Result")
TIERS = "tiers"


def audited(
    saver: RuleRepository, trail: AuditTrail, name: str | None, change: Callable[[Connection], Result]
) -> Callable[[Connection], Result]:
    """The change of a rule (None: of the tiers) that writes its entry too, where it changed what is in force."""

    def both(conn: Connection) -> Result:
        before = saver.held(conn, name)
        result = change(conn)
        after = saver.held(conn, name)
        if after is not None and (before is None or before.revision != after.revision):
            kind = TIERS if name is None else "rule"
            trail.note(
                conn, kind, name or TIERS, version=after.version, before=_said(before), after=_said(after)
            )
        return result

    return both


def audited_apart(
    trail: AuditTrail, save: Callable[[Connection], Result], kept: Callable[[Result], Row[Any]]
) -> Callable[[Connection], Result]:
    """The save of a version that does not come into force, with its entry."""

    def both(conn: Connection) -> Result:
        result = save(conn)
        row = kept(result)
        after = {"version": row.version, **row.doc, "in_force": False}
        trail.note(conn, "rule", row.name, version=row.version, after=after)
        return result

    return both


def _said(row: Row[Any] | None) -> dict[str, Any] | None:
    if row is None or not exists(row):
        return None
    return {"version": row.version, **row.doc, **({"plays": "hold"} if row.holds else {})}
