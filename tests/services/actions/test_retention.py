"""Old history leaves at the daily tick; what is open stays, and so does what history had an effect on."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import insert

from backbone.log import EVENTS
from schemas.event import FORGOTTEN, Event, from_microseconds
from services.actions import tables
from services.actions.plays.model import play_id
from services.actions.status import status
from services.actions.storage import retention, task_rows
from services.actions.storage.retention import KEPT_US
from tests.services.actions.kit import ACTIONS, ATTEMPTS, PLAYS, TASKS, House
from tests.unit.plays.kit import DAY, T0, account, book, event

KEPT = KEPT_US // DAY
CALL, HOOK = {"task": {"title": "Call"}}, {"webhook": {"endpoint": "crm", "body": {}}}


def carry(house: House, day: float) -> None:
    """The clock is carried there; all that follows is done."""
    at = T0 + round(day * DAY)
    house.tick(Event(id=f"clock-{at}", type="touchline.clock", time=from_microseconds(at)))
    house.settle(6)


def played(house: House, *steps: Any, at: int = T0, **more: Any) -> str:
    """A play; the trigger's id."""
    house.save(book(steps=list(steps), **more))
    (place,) = house.post(account(at))
    trigger = house.fire(at, place)
    house.settle()
    return trigger


def left(house: House) -> dict[str, int]:
    tables_ = {
        "plays": PLAYS,
        "actions": ACTIONS,
        "attempts": ATTEMPTS,
        "tasks": TASKS,
        "history": tables.history,
    }
    return {name: len(house.rows(table)) for name, table in tables_.items() if house.rows(table)}


def forgotten(house: House) -> list[str]:
    """The triggers that rules are told to forget, by the records on the log."""
    decode = msgspec.json.Decoder(Event).decode
    found = []
    for partition in range(house.log.partitions):
        for record in house.log.read(EVENTS, partition, 0, 10_000):
            one = decode(record.value)
            if one.type == FORGOTTEN:
                assert (record.key, one.account) == (None, None)
                found += one.data["triggers"]
    return found


def done(house: House, status_: str = "done") -> None:
    """Every action ended, with an attempt each."""
    rows = house.rows(ACTIONS)
    with house.db.write() as conn:
        for row in rows:
            conn.execute(insert(ATTEMPTS), [{"action": row.id, "n": 1, "started_at": T0}])
            conn.execute(ACTIONS.update().where(ACTIONS.c.id == row.id).values(status=status_))


def test_an_ended_play_leaves_with_all_of_it_at_the_tick_and_not_before(house: House) -> None:
    trigger = played(house, HOOK, {"wait": "0s"})
    done(house)
    carry(house, KEPT - 0.001)
    assert left(house) == {"plays": 1, "actions": 1, "attempts": 1, "history": 1}
    assert forgotten(house) == []
    carry(house, KEPT)
    assert (left(house), forgotten(house)) == ({}, [trigger])
    carry(house, KEPT + 2)
    assert forgotten(house) == [trigger]


def test_what_ended_a_little_later_leaves_a_day_later(house: House) -> None:
    played(house, HOOK, at=T0 + 1)
    done(house)
    carry(house, KEPT + 0.9)
    assert left(house) == {"plays": 1, "actions": 1, "attempts": 1}
    carry(house, KEPT + 1)
    assert left(house) == {}


@pytest.mark.parametrize(
    ("steps", "unsent", "stays"),
    [
        ([{"wait": "900d"}], None, {"plays": 1}),
        ([CALL], None, {"plays": 1, "actions": 1, "tasks": 1}),
        ([HOOK], "retrying", {"plays": 1, "actions": 1, "attempts": 1}),
    ],
)
def test_what_is_open_stays_with_its_trigger(
    house: House, steps: Any, unsent: str | None, stays: dict[str, int]
) -> None:
    played(house, *steps)
    if unsent:
        done(house, unsent)
    carry(house, KEPT + 5)
    assert (left(house), forgotten(house)) == (stays, [])


def test_a_play_leaves_once_its_task_is_over_and_the_task_in_its_own_time(house: House) -> None:
    trigger = played(house, CALL)
    carry(house, KEPT + 1)
    (task,) = house.rows(TASKS)
    with house.db.write() as conn:
        from schemas.task import CompleteIn

        task_rows.complete(conn, task.id, CompleteIn(), "me", T0 + (KEPT + 1) * DAY)
    carry(house, KEPT + 2)
    assert (left(house), forgotten(house)) == ({"tasks": 1}, [trigger])
    carry(house, 2 * KEPT + 1)
    assert left(house) == {}


def test_tasks_that_a_play_closed_leave_with_it(house: House) -> None:
    played(house, CALL, exit_when={"event": "paid"})
    house.post(event("paid", T0 + DAY))
    house.pass_all()
    house.settle()
    carry(house, KEPT)
    assert left(house) == {"tasks": 1}  # closed a day after its play had finished
    carry(house, KEPT + 1)
    assert left(house) == {}


def test_skipped_and_exited_plays_leave_too(house: House) -> None:
    house.save(book(steps=[{"wait": "900d"}], exit_when={"event": "paid"}))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    (again,) = house.post(event("other", T0 + 1))
    house.fire(T0 + 1, again)  # skipped: a play is open
    house.pass_all()
    house.settle()
    house.post(event("paid", T0 + 2))
    house.pass_all()
    house.settle()
    assert {play.status for play in house.rows(PLAYS)} == {"exited", "skipped"}
    carry(house, KEPT + 1)
    assert (left(house), len(forgotten(house))) == ({}, 2)


def test_more_than_one_transaction_holds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    house.save(book(steps=[HOOK]))
    (place,) = house.post(account())
    for n in range(10):
        house.fire(T0, place, key=f"k{n}")
    house.settle()
    done(house)
    carry(house, KEPT)
    assert (left(house), len(set(forgotten(house)))) == ({}, 10)


def test_status_is_not_idle_before_it_has_left(house: House) -> None:
    played(house, HOOK)
    done(house)

    def idle() -> bool:
        return bool(status(house.db, house.log, house.clock, log_clock=True)["idle"])

    carry(house, KEPT - 1)
    assert idle()
    house.worker._retention.sweep = lambda *_: False  # type: ignore[method-assign]
    carry(house, KEPT)
    assert not idle()
    house.restart()
    house.settle()
    assert (left(house), idle()) == ({}, True)


def test_what_was_still_to_be_sent_leaves_once_it_was_and_not_a_day_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the log's clock a year may pass before a mail is out; which plays are left must not depend on that."""
    monkeypatch.setattr(retention, "SOON_S", 0.0)
    monkeypatch.setattr(retention, "LATER_S", 0.0)
    trigger = played(house, HOOK)
    carry(house, KEPT)
    assert left(house) == {"plays": 1, "actions": 1}
    with house.db.read() as conn:
        assert {row.swept for row in conn.execute(tables.partitions.select())} > {
            T0 + KEPT * DAY
        }  # it is due
    later = house.clock.now() + DAY
    with house.db.write() as conn:
        conn.execute(ACTIONS.update().values(status="retrying", next_attempt_at=later))
    house.settle()
    with house.db.read() as conn:
        assert {row.swept for row in conn.execute(tables.partitions.select())} == {
            T0 + KEPT * DAY
        }  # nothing can be done
    house.restart()
    house.settle()
    assert left(house) == {"plays": 1, "actions": 1}
    with house.db.write() as conn:
        conn.execute(ACTIONS.update().values(status="done", next_attempt_at=None))
    house.settle()
    assert (left(house), forgotten(house)) == ({}, [trigger])


def test_a_trigger_that_comes_again_starts_nothing_anew(house: House) -> None:
    trigger = played(house, HOOK)
    done(house)
    carry(house, KEPT)
    assert left(house) == {}
    place = next(one for one in _places(house))
    house.fire(T0, place)  # the same id as before
    house.settle()
    assert left(house) == {}
    assert play_id(trigger, "book")


def _places(house: House) -> list[tuple[int, int]]:
    """Where acme's events lie."""
    from backbone.log import partition_for

    partition = partition_for("acme", house.log.partitions)
    return [
        (partition, record.offset)
        for record in house.log.read(EVENTS, partition, 0, 10)
        if record.key == "acme"
    ]


def test_by_the_wall_clock_also_where_nothing_happens(build: Any) -> None:
    house = build(mode="wall")
    house.clock.set(T0)
    house.save(book(steps=[HOOK]))
    with house.db.write() as conn:
        play = {
            "id": "ply_1", "partition": 0, "playbook": "book", "rule": "r", "trigger_id": "trg_1", "account": "acme",
            "scope": "account", "tier": "low", "topic": "t", "status": "finished", "started_at": T0, "ended_at": T0 + 5,
            "trigger": {}, "templates": {},
        }  # fmt: skip
        conn.execute(insert(PLAYS), [play])
    house.work()
    house.clock.set(T0 + (KEPT + 1) * DAY - 1)
    house.work()
    assert left(house) == {"plays": 1}
    house.clock.set(T0 + (KEPT + 1) * DAY)
    house.work()
    assert (left(house), forgotten(house)) == ({}, ["trg_1"])
