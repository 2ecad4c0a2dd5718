"""The worker where the log, the machine or a stored playbook is odd: it stops for nobody else's sake."""

import errno
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.services.actions.kit import ACTIONS, PLAYS, House
from tests.unit.plays.kit import SECOND, T0, account, book

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
    consumer = house.worker._consumer
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
