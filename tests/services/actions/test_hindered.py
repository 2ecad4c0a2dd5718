"""The worker where the log, the machine or a stored playbook is odd: it stops for nobody else's sake."""

import errno
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from schemas.event import Event, from_microseconds
from services.actions.metrics import PLAYBOOK_UNHEALTHY
from services.actions.storage.library import PLAYBOOKS
from services.actions.tables import documents
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

STEPS = [{"task": {"title": "Call"}}, {"email": {"template": "hello"}}]


def test_wall_clock_a_wait_is_acted_on_behind_what_is_no_event(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka's transaction markers, of other programs, have offsets too: no wait fell due until the next event."""
    house = build(mode="wall")
    house.clock.set(2**50)
    house.save(book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    (play,) = house.rows(PLAYS)
    consumer = house.worker.consumer
    ends, positions = consumer.end_offsets, consumer.positions
    read = 0
    monkeypatch.setattr(consumer, "end_offsets", lambda: {lane: end + 1 for lane, end in ends().items()})
    monkeypatch.setattr(consumer, "positions", lambda: {lane: at + read for lane, at in positions().items()})
    house.clock.set(play.due_at + 2 * SECOND)
    house.work()  # the marker has not been read: it might be an event
    assert not house.rows(ACTIONS)
    read = 1
    house.work()
    assert [row.due_at for row in house.rows(ACTIONS)] == [play.due_at]


def test_a_machine_at_its_limits_stops_the_worker_for_a_while_only(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process can be started, no file opened: what the machine refuses now it may grant in a moment."""
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.pass_all()
    real, refused = house.renderer.render_many, threading.Event()

    def fail(jobs: Any) -> Any:
        if not refused.is_set():
            refused.set()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(jobs)

    monkeypatch.setattr(house.renderer, "render_many", fail)
    house.worker.start()
    try:
        deadline = time.monotonic() + 30
        while not house.rows(ACTIONS):
            assert house.worker.failure is None
            assert time.monotonic() < deadline
    finally:
        house.worker.stop()
    assert refused.is_set()
    assert len(house.rows(PLAYS)) == 1


def test_long_work_stays_in_the_group(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka gives up a member that does not poll for five minutes: a mail to thousands would never be written."""
    monkeypatch.setattr("services.actions.storage.write_batch.RENDERED_AT_ONCE", 2)
    rendered = house.renderer.rendered
    stayed: set[int] = set()
    monkeypatch.setattr(house.worker.consumer, "stay", lambda: stayed.add(len(rendered)))
    house.save(book(steps=[{"email": {"template": "hello", "to": "all"}}]))
    (place,) = house.post(account(contacts=[{"id": f"c{n}", "email": f"c{n}@acme.test"} for n in range(5)]))
    house.fire(T0, place)
    house.settle()
    assert len(house.rows(ACTIONS)) == 5
    assert stayed >= {0, 2, 4}


WAITING = book(
    exit_when={"event": "paid", "by": "data.invoice"},
    steps=[
        {"task": {"title": "Call"}},
        {"wait": {"for": "1d", "until": {"event": "login"}}},
        {"email": {"template": "hello"}},
    ],
)


def strained(house: House, *, well: bool = False) -> None:
    """Another program comes, whose schema refuses the stored playbook; `well`: one that reads it again."""
    versions = documents.versions
    with house.db.write() as conn:
        doc = dict(PLAYBOOKS.fetch(conn, "book").doc)
        doc.pop("mood", None)
        changed = update(versions).where(versions.c.name == "book")
        conn.execute(changed.values(doc=doc if well else doc | {"mood": "grim"}))
    house.restart()


def pass_days(house: House, days: int) -> None:
    at = T0 + days * DAY
    house.tick(Event(id=f"clock-{at}", type="touchline.clock", time=from_microseconds(at)))
    house.settle()


def shown() -> float:
    return PLAYBOOK_UNHEALTHY.labels("book")._value.get()


def test_a_stored_playbook_that_cannot_be_read_stops_only_its_own_plays(house: House) -> None:
    house.save(WAITING)
    house.save(book("other"))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    strained(house)
    (place,) = house.post(event("noise", T0))
    house.fire(T0, place, id="trg_new", key="new")
    house.fire(T0, place, id="trg_other", playbook="other")
    pass_days(house, 3)
    standing, new, other = house.rows(PLAYS)
    assert (standing.status, standing.reason) == ("open", "playbook_unhealthy")
    assert (new.status, new.reason) == ("skipped", "playbook_unhealthy")
    assert (other.status, other.reason) == ("finished", "completed")
    assert shown() == 1
    assert [row.channel for row in house.rows(ACTIONS)] == ["task", "task"]
    house.save(WAITING)  # the plays to come get a version that can be read
    house.work()
    assert shown() == 0
    assert house.rows(PLAYS)[0].status == "open"

    strained(house, well=True)
    pass_days(house, 4)
    assert (house.rows(PLAYS)[0].status, house.rows(PLAYS)[0].reason) == ("finished", "completed")
    assert [row.channel for row in house.rows(ACTIONS)] == ["task", "task", "email"]


@pytest.mark.parametrize(("type_", "status"), [("paid", "exited"), ("login", "exited"), ("noise", "open")])
def test_what_may_end_a_play_that_cannot_be_read_ends_it(house: House, type_: str, status: str) -> None:
    """Whether it would have, nobody can say; no mail must follow an exit."""
    house.save(WAITING)
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    strained(house)
    house.post(event(type_, T0 + SECOND))
    house.settle()
    (play,), (task,) = house.rows(PLAYS), house.rows(TASKS)
    assert play.status == status
    assert task.status == ("open" if status == "open" else "closed")
    assert play.reason == (None if status == "open" else "playbook_unhealthy")
