"""The sending policy in scenarios: hours, caps, priority, patience and `within`, each with what must not happen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.event import rfc3339
from services.actions.plays.model import DraftRendering
from services.cli.documents import find, load
from services.cli.scenario import play, read_scenario, renderer, run
from services.cli.scenario_world import World, arrivals
from tests.house.tree import ROOT

HERE = Path(__file__).parent / "policy"
SCENARIOS = sorted(HERE.glob("*.test.yaml"))
EXAMPLE = ROOT / "examples" / "policy.yaml"


@pytest.fixture(scope="module")
def render() -> Iterator[DraftRendering]:
    with renderer() as found:
        yield found


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.name)
def test_it_holds(file: Path, render: DraftRendering) -> None:
    assert run(file, render) == []


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.name)
def test_without_its_policy_it_does_not(file: Path) -> None:
    scenario = read_scenario(file)
    documents = load(find([file.parent / name for name in scenario.load]))
    assert play(scenario, documents, None) == []
    assert play(scenario, [one for one in documents if one.kind != "policy"], None) != []


def went(scenario: str) -> dict[str, list[str]]:
    """When mails began under the example's policy, by account."""
    world = World(load([EXAMPLE, HERE / "documents.yaml"]), None)
    for event in arrivals(read_scenario(HERE / scenario)):
        world.feed(event)
    found = defaultdict(list)
    for action in world.store.actions.values():
        if action.begun_at is not None:
            found[action.account].append(rfc3339(action.begun_at))
    return found


def test_the_example_lets_mails_out_in_working_hours_and_invoices_at_once() -> None:
    found = went("hours.test.yaml")
    assert found["late"] == ["2026-11-30T07:00:00Z"], "eight in the morning in Berlin"
    assert found["owes"] == ["2026-12-25T03:00:00Z"]


def test_the_example_lets_two_mails_a_week_out_and_invoices_beside() -> None:
    found = went("caps.test.yaml")
    assert sorted(found["acme"] + found["bolt"]) == [
        "2026-11-02T09:00:00Z",
        "2026-11-03T09:00:00Z",
        "2026-11-05T09:00:00Z",  # the invoice
        "2026-11-09T09:00:00Z",
        "2026-11-10T09:00:00Z",
    ]
