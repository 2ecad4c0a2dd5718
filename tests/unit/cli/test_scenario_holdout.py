"""A playbook with a holdout and a goal in a scenario: who is left alone, who reached the goal, and what it did."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.actions.plays.holdout import number_of
from services.cli.scenario import run

OUT = next(name for name in map(str, range(100)) if number_of("call", name) < 50)
IN = next(name for name in map(str, range(100)) if number_of("call", name) >= 50)
DOCUMENTS: list[dict[str, Any]] = [
    {"kind": "rule", "name": "spike", "playbook": "call",
     "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}}},
    {"kind": "playbook", "name": "call", "holdout": 50, "goal": {"event": "bought", "within": "7d"},
     "steps": [{"task": {"title": "Call"}}]},
]  # fmt: skip
TREATED = {"account": IN, "status": "finished", "goal_reached_at": "2026-01-02T00:00:00Z"}
HELD_OUT = {"account": OUT, "status": "held_out", "reason": "held_out", "goal_reached_at": None}
IMPACT = {
    "playbook": "call",
    "treated": {"plays": 1, "complete": 1, "reached": 1, "rate": 1.0},
    "holdout": {"plays": 1, "complete": 1, "reached": 0, "rate": 0.0},
    "verdict": "too_few",
}


def differences(folder: Path, **expect: Any) -> dict[str, tuple[int, int]]:
    """How much was missing, and how much came unexpected, by the list."""
    (folder / "documents.yaml").write_text(yaml.safe_dump_all(DOCUMENTS))
    test = {
        "load": ["documents.yaml"],
        "accounts": {name: {"tier": "low", "owner": {"email": "jo@us.test"}} for name in (IN, OUT)},
        "events": [
            *({"at": "2026-01-01T00:00:00Z", "account": name, "type": "ticket"} for name in (IN, OUT)),
            {"at": "2026-01-02T00:00:00Z", "account": IN, "type": "bought"},
            {"at": "2026-01-09T00:00:00Z", "account": OUT, "type": "bought"},  # too late
        ],
        "until": "2026-02-01T00:00:00Z",
        "expect": expect,
    }
    file = folder / "call.test.yaml"
    file.write_text(yaml.safe_dump(test))
    return {one.what: (len(one.missing), len(one.unexpected)) for one in run(file, None)}


def test_a_scenario_sees_who_is_held_out(tmp_path: Path) -> None:
    actions = [{"account": IN, "channel": "task"}]
    assert differences(tmp_path, plays=[TREATED, HELD_OUT], impact=[IMPACT], actions=actions) == {}


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        ({"plays": [TREATED]}, {"plays": (0, 1)}),
        ({"plays": [TREATED, {**HELD_OUT, "status": "open"}]}, {"plays": (1, 1)}),
        ({"plays": [{**TREATED, "goal_reached_at": None}, HELD_OUT]}, {"plays": (1, 1)}),
        ({"impact": []}, {"impact": (0, 1)}),
        ({"impact": [{**IMPACT, "verdict": "helps"}]}, {"impact": (1, 1)}),
        ({"actions": [{"account": OUT, "channel": "task"}, {"account": IN}]}, {"actions": (1, 0)}),
    ],
)
def test_it_breaks_where_something_else_is_expected(tmp_path: Path, expect: Any, found: Any) -> None:
    assert differences(tmp_path, **expect) == found


def test_it_says_why_nothing_came(tmp_path: Path) -> None:
    differences(tmp_path, actions=[])
    test = yaml.safe_load((tmp_path / "call.test.yaml").read_text())
    test["expect"] = {"actions": [{"account": OUT, "channel": "task"}, {"account": IN}]}
    (tmp_path / "call.test.yaml").write_text(yaml.safe_dump(test))
    (difference,) = run(tmp_path / "call.test.yaml", None)
    why = f"call for {OUT} was held out: The account belongs to the holdout of the playbook call: nobody is touched."
    assert difference.why == [why]
