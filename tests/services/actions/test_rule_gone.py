"""A rule that holds its plays and is deleted: nobody makes it active again."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from services.actions.api import holding
from services.actions.plays import rule_pauses
from tests.services.actions.kit import PLAYS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.services.actions.test_holding import by_status, fire, leased, verb
from tests.services.actions.test_rule_holds import ON_SQLITE, STEPS, save_rule, to
from tests.unit.plays.kit import DAY, T0, book


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "BEGINS_S", 0.0)


def test_open_plays_that_stand_still_end_with_their_rule(
    house: House,
    client: TestClient,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In parts; what was released by itself goes on, what is held waits for `held_for`, other rules' plays stay."""
    monkeypatch.setattr(rule_pauses, "AT_ONCE", 2)
    house.save(book(steps=STEPS, held_for="3d"))
    fire(house, 5, "s")
    released = min(row.id for row in house.rows(PLAYS))
    fire(house, 1, "z", rule="other")
    save_rule(house, 3, holds=True)
    verb(client, f"plays/{released}/release")
    fire(house, 2)
    save_rule(house, 4, holds=True, deleted=True)
    wanted = {"exited rule_paused": 4, "open": 2, "held rule_paused": 2}
    assert by_status(house) == wanted
    save_rule(house, 4, holds=True, deleted=True)  # it may come again
    assert by_status(house) == wanted
    assert {action.account for action in leased(house)} == {"z0", *accounts_of(house, released)}
    to(house, T0 + 4 * DAY)
    assert by_status(house) == {"exited rule_paused": 4, "finished completed": 2, "skipped held_too_long": 2}


@ON_SQLITE
def test_the_plays_of_a_deleted_rule_that_does_not_hold_them_go_on(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 2, "s")
    save_rule(house, 3, holds=False, deleted=True)
    assert by_status(house) == {"open": 2}
    assert len(leased(house)) == 2


def accounts_of(house: House, *ids: str) -> list[str]:
    return [row.account for row in house.rows(PLAYS) if row.id in ids]
