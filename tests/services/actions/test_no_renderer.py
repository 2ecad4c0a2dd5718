"""While no render process starts, the worker keeps nothing of a batch, and does it all once one does."""

from typing import Any

import pytest

from backbone.partition_worker import PASSING
from services.actions.rendering.process_pool import RendererUnavailable
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.unit.plays.kit import T0, account, book

STEPS = [{"task": {"title": "Call"}}, {"email": {"template": "hello"}}]


def test_no_mail_is_lost_while_no_render_process_starts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place, contact="bob")
    house.pass_all()
    with monkeypatch.context() as broken:

        def none_starts(jobs: Any) -> Any:
            raise RendererUnavailable("no render process starts: no memory")

        broken.setattr(house.renderer, "render_many", none_starts)
        for _ in range(3):
            with pytest.raises(RendererUnavailable, match="no memory"):
                house.work()
            assert (house.rows(PLAYS), house.rows(ACTIONS), house.rows(TASKS)) == ([], [], [])
            house.worker.restart()
    house.settle()
    task, mail = house.rows(ACTIONS)
    assert (task.channel, task.status) == ("task", "done")
    assert (mail.channel, mail.status, mail.recipient) == ("email", "pending", "bob@acme.test")
    assert issubclass(RendererUnavailable, PASSING)  # the worker's thread starts again by itself
