"""How deep the events are that tell of plays, actions and tasks: in the database and on the log."""

from typing import Any

import pytest

from schemas.task import CompleteIn
from services.actions.plays.retry_policy import Decision
from services.actions.storage import attempts
from services.actions.storage.task_rows import complete, completed_event
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.services.leases import lease_due
from tests.unit.plays.kit import T0, account, book

STEPS = [
    {"task": {"title": "Call"}},
    {"email": {"template": "hello"}},
    {"webhook": {"endpoint": "crm", "body": {"a": "b"}}},
]


@pytest.mark.parametrize("depth", [0, 2])
def test_events_are_one_deeper_than_the_trigger(house: House, depth: int) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place, depth=depth)
    house.settle()
    house.restart()
    _carry_out(house, {"email": ("done", None), "webhook": ("failed", "rejected")})
    house.settle()
    (task,) = house.rows(TASKS)
    told = {event.type.removeprefix("touchline."): event.data["depth"] for event in house.told()}
    assert told == dict.fromkeys(
        ("play.started", "task.created", "play.finished", "email.sent", "webhook.failed"), depth + 1
    )
    with house.db.write() as conn:
        complete(conn, task.id, CompleteIn(), "me", T0)
    (task,) = house.rows(TASKS)
    done = completed_event(task, place[1]).data
    assert (done["depth"], done["place"]) == (0, place[1])
    assert {event.data["place"] for event in house.told()} == {place[1]}
    assert [play.depth for play in house.rows(PLAYS)] == [depth]


def test_what_people_did_has_no_depth(house: House) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place, depth=2)
    house.settle()
    _carry_out(house, {"email": ("failed", "bounced"), "webhook": ("done", None)})
    house.settle()
    told = {event.type.removeprefix("touchline."): event.data["depth"] for event in house.told()}
    assert (told["email.bounced"], told["webhook.delivered"]) == (0, 3)


def _carry_out(house: House, ends: dict[str, tuple[Any, str | None]]) -> None:
    """What the delivery loop would have written of the actions of these channels."""
    with house.db.write() as conn:
        ids = {row.id: ends[row.channel] for row in house.rows(ACTIONS) if row.channel in ends}
        assert {one.id for one in lease_due(conn, house.clock.now(), "me", 10)} == ids.keys()
        attempts.start_attempts(conn, list(ids), "me", house.clock.now())
        finished = [
            attempts.Finished(
                action=one, n=1, outcome=status, decision=Decision(status=status, reason=reason)
            )
            for one, (status, reason) in ids.items()
        ]
        attempts.finish_attempts(
            conn, finished, "me", house.clock.now(), partitions=house.log.partitions, log_clock=True
        )
