"""Mails that wait for an approval: of many decisions, made at the same time in several threads, one holds."""

from __future__ import annotations

import threading
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import update

from backbone.audit import AuditTrail
from backbone.errors import StateConflict
from schemas.approval import ApproveIn
from services.actions.api.approval import ApprovalDesk
from services.actions.api.edits import Editing
from services.actions.api.plays import Times
from services.actions.tables import actions
from tests.services.actions.kit import ACTIONS, TASKS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.services.actions.test_approvals import LATE, ON_SQLITE, WAITS, begin, call, states, tasks, to
from tests.unit.plays.kit import DAY, T0, event


def desk_of(house: House) -> ApprovalDesk:
    return ApprovalDesk(house.db, house.clock, Times(house.db, house.clock, log_clock=True), lambda: None)


def test_of_many_decisions_at_once_one_holds(house: House) -> None:
    """Approvals, rejections and the end of the time, each in threads of its own."""
    names = tuple(f"a{n}" for n in range(8))
    ids = begin(house, names=names)
    desk, won = desk_of(house), []
    editing = Editing(None, 2)  # type: ignore[arg-type]

    def decide(verb: str) -> None:
        trail = AuditTrail(house.clock, "actions", verb, "POST")
        for one in ids:
            try:
                if verb == "reject":
                    desk.reject(one, None, trail)
                else:
                    desk.approve_one(one, ApproveIn(), editing, trail)
            except StateConflict:
                continue
            won.append((one, verb))

    def several() -> None:
        trail = AuditTrail(house.clock, "actions", "several", "POST")
        won.extend((one, "several") for one in desk.approve_several(list(reversed(ids)), trail)["approved"])

    threads = [threading.Thread(target=decide, args=(verb,)) for verb in ("approve", "reject", "approve")]
    threads.append(threading.Thread(target=several))
    for thread in threads:
        thread.start()
    to(house, T0 + 7 * DAY)
    for thread in threads:
        thread.join()
    house.settle()
    verbs = dict(won)
    assert len(won) == len(verbs)
    for row, task in zip(sorted(house.rows(ACTIONS)), sorted(house.rows(TASKS)), strict=True):
        sent = verbs.get(row.id) in {"approve", "several"}
        assert (row.status, row.reason) == (("pending", None) if sent else LATE)
        assert (task.status, task.reason) == ("closed", "approved" if sent else "not_approved")
        assert task.completed_by == verbs.get(row.id)


def test_what_a_worker_has_not_written_yet_does_not_undo_an_approval(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    """The end of its time was decided in a batch, and the approval was quicker to be committed."""
    (one,) = begin(house, names=("acme",))
    house.tick(event("touchline.clock", T0 + 7 * DAY))
    save, approved = house.worker.tasks, []

    def first(*_: Any) -> None:
        if not approved:
            approved.append(call(client, f"actions/{one}/approve"))

    render = {number: task.render for number, task in save.items()}
    for task in save.values():
        task.render = first  # type: ignore[method-assign]
    house.work()
    for number, task in save.items():
        task.render = render[number]  # type: ignore[method-assign]
    house.settle()
    assert states(house) == [("pending", None)]
    assert tasks(house) == [("closed", "approved", "tester")]


@ON_SQLITE
def test_a_mail_that_was_changed_meanwhile_is_not_overwritten(
    house: House,
    client: TestClient,  # noqa: F811
    monkeypatch: Any,
) -> None:
    (one,) = begin(house)

    def content(*_: Any) -> dict[str, Any]:
        with house.db.write() as conn:
            conn.execute(update(actions).where(actions.c.id == one).values(rendered={"subject": "erased"}))
        return {"subject": "mine"}

    monkeypatch.setattr(Editing, "content", content)
    assert "changed" in call(client, f"actions/{one}/approve", 409, subject="Mine")["detail"]
    assert states(house) == [WAITS]
