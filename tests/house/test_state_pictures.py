"""The pictures of states in docs/architecture.md show every status that a row can have."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from backbone.jobs.status import STATUSES
from services.actions import tables
from services.actions.plays.model import ActionStatus, PlayStatus, TaskStatus
from tests.house.tree import ROOT

PAGE = ROOT / "docs/architecture.md"
PICTURE = re.compile(r"```mermaid\nstateDiagram-v2\n  %% (\w+)\n(.*?)```", re.DOTALL)
ARROW = re.compile(r"^  (\S+) --> (\w+)(?:: .+)?$")
# what an action's row says beside its status, and in which columns
IN_COLUMNS = {"leased": ("lease_owner", "lease_until"), "attempting": ("attempting",)}
STATES = {
    "plays": set(get_args(PlayStatus)),
    "actions": set(get_args(ActionStatus)) | set(IN_COLUMNS),
    "tasks": set(get_args(TaskStatus)),
    "jobs": set(STATUSES),
}


def _arrows(picture: str) -> list[tuple[str, str]]:
    """(from, to) of every line of a picture."""
    lines = dict(PICTURE.findall(PAGE.read_text(encoding="utf-8")))[picture].splitlines()
    found = [ARROW.match(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return [(match[1], match[2]) for match in found if match]


@pytest.mark.parametrize("picture", STATES)
def test_a_picture_shows_every_state_and_no_other(picture: str) -> None:
    arrows = _arrows(picture)
    assert {end for _, end in arrows} == STATES[picture]
    assert {start for start, _ in arrows} - {"[*]"} <= STATES[picture]


def test_what_an_action_says_beside_its_status_stands_in_its_columns() -> None:
    for names in IN_COLUMNS.values():
        assert set(names) <= set(tables.actions.columns.keys())


@pytest.mark.parametrize("picture", STATES)
def test_every_state_is_reached_from_the_beginning(picture: str) -> None:
    arrows = _arrows(picture)
    reached = {"[*]"}
    while more := {end for start, end in arrows if start in reached} - reached:
        reached |= more
    assert reached >= STATES[picture]
