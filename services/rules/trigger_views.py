"""Triggers as the API shows them: as they were decided, with a sentence for people."""

import threading
from typing import Any

import msgspec
from pydantic import ValidationError
from sqlalchemy import Connection, Row, select

from schemas.reasons import Reason
from schemas.rule import RuleIn
from schemas.sentences import Case, sentence
from services.rules.tables import revisions

KEPT = 2_000  # versions of rules in memory
_ABOUT = ("account", "contact", "key", "tier", "value", "threshold", "figures", "at")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TriggerViews:
    """Makes rows of triggers items of the API. Keeps the versions of rules that it has read; they never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, int], RuleIn | None] = {}

    def show(self, conn: Connection, row: Row[Any]) -> dict[str, Any]:
        """One trigger."""
        trigger = _decode(row.doc)
        rule = self._rule(conn, trigger["rule"], trigger["rule_version"])
        return {**trigger, "sentence": sentence_of(trigger, rule)}

    def _rule(self, conn: Connection, name: str, version: int) -> RuleIn | None:
        """A version of a rule; None for one that this release cannot read."""
        with self._lock:
            if (name, version) in self._rules:
                return self._rules[name, version]
        query = select(revisions.c.doc).where(revisions.c.name == name, revisions.c.version == version)
        found = conn.scalar(query)
        try:
            rule = None if found is None else RuleIn.model_validate(found)
        except ValidationError:
            rule = None
        with self._lock:
            if len(self._rules) >= KEPT:
                self._rules.clear()
            self._rules[name, version] = rule
        return rule


def sentence_of(trigger: dict[str, Any], rule: RuleIn | None) -> str | None:
    """Why a trigger fired, by the version of its rule; None for a reason that this release does not know."""
    if trigger["reason"] not in set(Reason):
        return None
    event = trigger.get("event") or {}
    about: dict[str, Any] = {name: trigger.get(name) for name in _ABOUT}
    exact = trigger.get("value_exact", True)
    case = Case(rule=rule, fired=True, value_exact=exact, armed=event.get("time"), **about)
    return sentence(Reason(trigger["reason"]), case)
