"""The canned library is whole: every row of the field, every tier, everything that a playbook has to name."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.unit.library.files import (
    JSON,
    LIBRARY,
    ROWS,
    documents,
    exits_of,
    playbook_of,
    scenarios_of,
    steps_of,
)

NAMES = ("Trigger:", "Owner:", "Due:", "Templates:", "Ends:")


def test_every_row_has_its_folder_and_no_other_is_there() -> None:
    assert {path.parent.name for path in LIBRARY.glob("*/playbook.yaml")} == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_rule_and_playbook_speak_of_the_same(row: str) -> None:
    rules = documents(LIBRARY / row / "rule.yaml")
    assert {rule["playbook"] for rule in rules} == {playbook_of(row)["name"]} == {row}
    assert all(rule["kind"] == "rule" and rule["description"] for rule in rules)


@pytest.mark.parametrize("row", ROWS)
def test_a_playbook_covers_the_tiers_of_its_row(row: str) -> None:
    assert set(playbook_of(row)["steps"]) == ROWS[row]


@pytest.mark.parametrize("row", ROWS)
def test_a_playbook_says_its_trigger_owner_due_date_templates_and_end(row: str) -> None:
    playbook = playbook_of(row)
    steps = list(chain.from_iterable(map(steps_of, playbook["steps"].values())))
    tasks = [step["task"] for step in steps if "task" in step]
    assert [name for name in NAMES if name not in playbook["description"]] == []
    assert tasks
    assert all({"assignee", "due"} <= task.keys() for task in tasks)
    assert all("id" in step for step in steps if "wait" not in step)
    assert exits_of(playbook)


@pytest.mark.parametrize("row", ROWS)
def test_every_template_is_used_and_named(row: str) -> None:
    playbook = playbook_of(row)
    steps = chain.from_iterable(map(steps_of, playbook["steps"].values()))
    used = {step["email"]["template"] for step in steps if "email" in step}
    there = {template["name"] for template in documents(LIBRARY / row / "templates.yaml")}
    assert used == there
    assert used
    assert [name for name in used if name not in playbook["description"]] == []


@pytest.mark.parametrize(("row", "tier"), [(row, tier) for row in ROWS for tier in sorted(ROWS[row])])
def test_a_scenario_has_one_that_fires_one_that_must_not_and_one_that_leaves(row: str, tier: str) -> None:
    found: set[str] = set()
    for scenario in scenarios_of(row):
        firing = {entry["account"]: entry["at"] for entry in reversed(scenario["expect"]["triggers"])}
        ends = {one["event"] for one in exits_of(playbook_of(row))}
        for account, body in scenario["accounts"].items():
            if body["tier"] == tier:
                found.add(_part(scenario, account, firing, ends))
    assert found == {"fires", "must not", "leaves"}


def _part(scenario: JSON, account: str, firing: JSON, ends: set[str]) -> str:
    if account not in firing:
        return "must not"
    later = [
        event["type"]
        for event in scenario["events"]
        if event["account"] == account and event["at"] > firing[account]
    ]
    return "leaves" if ends & set(later) and _stops_short(scenario, account) else "fires"


def _stops_short(scenario: JSON, account: str) -> bool:
    """Whether another account of the tier, one that plays to the end, has more steps behind it."""
    tier = scenario["accounts"][account]["tier"]
    done: dict[str, set[str]] = {}
    for entry in scenario["expect"]["actions"]:
        if scenario["accounts"][entry["account"]]["tier"] == tier:
            done.setdefault(entry["account"], set()).add(entry["step"])
    return any(done[account] < other for other in done.values())
