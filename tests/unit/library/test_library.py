"""The canned library is whole: every row of the field, every tier, everything that a playbook has to name."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from schemas.lint.outline import PlaybookOutline, RuleOutline, TemplateOutline, outline
from schemas.lint.single import Facts, LintWarning, lint_playbook, lint_rule, lint_template
from schemas.lint.together import lint_together
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.template import TemplateIn
from tests.unit.library.files import (
    JSON,
    LIBRARY,
    ROWS,
    documents,
    end_types,
    exits_of,
    playbook_of,
    scenarios_of,
    steps_of,
)
from tests.unit.library.world import library

DURATION = re.compile(r"\b[0-9]+[smhdw]\b")
LINTERS: dict[type, Callable[[Any], list[LintWarning]]] = {
    RuleIn: lambda rule: lint_rule(rule, Facts()),
    PlaybookIn: lint_playbook,
    TemplateIn: lint_template,
}
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
def test_the_description_names_the_rules_and_the_due_dates_as_they_are(row: str) -> None:
    playbook = playbook_of(row)
    trigger, due = (_said(playbook["description"], name) for name in ("Trigger:", "Due:"))
    tasks = [
        step["task"] for steps in playbook["steps"].values() for step in steps_of(steps) if "task" in step
    ]
    assert set(DURATION.findall(due)) == {task["due"] for task in tasks}
    for rule in documents(LIBRARY / row / "rule.yaml"):
        assert f"rule {rule['name']}" in trigger


def _said(description: str, name: str) -> str:
    """What a description says under one of its names."""
    rest = description.split(name)[1]
    return re.split("|".join(map(re.escape, NAMES)), rest)[0]


@pytest.mark.parametrize("row", ROWS)
def test_a_date_that_started_a_play_ends_it_when_it_moves(row: str) -> None:
    """And a wait for it leaves out the step behind it where the play begins too late."""
    playbook = playbook_of(row)
    for rule in documents(LIBRARY / row / "rule.yaml"):
        if "date" in rule["when"]:
            assert {"changed": rule["when"]["date"]["attribute"]} in exits_of(playbook)
    for steps in playbook["steps"].values():
        for step in steps_of(steps):
            wait = step.get("wait")
            if isinstance(wait, dict) and "before" in wait:
                assert wait["past"] == "skip"


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
        ends = end_types(playbook_of(row))
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
    return any(done.get(account, set()) < other for other in done.values())


def test_the_linter_has_nothing_against_the_library_but_that_rules_share_a_playbook() -> None:
    models = [one.model for one in library() if one.kind in ("rule", "playbook", "template")]
    alone = [doubt for model in models for doubt in LINTERS[type(model)](model)]
    outlines = [outline(model) for model in models]
    together = lint_together(
        [one for one in outlines if isinstance(one, RuleOutline)],
        {one.name: one for one in outlines if isinstance(one, PlaybookOutline)},
        {one.name: one for one in outlines if isinstance(one, TemplateOutline)},
    )
    messages = {view.doubt["message"] for finding in together for view in finding}
    assert alone == []
    assert {message for message in messages if "while one of their plays is open" not in message} == set()
