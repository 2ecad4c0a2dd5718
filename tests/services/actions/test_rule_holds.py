"""A rule that holds its plays, from the place of one save to that of another, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Column, MetaData, Table, insert, select

from backbone.database import Database
from backbone.log import EVENTS, Entry
from backbone.migrations import check_schema, migrate
from backbone.ownership import Fenced
from schemas.event import RULES_SAVED, Event, encode, from_microseconds
from services.actions.api import holding
from services.actions.delivery.attempt_writer import Batch
from services.actions.status import status
from services.actions.storage.batch_holds import BatchHolds
from services.actions.tables import holds, metadata
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.services.actions.test_holding import by_status, fire, leased, verb, write
from tests.services.actions.test_rule_pauses import paused, told
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

STEPS: list[dict[str, Any]] = [
    {"email": {"template": "hello"}},
    {"wait": "1d"},
    {"task": {"title": "Call"}},
    {"email": {"template": "final"}},
]


NEW = ("partition", "revision")  # columns of holds
ON_SQLITE = pytest.mark.parametrize("database", [None])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "BEGINS_S", 0.0)


def saved(revision: int, *, holds: bool, rule: str = "rule", **more: Any) -> Event:
    data = {"revision": revision, "rule": rule, "holds": holds, **more}
    name = f"revision-{revision}"
    return Event(id=name, source="touchline", type=RULES_SAVED, time=from_microseconds(T0), data=data)


def save_rule(house: House, revision: int, *, holds: bool, rule: str = "rule", **more: Any) -> None:
    house.tick(saved(revision, holds=holds, rule=rule, **more))
    house.settle()


def to(house: House, at: int) -> None:
    house.tick(event("touchline.clock", at))
    house.settle()


def stored(house: House) -> list[tuple[str, str, int, str | None, int, int]]:
    return [
        (row.kind, row.name, row.partition, row.paused, row.generation, row.revision)
        for row in house.rows(holds)
    ]


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every second commit of a rule's change fails after it was written."""
    verify, tried = BatchHolds.verify, [0]

    def failing(self: BatchHolds, conn: Any, wall: int) -> list[str]:
        changes = bool(self._changed)
        result = verify(self, conn, wall)
        tried[0] += changes
        if changes and tried[0] % 2:
            raise Fenced("as if the process had died")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(BatchHolds, "verify", failing)
        yield tried


def test_open_plays_stand_still_and_new_ones_are_held_until_the_rule_is_active(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 3)
    fire(house, 1, "o", rule="other")
    save_rule(house, 7, holds=True)
    house.tick(paused("hold"))
    fire(house, 4, "b")
    assert told(house) == (3, 3, house.log.partitions)
    assert by_status(house) == {"open": 4, "held rule_paused": 4}
    assert [one.account for one in leased(house)] == ["o0"], "nothing of the rule is sent"
    to(house, T0 + 2 * DAY)
    assert [row.account for row in house.rows(TASKS)] == ["o0"], "a wait that ran out is acted on later"
    order = {row.account: row.seq for row in house.rows(PLAYS) if row.status == "held"}
    save_rule(house, 8, holds=False)
    to(house, T0 + 2 * DAY + 1)
    assert by_status(house) == {"finished completed": 4, "open": 4}
    assert sorted(row.account for row in house.rows(TASKS)) == ["a0", "a1", "a2", "o0"]
    began = [one.account for one in house.told() if one.type == "touchline.play.started"]
    for number in range(house.log.partitions):
        mine = [row.account for row in house.rows(PLAYS) if row.partition == number]
        late = [one for one in began if one in order and one in mine]
        assert late == sorted(late, key=lambda one: order[str(one)])
    assert {row.started_at for row in house.rows(PLAYS) if row.account in order} == {T0 + 2 * DAY}
    leased(house)
    waiting = [row for row in house.rows(ACTIONS) if row.channel == "email" and row.lease_owner is None]
    assert waiting == []


def test_whatever_dies_it_is_held_and_let_go_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.save(book(steps=STEPS))
    fire(house, 4)
    with dying(monkeypatch) as tried:
        for revision, on in ((3, True), (4, False), (5, True)):
            house.tick(saved(revision, holds=on))
            for _ in range(6):
                with suppress(Fenced):
                    house.worker.run_once()
                house.restart()
            house.settle()
            assert by_status(house) == {"open": 4}
        fire(house, 3, "b")
        assert leased(house) == []
        house.tick(saved(6, holds=False))
        for _ in range(6):
            with suppress(Fenced):
                house.worker.run_once()
            house.restart()
        house.settle()
    assert tried[0] >= 8, "each change was tried again"
    assert stored(house) == [("rule", "rule", n, None, 4, 6) for n in range(house.log.partitions)]
    assert by_status(house) == {"open": 7}
    assert len(leased(house)) == 7
    to(house, T0 + 3 * DAY)
    assert by_status(house) == {"finished completed": 7}
    assert len(house.rows(TASKS)) == 7


@ON_SQLITE
def test_records_that_come_again_or_late_change_nothing(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps=STEPS))
    fire(house, 2)
    save_rule(house, 3, holds=True)
    one, two = (row.id for row in house.rows(PLAYS))
    verb(client, f"plays/{one}/release")
    rows = stored(house)
    for revision in (3, 4, 2):  # twice paused is once held: what was released meanwhile stays so
        save_rule(house, revision, holds=True)
    save_rule(house, 1, holds=False)
    assert stored(house) == rows
    assert [one.play for one in leased(house)] == [one]
    save_rule(house, 5, holds=False)
    assert [one.play for one in leased(house)] == [two]
    save_rule(house, 4, holds=True)
    fire(house, 1, "b")
    assert by_status(house) == {"open": 3}


@ON_SQLITE
def test_a_pause_that_lets_them_go_on_holds_nothing(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 2)
    save_rule(house, 1, holds=False)
    house.tick(paused("go_on"))
    good = {"revision": 2, "rule": "rule", "holds": True}
    odds: list[Any] = [
        None,
        [],
        {"revision": 1},
        good | {"rule": "a\0b"},
        good | {"revision": "2"},
        good | {"holds": 1},
    ]
    for data in odds:
        odd = saved(2, holds=True)
        odd.data = data
        house.tick(odd)
    house.settle()
    fire(house, 1, "b")
    assert house.rows(holds) == []
    assert by_status(house) == {"open": 3}
    assert len(leased(house)) == 3


@ON_SQLITE
def test_it_is_held_in_each_partition_from_its_own_place_on(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 6)
    house.log.append(EVENTS, [Entry(partition=0, value=encode(saved(3, holds=True)))]).result(10)
    house.settle()
    assert {row.partition for row in house.rows(PLAYS)} == {0, 1}
    assert {row.partition for row in house.rows(ACTIONS) if row.parked} == set()
    assert {row.partition for row in leased_rows(house)} == {1}
    to(house, T0 + 2 * DAY)
    assert {(row.partition, row.status) for row in house.rows(PLAYS)} == {(0, "open"), (1, "finished")}
    house.log.append(EVENTS, [Entry(partition=1, value=encode(saved(3, holds=True)))]).result(10)
    house.log.append(EVENTS, [Entry(partition=0, value=encode(saved(4, holds=False)))]).result(10)
    house.settle()
    assert stored(house) == [("rule", "rule", 0, None, 2, 4), ("rule", "rule", 1, "rule_paused", 1, 3)]
    assert by_status(house) == {"finished completed": 6}
    to(house, T0 + 2 * DAY + 1)
    assert {row.partition for row in leased_rows(house)} == {0}, "mails of finished plays wait too"


def leased_rows(house: House) -> list[Any]:
    mine = {one.id for one in leased(house)}
    return [row for row in house.rows(ACTIONS) if row.id in mine]


@ON_SQLITE
def test_the_place_in_the_merged_order_decides(house: House) -> None:
    """A play of a trigger from before the pause begins and stands still, however late it is read."""
    house.save(book(steps=STEPS))
    (before,) = house.post(account(T0, "a1"))
    house.tick(saved(3, holds=True))
    house.fire(T0, before, account="a1")
    house.settle()
    (after,) = house.post(account(T0, "a2"))
    house.fire(T0, after, account="a2")
    house.settle()
    assert [(row.account, row.status) for row in house.rows(PLAYS)] == [("a1", "open"), ("a2", "held")]
    assert leased(house) == []


@ON_SQLITE
def test_one_play_is_released_or_discarded_while_the_rule_holds_the_others(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=STEPS))
    save_rule(house, 3, holds=True)
    fire(house, 3)
    one, two, three = (row.id for row in house.rows(PLAYS))
    verb(client, f"plays/{one}/release")
    gone = verb(client, f"plays/{two}/discard")
    assert (gone["status"], gone["reason"]) == ("skipped", "discarded")
    house.settle()
    assert [action.play for action in leased(house)] == [one]
    to(house, T0 + 2 * DAY)
    assert by_status(house) == {"finished completed": 1, "skipped discarded": 1, "held rule_paused": 1}
    detail = client.get(f"/v1/plays/{three}").json()
    assert (detail["status"], detail["reason"]) == ("held", "rule_paused")
    save_rule(house, 4, holds=False)
    assert by_status(house) == {"finished completed": 1, "skipped discarded": 1, "open": 1}


def test_neither_the_playbook_nor_the_rule_lets_go_what_the_other_holds(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=STEPS))
    fire(house, 1, "s")
    verb(client, "playbooks/book/pause")
    fire(house, 2)
    assert by_status(house) == {"open": 1, "held paused": 2}
    for _ in range(3):  # the stamps of the playbook outgrow those of the rule
        verb(client, "playbooks/book/resume", held="release")
        verb(client, "playbooks/book/pause")
    save_rule(house, 3, holds=True)
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert by_status(house) == {"open": 1, "held rule_paused": 2}
    assert leased(house) == []
    assert status(house.db, house.log, house.clock, log_clock=True)["idle"]
    verb(client, "playbooks/book/pause")
    save_rule(house, 4, holds=False)
    assert by_status(house) == {"open": 1, "held paused": 2}
    assert leased(house) == []
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert by_status(house) == {"open": 3}
    assert len(leased(house)) == 3


@ON_SQLITE
def test_held_plays_end_by_their_exit_and_after_held_for(house: House) -> None:
    """As those of a rule that was deleted, which nobody makes active again."""
    house.save(book(steps=STEPS, exit_when={"event": "paid"}, held_for="3d"))
    fire(house, 1, "s")
    save_rule(house, 3, holds=True)
    fire(house, 3)
    house.post(event("paid", T0 + 1, "a0"), event("paid", T0 + 1, "s0"))
    house.settle()
    assert by_status(house) == {"exited exit_event": 2, "held rule_paused": 2}
    to(house, T0 + 4 * DAY)
    assert by_status(house) == {"exited exit_event": 2, "skipped held_too_long": 2}
    save_rule(house, 4, holds=False)
    assert by_status(house) == {"exited exit_event": 2, "skipped held_too_long": 2}
    assert leased(house) == []


@ON_SQLITE
def test_a_turn_and_what_ends_held_plays_come_in_one_poll(house: House) -> None:
    """Those that end after the rule was let go end, and those that end before were never let go."""
    house.save(book(steps=STEPS, exit_when={"event": "paid"}, held_for="3d"))
    save_rule(house, 3, holds=True)
    fire(house, 4)
    house.post(event("paid", T0 + 1, "a0"))
    entries = [Entry(partition=p, value=encode(saved(4, holds=False))) for p in range(house.log.partitions)]
    house.log.append(EVENTS, entries).result(10)
    house.post(event("paid", T0 + 2, "a1"), event("touchline.clock", T0 + 9 * DAY, "a2"))
    house.settle()
    found = {row.account: (row.status, row.reason) for row in house.rows(PLAYS)}
    assert found["a0"] == ("exited", "exit_event")
    assert found["a1"] == ("exited", "exit_event")


@ON_SQLITE
def test_exit_ends_what_is_held(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 2, "s")
    save_rule(house, 3, holds=True)
    fire(house, 2)
    house.tick(paused("exit", pause="pause_2"))
    house.settle()
    assert told(house, "pause_2") == (4, 2, house.log.partitions)
    assert by_status(house) == {"exited rule_paused": 4}
    save_rule(house, 4, holds=False)
    assert by_status(house) == {"exited rule_paused": 4}
    assert leased(house) == []


@ON_SQLITE
def test_no_send_begins_after_the_pause(house: House) -> None:
    house.save(book(steps=STEPS))
    fire(house, 2)
    one, two = leased(house)
    assert list(write(house, Batch(begins=[one])).begun) == [one.id]
    save_rule(house, 3, holds=True)
    assert list(write(house, Batch(begins=[two])).begun) == []
    row = next(row for row in house.rows(ACTIONS) if row.id == two.id)
    assert (row.status, row.next_attempt_at, row.attempting, row.parked) == ("pending", None, False, True)
    save_rule(house, 4, holds=False)
    assert [action.id for action in leased(house)] == [two.id]


def test_by_the_wall_clock_they_go_on_once_the_rule_is_active(build: Any) -> None:
    house = build(mode="wall")
    house.save(book(steps=STEPS))
    fire(house, 1)
    save_rule(house, 3, holds=True)
    fire(house, 1, "b")
    began = house.rows(PLAYS)[0].started_at  # by the log's own time
    house.clock.set(began + 5 * DAY)
    house.settle()
    assert by_status(house) == {"open": 1, "held rule_paused": 1}
    assert (leased(house), house.rows(TASKS)) == ([], [])
    save_rule(house, 4, holds=False)
    house.clock.set(began + 5 * DAY + 10 * SECOND)
    house.settle()
    assert by_status(house) == {"finished completed": 1, "open": 1}
    assert len(house.rows(TASKS)) == 1
    assert len(leased(house)) == 3


def test_what_was_paused_before_the_upgrade_stays_so(tmp_path: Path, database: str | None) -> None:
    db = Database(database or f"sqlite:///{tmp_path / 'old.db'}")
    for room in ("backbone", "actions"):
        migrate(db, room, "a012" if room == "actions" else "head")
    old = Table(
        "actions_holds",
        MetaData(schema="actions"),
        *[Column(one.name) for one in holds.c if one.name not in NEW],
    )
    row = {"kind": "playbook", "name": "book", "paused": "paused", "reason": "wrong", "paused_by": "jo",
           "paused_at": T0, "generation": 3, "stamp": 4, "counted_after": 5}  # fmt: skip
    with db.write() as conn:
        conn.execute(insert(old).values(**row))
    migrate(db, "actions")
    with db.read() as conn:
        assert [dict(one._mapping) for one in conn.execute(select(holds))] == [
            row | {"partition": -1, "revision": 0}
        ]
    check_schema(db, "actions", metadata)
    db.close()
