"""Holdout, goal and impact in the tables of actions: what is counted, what is kept, and what must not be touched."""

import random
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from backbone.web.api_keys import create_key
from schemas.event import Event, from_microseconds
from services.actions import tables, worker
from services.actions.impact.groups import groups_of
from services.actions.plays.holdout import number_of
from services.actions.plays.model import Play
from services.actions.storage import impact
from services.actions.storage.rows import PLAY_COLUMNS, play_of, play_row
from services.actions.tables import partitions
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.services.actions.test_api import client  # noqa: F401
from tests.services.actions.test_merging import merged
from tests.services.actions.test_retention import carry
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

HALF = 50
NAMES = [f"a{number}" for number in range(12)]
OUT = [name for name in NAMES if number_of("book", name) < HALF]
IN = [name for name in NAMES if number_of("book", name) >= HALF]
GOAL = {"event": "paid", "within": "7d"}
MUCH = [{"task": {"title": "Call"}}, {"email": {"template": "hello"}}, {"webhook": {"endpoint": "crm"}}]


def start(house: House, *names: str, at: int = T0 + SECOND, **fields: Any) -> None:
    """A trigger for each account, one after the other."""
    for name in names:
        (place,) = house.post(account(at, name))
        house.fire(at, place, account=name, **fields)
    house.settle()


def played(house: House) -> dict[str, Play]:
    """The newest play of each account."""
    return {row.account: play_of(row) for row in house.rows(PLAYS)}


def test_nobody_held_out_is_touched_and_the_others_are(house: House) -> None:
    assert OUT
    assert IN
    house.save(
        book(steps=[*MUCH, {"wait": "1d"}, *MUCH], holdout=HALF, goal=GOAL, exit_when={"event": "paid"})
    )
    start(house, *NAMES)
    house.post(event("paid", T0 + DAY // 2, OUT[0]), event("paid", T0 + DAY // 2, IN[0]))
    carry(house, 30)
    found = played(house)
    assert {name: play.status for name, play in found.items()} == {
        **dict.fromkeys(OUT, "held_out"),
        **dict.fromkeys(IN, "finished"),
        IN[0]: "exited",
    }
    assert [found[name].goal_reached_at for name in (OUT[0], IN[0])] == [T0 + DAY // 2] * 2
    assert {row.account for row in house.rows(ACTIONS)} == set(IN)
    assert {row.account for row in house.rows(TASKS)} <= set(IN)
    assert {one.account for one in house.told()} == set(IN)
    assert house.rows(tables.history) != []
    assert {row.account for row in house.rows(tables.history)} <= set(IN)


def test_a_goal_is_watched_over_a_restart_after_the_playbook_has_lost_it(house: House) -> None:
    house.save(book(holdout=HALF, goal=GOAL))
    start(house, OUT[0], IN[0])
    house.save(book())
    house.restart()
    house.post(*(event("paid", T0 + DAY, name) for name in (OUT[0], IN[0])))
    house.settle()
    assert [play.goal_reached_at for play in played(house).values()] == [T0 + DAY] * 2


def test_a_goal_in_the_batch_of_its_trigger_counts_once(house: House) -> None:
    house.save(book(holdout=HALF, goal=GOAL))
    for name in (OUT[0], IN[0]):
        (place,) = house.post(account(T0, name))
        house.fire(T0, place, account=name)
        house.post(event("paid", T0 + 5, name, id="p"), event("paid", T0 + 5, name, id="p"))
        house.post(event("paid", T0 + 9, name, id="q"))
    house.settle()
    assert [play.goal_reached_at for play in played(house).values()] == [T0 + 5] * 2


def test_an_account_that_was_merged_is_watched_no_more(house: House) -> None:
    house.save(book(holdout=HALF, goal=GOAL))
    (place,) = house.post(account(name="a"))
    house.fire(T0, place, account="a")
    house.settle()
    merged(house, at=T0 + DAY)
    house.settle()
    (row,) = (row for row in house.rows(PLAYS) if row.account == "a")
    assert row.began_at == T0
    assert row.goal_until is None
    with house.db.read() as conn:
        groups = impact.groups(conn, "book", None, T0 + 100 * DAY)
    assert sum(group.plays for group in groups) == 1
    assert sum(group.complete for group in groups) == 0


def test_the_erased_are_not_counted(house: House) -> None:
    house.save(book(holdout=HALF, goal=GOAL))
    start(house, OUT[0], OUT[1], IN[0])
    house.post(event("account.deleted", T0 + DAY, OUT[0]), event("account.deleted", T0 + DAY, IN[0]))
    house.settle()
    with house.db.read() as conn:
        treated, held_out = impact.groups(conn, "book", None, T0 + 100 * DAY)
    assert (treated.plays, held_out.plays) == (0, 1)


def test_a_play_leaves_once_its_goal_s_time_is_long_over_too(house: House) -> None:
    house.save(book(steps=[{"wait": "0s"}], holdout=HALF, goal={"event": "paid", "within": "30d"}))
    start(house, OUT[0], IN[0])
    carry(house, 401)
    assert len(house.rows(PLAYS)) == 2
    carry(house, 431)
    assert house.rows(PLAYS) == []


def some_play(rng: random.Random, number: int) -> Play:
    began = rng.choice([None, T0 + rng.randint(0, 5) * DAY, T0 + rng.randint(0, 5) * DAY])
    until = rng.choice([None, T0 + rng.randint(0, 20) * DAY])
    status: Any = (
        "skipped" if began is None else rng.choice(["held_out", "held_out", "open", "finished", "exited"])
    )
    return Play(
        id=f"p{number}", playbook=rng.choice(["book", "book", "other"]), playbook_version=rng.randint(1, 2), rule="r",
        trigger_id=f"t{number}", account=f"a{rng.randint(0, 30)}", contact=None, key=None, tier="low", status=status,
        started_at=T0, began_at=began, goal_until=until, partition=rng.randint(0, 1),
        goal_reached_at=None if until is None else rng.choice([None, until - 1]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_the_tables_count_as_the_slow_way_does(house: House, seed: int) -> None:
    rng = random.Random(seed)
    given = [some_play(rng, number) for number in range(120)]
    now = T0 + 9 * DAY
    with house.db.write() as conn:
        conn.execute(insert(PLAYS), [play_row(one) for one in given])
    mine = [one for one in given if one.playbook == "book"]
    first = {}
    for one in sorted((one for one in mine if one.began_at is not None), key=lambda one: one.began_at or 0):
        first.setdefault(one.account, one)
    with house.db.read() as conn:
        assert impact.groups(conn, "book", None, now) == groups_of(mine, now)
        for version in (1, 2, 3):
            of_it = [one for one in first.values() if one.playbook_version == version]
            assert impact.groups(conn, "book", version, now) == groups_of(of_it, now)
        assert len(conn.execute(PLAYS.select().with_only_columns(*PLAY_COLUMNS)).all()) == len(given)


def test_by_the_log_clock_each_partition_tells_what_is_over(house: House) -> None:
    house.save(book(holdout=HALF, goal=GOAL))
    start(house, *NAMES)
    ahead = T0 + SECOND + 7 * DAY
    house.post(Event(type="other", account=NAMES[0], time=from_microseconds(ahead), source="t", id="x"))
    house.settle()
    clocks = {row.partition: row.clock for row in house.rows(partitions)}
    assert sorted(clock >= ahead for clock in clocks.values()) == [False, True]
    over = [row for row in house.rows(PLAYS) if clocks[row.partition] >= ahead]
    with house.db.read() as conn:
        groups = impact.groups(conn, "book", None, None)
    assert sum(group.complete for group in groups) == len(over) > 0
    assert sum(group.plays for group in groups) == len(NAMES)


def test_over_the_api(house: House, client: TestClient) -> None:  # noqa: F811
    body = {"name": "book", "steps": [{"task": {"title": "Call"}}], "holdout": HALF, "goal": GOAL}
    assert client.post("/v1/playbooks", json=body).status_code == 201
    house.worker.library.stale = True
    start(house, *NAMES)
    house.post(event("paid", T0 + DAY, OUT[0]), event("paid", T0 + DAY, IN[0]))
    carry(house, 8)
    found = client.get("/v1/playbooks/book/impact").json()
    assert found["treated"] == {
        "plays": len(IN), "complete": len(IN), "reached": 1, "rate": pytest.approx(1 / len(IN)),
    }  # fmt: skip
    assert found["holdout"]["reached"] == 1
    assert (found["verdict"], found["lift"]["level"]) == ("too_few", 0.95)
    assert found["sentence"].startswith("Too few to tell: ")
    assert client.get("/v1/playbooks/book/impact?version=1").json() == found
    for path, status in (("no/impact", 404), ("book/impact?version=2", 404), ("book/impact?version=0", 422),
                         ("book/impact?since=1", 422)):  # fmt: skip
        assert client.get(f"/v1/playbooks/{path}").status_code == status, path
    reader = create_key(house.db, house.clock, "rules", ["rules:read"])
    refused = client.get("/v1/playbooks/book/impact", headers={"Authorization": f"Bearer {reader}"})
    assert refused.status_code == 403
    plays = client.get("/v1/plays?status=held_out&reason=held_out").json()["items"]
    assert {play["account"] for play in plays} == set(OUT)
    (mine,) = (play["id"] for play in plays if play["account"] == OUT[0])
    play = client.get(f"/v1/plays/{mine}").json()
    assert (play["actions"], play["goal_until"]) == ([], "2026-01-08T00:00:01Z")
    assert [entry["reason"] for entry in play["history"]] == ["held_out", "goal_reached"]
    assert client.post(f"/v1/plays/{play['id']}/exit").status_code == 409


def test_without_a_holdout_or_a_goal(house: House, client: TestClient) -> None:  # noqa: F811
    client.post("/v1/playbooks", json={"name": "book", "steps": [{"task": {"title": "Call"}}]})
    start(house, NAMES[0])
    found = client.get("/v1/playbooks/book/impact").json()
    assert (found["verdict"], found["lift"], found["needed"]) == ("no_holdout", None, None)
    assert found["treated"] == {"plays": 1, "complete": 0, "reached": 0, "rate": None}
    assert found["sentence"] == "The playbook has no goal, so nothing tells what it does."


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"holdout": 51}, "holdout"),
        ({"holdout": -1}, "holdout"),
        ({"holdout": True}, "holdout"),
        ({"holdout": "10"}, "holdout"),
        ({"goal": {"event": "paid"}}, "goal.within"),
        ({"goal": {"event": "paid", "within": "0d"}}, "goal.within"),
        ({"goal": {"event": "paid", "within": "1mo"}}, "goal.within"),
        ({"goal": {"within": "1d"}}, "goal.event"),
        ({"goal": {"event": "paid", "within": "1d", "by": "invoice"}}, "goal.by"),
        ({"goal": {"event": "paid", "within": "1d", "at_least": 3}}, "goal.at_least"),
    ],
)
def test_refusals_name_the_field(client: TestClient, fields: Any, wrong: str) -> None:  # noqa: F811
    answer = client.post("/v1/playbooks", json={"name": "book", "steps": [], **fields})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [wrong]


def test_doubtful_goals_are_warned_of(client: TestClient) -> None:  # noqa: F811
    def doubted(**fields: Any) -> list[str]:
        body = {"name": "book", "steps": [{"task": {"title": "Call"}}], **fields}
        return [one["field"] for one in client.post("/v1/playbooks/check", json=body).json()["warnings"]]

    own = {"event": "touchline.task.completed", "within": "1d"}
    assert doubted(holdout=10) == ["holdout"]
    assert doubted(holdout=10, goal=own) == ["goal.event"]
    assert doubted(goal={"event": "account.deleted", "within": "1d"}) == ["goal.event"]
    assert doubted(goal=own) == doubted(holdout=0) == doubted(holdout=10, goal=GOAL) == []


def test_a_goal_that_is_reached_counts_no_play_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(worker, "count_plays", lambda written: counted.extend(one.account for one in written))
    house.save(book(holdout=HALF, goal=GOAL))
    start(house, OUT[0], IN[0])
    assert sorted(counted) == sorted([OUT[0], IN[0]])
    house.post(*(event("paid", T0 + DAY, name) for name in (OUT[0], IN[0])))
    house.settle()
    assert [play.goal_reached_at for play in played(house).values()] == [T0 + DAY] * 2
    assert len(counted) == 2
