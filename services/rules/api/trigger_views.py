"""Triggers as the API shows them: as they were decided, with a sentence for people."""

import threading
from typing import Any

import msgspec
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from schemas.rule import RuleIn
from schemas.sentences.rules import of_trigger
from services.rules.storage.versions import version_row

KEPT = 2_000  # versions of rules in memory
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TriggerViews:
    """Turns trigger rows into items of the API. Keeps the rule versions that it has read; they never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, int], RuleIn | None] = {}

    def show(self, conn: Connection, row: Row[Any]) -> dict[str, Any]:
        """One trigger as the API shows it."""
        trigger = _decode(row.doc)
        rule = self._rule(conn, trigger["rule"], trigger["rule_version"])
        return {**trigger, "sentence": of_trigger(trigger, rule)}

    def _rule(self, conn: Connection, name: str, version: int) -> RuleIn | None:
        """A version of a rule; None if this release cannot read it."""
        with self._lock:
            if (name, version) in self._rules:
                return self._rules[name, version]
        found = version_row(conn, name, version)
        try:
            rule = None if found is None else RuleIn.model_validate(found.doc)
        except ValidationError:
            rule = None
        with self._lock:
            if len(self._rules) >= KEPT:
                self._rules.clear()
            self._rules[name, version] = rule
        return rule
