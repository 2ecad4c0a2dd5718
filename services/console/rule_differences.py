"""How two versions of a document differ: sentence by sentence, then line by line. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from backbone.yaml.writing import yaml_text

KEPT_BY_API = (
    "version",
    "changed_by",
    "changed_at",
    "in_force",
    "sentence",
    "unhealthy",
    "warnings",
    "concerned",
)
OF_RULE = (*KEPT_BY_API, "status", "plays", "backfill")  # no part of a version
ORDER = (
    "name",
    "description",
    "when",
    "where",
    "unless",
    "alive",
    "scope",
    "by",
    "cooldown",
    "playbook",
    "status",
)
MOST_LINES = 2_000
_BETWEEN = re.compile(r"(?<=\.) (?=[A-Z])")


class Change(NamedTuple):
    """A sentence or a line. `sign`: "+" for new, "-" for gone, " " for the same."""

    sign: str
    text: str


def document_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The rule itself, as it would be sent: what the API adds is left out, fields stand in their usual order."""
    known = [name for name in ORDER if name in answer and name not in OF_RULE]
    others = [name for name in answer if name not in ORDER and name not in OF_RULE]
    return {name: answer[name] for name in (*known, *others)}


def sentences_changed(before: str | None, after: str | None) -> list[Change]:
    """Which sentences are gone and which are new; those that stay are left out."""
    return [
        one for one in _changes(_BETWEEN.split(before or ""), _BETWEEN.split(after or "")) if one.sign != " "
    ]


def lines_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """All lines of both documents as YAML, with their signs."""
    return _changes(*(yaml_text(dict(one)).splitlines()[:MOST_LINES] for one in (before, after)))


def _changes(before: Sequence[str], after: Sequence[str]) -> list[Change]:
    found = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changes: list[Change] = []
    for kind, a, b, c, d in found.get_opcodes():
        if kind == "equal":
            changes += [Change(" ", text) for text in before[a:b]]
        else:
            changes += [Change("-", text) for text in before[a:b] if text]
            changes += [Change("+", text) for text in after[c:d] if text]
    return changes
