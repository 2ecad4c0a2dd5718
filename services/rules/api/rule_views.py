"""Rules and their versions as the API shows them."""

from typing import Any

from sqlalchemy import Row

from schemas.event import rfc3339
from schemas.sentences.documents import sentence_of


def shown(row: Row[Any]) -> dict[str, Any]:
    """A rule as it is in force, as the API shows it."""
    holds = {"plays": "hold"} if row.holds else {}
    return {**row.doc, "status": row.status, **holds, **author(row), "sentence": sentence(row)}


def version_shown(row: Row[Any], now: Row[Any] | None) -> dict[str, Any]:
    """A version of a rule, beside the rule as it is in force now (None: it is not there)."""
    current = now is not None and now.version == row.version
    status = (
        {"status": "deleted"}
        if row.deleted
        else {"status": now.status}
        if now is not None and current
        else {}
    )
    return {**row.doc, **status, **author(row), "in_force": current, "sentence": sentence(row)}


def sentence(row: Row[Any]) -> str | None:
    return sentence_of("rule", row.name, row.doc)


def author(row: Row[Any]) -> dict[str, Any]:
    return {"version": row.version, "changed_by": row.changed_by, "changed_at": rfc3339(row.changed_at)}
