"""The canned library as data: its folders, documents and scenarios."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

JSON = dict[str, Any]

LIBRARY = Path(__file__).resolve().parents[3] / "playbooks"
TIERS = ("high", "low", "tech")
ALL, PEOPLE = frozenset(TIERS), frozenset({"high", "low"})

# The playbooks of customer success, and the tiers that each covers.
ROWS: dict[str, frozenset[str]] = {
    "support-spike": ALL,
    "outages": ALL,
    "invoice-overdue": ALL,
    "not-logged-in": ALL,
    "gone-quiet": ALL,
    "usage-decline": ALL,
    "renewal": ALL,
    "business-review": PEOPLE,
    "feature-unused": ALL,
    "true-north": ALL,
    "consumption-gap": ALL,
    "watermelon": ALL,
    "nps-detractor": ALL,
    "advocate": ALL,
    "champion-left": ALL,
    "seats-unused": ALL,
    "expansion": ALL,
    "onboarding-stalled": ALL,
    "health-drop": ALL,
    "integration-broken": ALL,
    "payment-failed": ALL,
    "trial-ending": ALL,
    "milestone": ALL,
    "win-back": frozenset({"low", "tech"}),
}


@cache
def documents(path: Path) -> tuple[JSON, ...]:
    """The documents of one YAML file; callers must not change them."""
    return tuple(document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document)


def playbook_of(row: str) -> JSON:
    """The one playbook of a folder."""
    (playbook,) = documents(LIBRARY / row / "playbook.yaml")
    return playbook


def scenarios_of(row: str) -> list[JSON]:
    """The scenarios of a folder."""
    return [documents(path)[0] for path in sorted((LIBRARY / row).glob("*.test.yaml"))]


def exits_of(playbook: JSON) -> list[JSON]:
    """`exit_when` as a list."""
    exits = playbook["exit_when"]
    return exits if isinstance(exits, list) else [exits]


def end_types(playbook: JSON) -> set[str]:
    """The types of events that can end a play of the playbook; a changed value comes with an update of the account."""
    types: set[str] = set()
    for one in exits_of(playbook):
        named = one.get("event", "account.updated")
        types |= set(named) if isinstance(named, list) else {named}
    return types


def tiers_of(playbook: JSON) -> dict[str, list[JSON]]:
    """The steps of every tier that the playbook covers."""
    steps: dict[str, list[JSON]] = playbook["steps"]
    return steps


def steps_of(steps: list[JSON]) -> list[JSON]:
    """All steps, including those inside branches."""
    found = []
    for step in steps:
        found.append(step)
        for way in ("then", "else"):
            found += steps_of(step.get("branch", {}).get(way, []))
    return found
