"""A scenario that fails says why, at the moment that counts: the one expected, or the one at which it came nearest."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.scenario import Difference, run

SPIKE = {
    "kind": "rule", "name": "spike", "cooldown": "30d", "status": "active", "playbook": "help",
    "when": {"threshold": {"event": "ticket.opened", "within": "30d", "at_least": {"high": 10, "low": 20}}},
}  # fmt: skip
QUIET = {"kind": "rule", "name": "quiet", "when": {"absence": {"event": "ticket.opened", "for": "14d"}}}
FEWER = {
    "kind": "rule", "name": "fewer",
    "when": {"threshold": {"event": "ticket.opened", "within": "7d", "at_most": 3}},
}  # fmt: skip
HELP = {
    "kind": "playbook",
    "name": "help",
    "steps": {"low": [{"task": {"title": "Call"}}], "high": [{"email": {"template": "t"}}]},
}
MAIL = {"kind": "template", "name": "t", "subject": "Hi", "markdown": "Hi"}
TEN = {"at": "2026-01-22T09:00:00Z", "account": "acme", "type": "ticket.opened", "repeat": 10, "every": "1d"}


def failing(folder: Path, *documents: dict[str, Any], **expect: list[dict[str, Any]]) -> list[Difference]:
    """What differs, in a run of ten tickets from 22 to 31 January."""
    (folder / "d.yaml").write_text(yaml.safe_dump_all([*documents]))
    scenario = {
        "load": ["d.yaml"], "accounts": {"acme": {"tier": "high"}}, "events": [TEN],
        "until": "2026-06-01T00:00:00Z", "expect": expect,
    }  # fmt: skip
    (folder / "s.test.yaml").write_text(yaml.safe_dump(scenario))
    return run(folder / "s.test.yaml", None)


def tuned(high: int) -> dict[str, Any]:
    """The rule with another number."""
    return {**SPIKE, "when": {"threshold": {**SPIKE["when"]["threshold"], "at_least": {"high": high}}}}  # type: ignore[index]


REACHED = "31 January 2026, 09:00 UTC: 10 ticket.opened events in 30 days; 11 are needed for the high tier."


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"at": "2026-01-31T09:00:00Z"}, f"spike for acme on {REACHED}"),
        ({}, f"spike for acme came nearest on {REACHED}"),
        (
            {"at": "2026-01-25T09:00:00Z"},
            f"spike for acme on {REACHED.replace('31 January', '25 January').replace(' 10 ', ' 4 ')}",
        ),
    ],
)
def test_a_threshold_tuned_up(tmp_path: Path, entry: dict[str, Any], why: str) -> None:
    (found,) = failing(
        tmp_path, tuned(11), HELP, MAIL, triggers=[{"rule": "spike", "account": "acme", **entry}]
    )
    assert found.why == [why]


def test_a_threshold_tuned_down(tmp_path: Path) -> None:
    entry = {"rule": "spike", "account": "acme", "at": "2026-01-31T09:00:00Z"}
    (found,) = failing(tmp_path, tuned(9), HELP, MAIL, triggers=[entry])
    (why,) = found.why
    assert why == (
        "spike for acme on 31 January 2026, 09:00 UTC: It last fired on 30 January 2026, 09:00 UTC. It cannot fire "
        "again before 1 March 2026, 09:00 UTC: its cooldown is 30 days. 10 ticket.opened events in 30 days; 9 are "
        "needed for the high tier."
    )
    assert found.unexpected[0]["sentence"] == (
        "9 ticket.opened events in the 30 days to 30 January 2026, 09:00 UTC; 9 are needed for the high tier."
    )


def test_a_moment_is_asked_about_as_of_then(tmp_path: Path) -> None:
    absent = {"rule": "quiet", "account": "acme", "at": "2026-02-13T09:00:00Z"}
    (found,) = failing(tmp_path, QUIET, triggers=[absent])
    (why,) = found.why
    assert why == (
        "quiet for acme on 13 February 2026, 09:00 UTC: No ticket.opened event has come since 31 January 2026, 09:00 "
        "UTC; the rule fires on 14 February 2026, 09:00 UTC if none comes until then."
    )
    low = {"rule": "fewer", "account": "acme", "at": "2026-02-04T00:00:00Z"}
    (found,) = failing(tmp_path, FEWER, triggers=[low])
    assert found.why == [
        "fewer for acme on 4 February 2026, 00:00 UTC: 4 ticket.opened events in 7 days; 3 or fewer make the rule fire."
    ]


def test_a_rule_that_is_not_in_the_files(tmp_path: Path) -> None:
    (found,) = failing(
        tmp_path, QUIET, triggers=[{"rule": "quite", "account": "acme", "at": "2026-02-14T09:00:00Z"}]
    )
    assert found.why == ["there is no rule quite in the files"]


def test_an_action_that_did_not_come(tmp_path: Path) -> None:
    (found,) = failing(tmp_path, SPIKE, HELP, MAIL, actions=[{"account": "acme", "channel": "email"}])
    assert found.why == ["email of help to acme, skipped: Nobody at the account fits the step's `to`."]
    other = {**HELP, "steps": {"low": [{"task": {"title": "Call"}}]}}
    (found,) = failing(tmp_path, SPIKE, other, actions=[{"account": "acme", "channel": "task"}])
    assert found.why == ["help for acme was skipped: The playbook help has no steps for the high tier."]
