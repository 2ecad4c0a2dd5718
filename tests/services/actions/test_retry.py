"""Actions that are sent again by hand: which, how, and what is never passed."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, Batch
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import by_hand, suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.suppressions import Hasher
from services.actions.tables import actions, plays
from tests.services.actions.kit import ACTIONS, PLAYS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.services.actions.test_approvals import ON_SQLITE, begin, call, states, to
from tests.unit.plays.kit import DAY, SECOND, T0, account, event

MAIL: dict[str, Any] = {"email": {"template": "hello"}}
HOOK: dict[str, Any] = {"webhook": {"endpoint": "crm"}}
HASHER = Hasher(b"k")
REFUSED = Outcome(kind="permanent", reason="rejected", detail="550 no")
DOUBTFUL = Outcome(kind="uncertain", reason="maybe_delivered")
DONE, DOWN = Outcome(kind="done"), Outcome(kind="temporary", reason="unreachable")


def send(house: House, outcome: Outcome) -> int:
    """Try everything that is due, with this outcome; returns how many attempts there were."""
    house.settle()
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=house.mode == "log")

    def write(batch: Batch) -> Any:
        with house.db.write() as conn:
            return writer.write(conn, batch, house.clock.now())

    found = write(Batch(lease=Wanted(50))).leased
    begun = write(Batch(begins=list(found))).begun
    ends = [AttemptEnd(one, begun[one.id], outcome) for one in found if one.id in begun]
    write(Batch(ends=ends))
    return len(ends)


def ended(house: House, outcome: Outcome, step: dict[str, Any] = MAIL) -> str:
    """An action that ended so, of a play that goes on; returns its id."""
    begin(house, step, {"wait": "90d"}, exit_when={"event": "paid"})
    assert send(house, outcome) == 1
    (row,) = house.rows(ACTIONS)
    return str(row.id)


@pytest.mark.parametrize("step", [MAIL, HOOK])
@pytest.mark.parametrize(("outcome", "was"), [(REFUSED, "failed"), (DOUBTFUL, "uncertain")])
@ON_SQLITE
def test_it_is_sent_again_with_the_same_content(
    house: House,
    client: TestClient,  # noqa: F811
    step: dict[str, Any],
    outcome: Outcome,
    was: str,
) -> None:
    one = ended(house, outcome, step)
    before = client.get(f"/v1/actions/{one}").json()
    assert (before["status"], before["attempts"]) == (was, 1)
    to(house, T0 + DAY)
    after = call(client, f"actions/{one}/retry")
    assert (after["status"], after["reason"], after["done_at"]) == ("pending", None, None)
    call(client, f"actions/{one}/retry", 409)
    assert send(house, DONE) == 1
    shown = client.get(f"/v1/actions/{one}").json()
    assert (shown["status"], shown["attempts"], shown["rendered"]) == ("done", 2, before["rendered"])
    assert (shown["due_at"], shown["begun_at"], shown["done_at"]) == (
        before["due_at"], "2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z",
    )  # fmt: skip
    assert [(each["n"], each["outcome"]) for each in shown["history"]] == [(1, outcome.kind), (2, "done")]
    (play,) = house.rows(PLAYS)
    history = client.get(f"/v1/plays/{play.id}").json()["history"]
    assert [(each["at"], each["action"]) for each in history if each["reason"] == "retried"] == [
        ("2026-01-02T00:00:00Z", one)
    ]
    assert send(house, DONE) == 0
    call(client, f"actions/{one}/retry", 409)


def test_its_schedule_begins_anew(build: Any) -> None:
    house: House = build(mode="wall")
    one = ended(house, REFUSED)
    with house.db.write() as conn:
        conn.execute(update(actions).values(attempts=8))  # as many as there are
        row = conn.execute(select(actions)).one()
        now = house.clock.now()
        by_hand.retry(conn, row, at=now, now=now, log_clock=False)
    pauses = []
    for _ in range(8):
        house.clock.set(house.rows(ACTIONS)[0].next_attempt_at)
        assert send(house, DOWN) == 1
        again = house.rows(ACTIONS)[0].next_attempt_at
        pauses.append(None if again is None else again - house.clock.now())
    assert states(house) == [("failed", "attempts_exhausted")]
    assert (house.rows(ACTIONS)[0].id, house.rows(ACTIONS)[0].attempts) == (one, 16)
    assert pauses[7] is None
    assert 30 * SECOND <= (pauses[0] or 0) <= 33 * SECOND


def test_what_ended_with_its_play_or_without_an_approval_is_final(house: House, client: TestClient) -> None:  # noqa: F811
    one = ended(house, REFUSED)
    to(house, T0 + DAY, event("paid", T0 + DAY))
    assert "ended early" in call(client, f"actions/{one}/retry", 409)["detail"]
    with house.db.write() as conn:
        conn.execute(update(plays).values(status="open"))
    for reason in ("play_exited", "not_approved"):
        with house.db.write() as conn:
            conn.execute(update(actions).values(status="skipped", reason=reason))
        assert "final" in call(client, f"actions/{one}/retry", 409)["detail"]
    assert send(house, DONE) == 0


@ON_SQLITE
def test_an_exit_after_it_stops_it(house: House, client: TestClient) -> None:  # noqa: F811
    one = ended(house, REFUSED)
    with house.db.write() as conn:  # it was never tried
        conn.execute(update(actions).values(status="skipped", reason="not_on_list", attempts=0))
    call(client, "playbooks/book/pause")
    call(client, f"actions/{one}/retry")
    to(house, T0 + DAY, event("paid", T0 + DAY))
    assert states(house) == [("skipped", "play_exited")]


@ON_SQLITE
def test_a_suppression_is_never_passed(house: House, client: TestClient) -> None:  # noqa: F811
    one = ended(house, REFUSED)
    with house.db.write() as conn:
        suppressions.add(conn, HASHER.digest("ann@acme.test"), "lifecycle", None, "unsubscribed", 0)
    call(client, f"actions/{one}/retry")
    assert send(house, DONE) == 0
    assert states(house) == [("skipped", "suppressed")]
    with house.db.write() as conn:
        suppressions.remove(conn, HASHER.digest("ann@acme.test"), None)
    call(client, f"actions/{one}/retry")
    assert send(house, DONE) == 1


@ON_SQLITE
def test_where_there_is_nobody_to_write_to_it_is_refused(house: House, client: TestClient) -> None:  # noqa: F811
    one = ended(house, REFUSED)
    people = [{"id": "ann", "email": "ann@acme.test", "active": False}]
    to(house, T0 + DAY, account(T0 + DAY, contacts=people))
    assert "not active" in call(client, f"actions/{one}/retry", 409)["detail"]
    begin(house, MAIL, {"task": {"title": "Call"}}, names=("bare",))
    found = {row.id: row for row in house.rows(ACTIONS)}
    with house.db.write() as conn:
        conn.execute(update(actions).where(actions.c.id == one).values(status="skipped", rendered=None))
    assert "nobody" in call(client, f"actions/{one}/retry", 409)["detail"]
    (task,) = [name for name, row in found.items() if row.channel == "task"]
    assert "task" in call(client, f"actions/{task}/retry", 409)["detail"]
    (waits,) = [name for name, row in found.items() if row.status == "pending"]
    assert "pending" in call(client, f"actions/{waits}/retry", 409)["detail"]
    call(client, "actions/nothing/retry", 404)
    call(client, f"actions/{one}/retry", 422, force=True)
