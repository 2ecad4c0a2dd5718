"""A rule's pause ends its open plays at its place in the merged order, in parts, and tells how many there were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from backbone.ownership import Fenced
from schemas.event import RULES_CONCERNED, RULES_PAUSED, Event, from_microseconds
from services.actions.partition_task import ActionsTask
from services.actions.plays import rule_pauses
from services.actions.storage.rule_plays import StoredRulePlays
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.unit.plays.kit import T0, account, book, event

STEPS: list[dict[str, Any]] = [
    {"task": {"title": "Call"}},
    {"email": {"template": "hello"}},
    {"wait": "1d"},
    {"email": {"template": "final"}},
]
NAMES = [f"a{n}" for n in range(7)]


def paused(what: str, rule: str = "rule", pause: str = "pause_1") -> Event:
    data = {"pause": pause, "rule": rule, "plays": what}
    return Event(id=pause, source="touchline", type=RULES_PAUSED, time=from_microseconds(T0), data=data)


def begun(house: House) -> None:
    """Seven open plays of a rule, each with a mail that waits, and one of another rule."""
    house.save(book(steps=STEPS))
    for name in NAMES:
        (place,) = house.post(account(T0, name))
        house.fire(T0, place, account=name, rule="rule")
    (place,) = house.post(account(T0, "other"))
    house.fire(T0, place, account="other", rule="another")
    house.settle()


def told(house: House, pause: str = "pause_1") -> tuple[int, int, int]:
    """How many plays and mails were concerned, and how many partitions are done."""
    found = [one.data for one in house.told() if one.type == RULES_CONCERNED]
    mine = [data for data in found if data["pause"] == pause]
    return sum(d["plays"] for d in mine), sum(d["mails"] for d in mine), sum(d["done"] for d in mine)


def statuses(house: House) -> dict[str, tuple[str, str | None]]:
    return {row.account: (row.status, row.reason) for row in house.rows(PLAYS)}


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The first and the third commit that tells of a pause fails."""
    save, tried = ActionsTask.save, [0]

    def failing(self: ActionsTask, conn: Any, now: int) -> Any:
        ends = any(getattr(op, "type", "") == RULES_CONCERNED for op in self.store.ops)
        result = save(self, conn, now)
        tried[0] += ends
        if ends and tried[0] in (1, 3):
            raise Fenced("as if the process had died")
        return result

    monkeypatch.setattr(ActionsTask, "save", failing)
    yield tried


def test_they_end_in_parts_whatever_dies_meanwhile(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_pauses, "AT_ONCE", 2)
    begun(house)
    assert set(statuses(house).values()) == {("open", None)}
    house.tick(paused("exit"))
    with dying(monkeypatch) as tried:
        for _ in range(4):
            with suppress(Fenced):
                house.worker.run_once()
            house.restart()
        house.settle()
    assert tried[0] > 5
    found = statuses(house)
    assert found.pop("other") == ("open", None)
    assert set(found.values()) == {("exited", "rule_paused")}
    assert told(house) == (7, 7, house.log.partitions)
    mails = [(row.account, row.status, row.reason) for row in house.rows(ACTIONS) if row.channel == "email"]
    assert sorted(mails) == sorted(
        [(name, "skipped", "play_exited") for name in NAMES] + [("other", "pending", None)]
    )
    closed = {row.account: (row.status, row.reason) for row in house.rows(TASKS)}
    assert closed.pop("other") == ("open", None)
    assert set(closed.values()) == {("closed", "rule_paused")}


def test_those_that_go_on_are_counted(house: House) -> None:
    begun(house)
    house.tick(paused("go_on"))
    house.settle()
    assert told(house) == (7, 7, house.log.partitions)
    assert set(statuses(house).values()) == {("open", None)}


def test_the_place_in_the_merged_order_decides(house: House) -> None:
    """A trigger that was decided before the pause begins a play and that ends; one from after it goes on."""
    house.save(book(steps=STEPS))
    (before,) = house.post(account(T0, "a1"))
    places = house.log.end_offsets("touchline.events")
    house.tick(paused("exit"))
    house.fire(T0, before, account="a1", rule="rule")
    house.settle()
    (after,) = house.post(event("tick", T0 + 1, account="a1"))
    assert after[1] > places[after[0]]
    house.fire(T0, after, account="a1", rule="rule")
    house.settle()
    assert [row.status for row in house.rows(PLAYS)] == ["exited", "open"]


def test_what_is_no_pause_is_passed_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(house)
    monkeypatch.setattr(StoredRulePlays, "live", None)
    for data in (None, [], {"pause": 1, "rule": "rule", "plays": "exit"}, {"pause": "p", "plays": "exit"},
                 {"pause": "p", "rule": "a\0b", "plays": "exit"}):  # fmt: skip
        one = paused("exit")
        one.data = data
        house.tick(one)
    house.settle()
    assert set(statuses(house).values()) == {("open", None)}
    assert told(house) == (0, 0, 0)
