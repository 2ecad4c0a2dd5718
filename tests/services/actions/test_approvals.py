"""Mails that wait for an approval, on the database: one decision each, whoever makes it and whenever."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backbone.audit import AuditTrail
from services.actions.delivery import sending_switch
from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.status import status
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.suppressions import Hasher
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

ASKED: dict[str, Any] = {"email": {"template": "hello", "approve": True}}
WAITS = ("pending", "awaiting_approval")
LATE = ("skipped", "not_approved")
ON_SQLITE = pytest.mark.parametrize("database", [None])  # where the other one could prove no more


def begin(
    house: House, *steps: dict[str, Any], names: tuple[str, ...] = ("acme",), **fields: Any
) -> list[str]:
    """Plays of these steps, one for each account; returns the ids of what waits."""
    house.save(book(steps=list(steps) or [ASKED], **fields))
    for place, name in zip(house.post(*[account(T0, one) for one in names]), names, strict=True):
        house.fire(T0, place, account=name)
    house.settle()
    return [row.id for row in house.rows(ACTIONS) if row.approve_until is not None]


def to(house: House, at: int, *events: Any) -> None:
    """Carry the clock of every partition to a time, after these events."""
    if events:
        house.post(*events)
    house.tick(event("touchline.clock", at))
    house.settle()


def call(client: TestClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:  # noqa: F811
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


def undecided(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["id"], one["reason"]) for one in answer["left_out"]]


def states(house: House) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in house.rows(ACTIONS)]


def counted(house: House) -> Counter[tuple[str, str | None]]:
    return Counter(states(house))


def tasks(house: House) -> list[tuple[str, str | None, str | None]]:
    return [(row.status, row.reason, row.completed_by) for row in house.rows(TASKS)]


def leased(house: House) -> list[str]:
    """What a dispatcher would send now."""
    house.settle()
    writer = AttemptWriter("me", Hasher(b"k"), house.log.partitions, log_clock=house.mode == "log")
    with house.db.write() as conn:
        return [one.id for one in writer.write(conn, Batch(lease=Wanted(50)), house.clock.now()).leased]


@ON_SQLITE
def test_it_waits_with_a_task_and_nothing_is_due(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house, ASKED, {"task": {"title": "Call"}})
    assert [row.status for row in house.rows(PLAYS)] == ["finished"]
    shown = client.get(f"/v1/actions/{one}").json()
    assert (shown["status"], shown["reason"], shown["approver"]) == (*WAITS, "jo@us.test")
    assert (shown["approve_until"], shown["due_at"]) == ("2026-01-08T00:00:00Z", "2026-01-01T00:00:00Z")
    assert shown["sentence"] == (
        "An email to ann@acme.test waits until somebody approves it, at the latest by 8 January 2026, 00:00 UTC."
    )
    task = client.get(f"/v1/tasks/{one}").json()
    assert (task["assignee"], task["status"], task["approves"], task["due_at"]) == (
        "jo@us.test", "open", one, shown["approve_until"],
    )  # fmt: skip
    assert task["title"] == "Approve the email to ann@acme.test: hello"
    (other,) = [row for row in client.get("/v1/tasks").json()["items"] if row["id"] != one]
    assert other["approves"] is None
    assert leased(house) == []
    assert status(house.db, house.log, house.clock, log_clock=True)["due"] == 0
    assert {one.type for one in house.told()} >= {"touchline.task.created"}


def test_an_approval_sends_it_once(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house)
    to(house, T0 + DAY)
    shown = call(client, f"actions/{one}/approve")
    assert (shown["status"], shown["reason"], shown["approve_until"]) == ("pending", None, None)
    assert tasks(house) == [("closed", "approved", "tester")]
    assert client.get(f"/v1/tasks/{one}").json()["sentence"] == "Somebody approved the mail."
    assert leased(house) == [one]
    for verb in ("approve", "reject"):
        assert call(client, f"actions/{one}/{verb}", 409)["code"] == "state"
    to(house, T0 + 30 * DAY)
    assert states(house) == [("pending", None)]
    (play,) = house.rows(PLAYS)
    history = [
        (entry["reason"], entry["action"]) for entry in client.get(f"/v1/plays/{play.id}").json()["history"]
    ]
    assert history == [("started", None), ("action_made", one), ("completed", None), ("approved", one)]


@ON_SQLITE
def test_a_rejection_and_the_end_of_the_time_skip_it(house: House, client: TestClient) -> None:  # noqa: F811
    first, second = begin(house, names=("acme", "beta"))
    shown = call(client, f"actions/{first}/reject", reason="they have signed")
    assert (shown["status"], shown["reason"]) == LATE
    to(house, T0 + 7 * DAY - SECOND)
    assert counted(house) == Counter([LATE, WAITS])
    to(house, T0 + 7 * DAY)
    assert states(house) == [LATE, LATE]
    noted = {
        row.id: (row.status, row.reason, row.completed_by, row.note, row.over_at) for row in house.rows(TASKS)
    }
    assert noted == {
        first: ("closed", "not_approved", "tester", "they have signed", T0),
        second: ("closed", "not_approved", None, None, T0 + 7 * DAY),
    }
    assert {row.done_at for row in house.rows(ACTIONS)} == {T0, T0 + 7 * DAY}
    for one in (first, second):
        call(client, f"actions/{one}/approve", 409)
    assert leased(house) == []


@ON_SQLITE
def test_its_task_cannot_be_completed_and_any_other_can(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house, ASKED, {"task": {"title": "Call"}})
    assert "approve" in call(client, f"tasks/{one}/complete", 409)["detail"]
    call(client, f"tasks/{one}/reassign", assignee="kim@us.test")
    call(client, f"tasks/{one}/snooze", until="2026-01-02T00:00:00Z")
    (other,) = [row.id for row in house.rows(TASKS) if row.id != one]
    call(client, f"tasks/{other}/complete")
    assert states(house)[0] == WAITS
    call(client, f"actions/{one}/approve")
    assert call(client, f"tasks/{one}/complete", 409)


@pytest.mark.parametrize("finished", [False, True])
def test_an_exit_comes_before_or_after_an_approval(
    house: House,
    client: TestClient,  # noqa: F811
    finished: bool,
) -> None:
    more: list[dict[str, Any]] = [] if finished else [{"wait": "9d"}]
    left, sent = begin(house, ASKED, *more, names=("acme", "beta"), exit_when={"event": "paid"})
    (mine,) = [row.account for row in house.rows(ACTIONS) if row.id == left]
    house.restart()
    to(house, T0 + DAY, event("paid", T0 + DAY, mine))
    call(client, f"actions/{left}/approve", 409)
    call(client, f"actions/{sent}/approve")
    (other,) = {"acme", "beta"} - {mine}
    to(house, T0 + 2 * DAY, event("paid", T0 + 2 * DAY, other))
    found = {row.id: (row.status, row.reason) for row in house.rows(ACTIONS)}
    assert found == {left: ("skipped", "play_exited"), sent: ("pending", None)}
    assert {row.id: row.reason for row in house.rows(TASKS)} == {left: "exit_event", sent: "approved"}
    assert leased(house) == [sent]


@ON_SQLITE
def test_by_hand_too(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house, ASKED, {"wait": "9d"})
    (play,) = house.rows(PLAYS)
    call(client, f"plays/{play.id}/exit")
    assert (states(house), tasks(house)) == ([("skipped", "play_exited")], [("closed", "by_hand", None)])
    call(client, f"actions/{one}/reject", 409)


def test_several_at_once(house: House, client: TestClient) -> None:  # noqa: F811
    first, second, third = begin(house, ASKED, {"wait": "9d"}, names=("acme", "beta", "gamma"))
    call(client, f"actions/{second}/reject")
    call(client, f"actions/{third}/approve")
    answer = call(client, "actions/approve", ids=[third, "nothing", first, second, first])
    assert answer["approved"] == [first]
    assert undecided(answer) == [(third, "not_awaiting"), ("nothing", "unknown"), (second, "not_approved")]
    assert answer["left_out"][2]["sentence"] == "Somebody rejected it, or nobody approved it in time."
    again = call(client, "actions/approve", ids=[first])
    assert again["approved"] == []
    assert undecided(again) == [(first, "not_awaiting")]
    assert sorted(leased(house)) == sorted([first, third])
    for wrong in ([], ["x"] * 1_001, "all", [1]):
        field = call(client, "actions/approve", 422, ids=wrong)["errors"][0]["field"]
        assert field.startswith("ids")


@ON_SQLITE
def test_what_does_not_wait_is_refused(house: House, client: TestClient) -> None:  # noqa: F811
    begin(
        house, {"email": {"template": "hello"}}, {"webhook": {"endpoint": "crm"}}, {"task": {"title": "Call"}}
    )
    for row in house.rows(ACTIONS):
        for verb in ("approve", "reject"):
            assert row.status in call(client, f"actions/{row.id}/{verb}", 409)["detail"]
    for path in ("actions/nothing/approve", "actions/nothing/reject"):
        call(client, path, 404)


@ON_SQLITE
def test_wrong_fields_are_named(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house)
    for body, field in (
        ({"subject": ""}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "x" * 501}, "subject"),
        ({"markdown": "  "}, "markdown"),
        ({"html": "x"}, "html"),
        ({"subject": 5}, "subject"),
    ):
        (error,) = call(client, f"actions/{one}/approve", 422, **body)["errors"]
        assert error["field"] == field
        assert "items" not in error["message"]
    assert call(client, f"actions/{one}/reject", 422, reason="")["errors"][0]["field"] == "reason"
    assert states(house) == [WAITS]
    for field, value in (
        ("approve", "yes"),
        ("approve", {}),
        ("approve", 1),
        ("approver", "jo"),
        ("approve_within", "0s"),
    ):
        step = {"email": {"template": "hello", field: value}}
        answer = client.put("/v1/playbooks/p", json={"steps": [step]})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == f"steps.0.email.{field}"


def test_nothing_depends_on_where_a_batch_ends(build: Any) -> None:
    """A mail, the end of its time, an exit: in one batch, or in one each."""
    steps = [{"wait": "1d"}, ASKED, {"wait": "9d"}]
    found = []
    for piecewise in (False, True):
        house = build()
        house.save(book(steps=steps, exit_when={"event": "paid"}))
        places = house.post(*[account(T0, one) for one in ("acme", "beta")])
        for place, name in zip(places, ("acme", "beta"), strict=True):
            house.fire(T0, place, account=name)
        if piecewise:
            house.settle()
            to(house, T0 + DAY)
            house.restart()
        house.post(event("paid", T0 + 2 * DAY, "acme"))
        if piecewise:
            house.settle()
        to(house, T0 + 8 * DAY)
        rows = [
            (row.id, row.status, row.reason, row.done_at, row.rendered["subject"])
            for row in house.rows(ACTIONS)
        ]
        closed = [(row.id, row.status, row.reason, row.over_at, row.title) for row in house.rows(TASKS)]
        found.append((sorted(rows), sorted(closed), sorted((one.type, one.id) for one in house.told())))
    assert found[0] == found[1]
    assert sorted(row[2] for row in found[0][0]) == ["not_approved", "play_exited"]


def test_while_sending_is_off_its_time_stands_still(house: House, client: TestClient) -> None:  # noqa: F811
    begin(house, names=("acme",))
    trail = AuditTrail(house.clock, "actions", "jo", "PUT")

    def turn(*, off: bool) -> None:
        sending_switch.turn(house.db, house.clock, trail, off=off, reason=None, log_clock=True)

    to(house, T0 + 3 * DAY)
    turn(off=True)
    (place,) = house.post(account(T0 + 4 * DAY, "beta"))
    house.fire(T0 + 4 * DAY, place, account="beta")
    to(house, T0 + 23 * DAY)
    assert states(house) == [WAITS, WAITS]
    turn(off=False)
    ends = {row.account: row.approve_until for row in house.rows(ACTIONS)}
    assert ends == {"acme": T0 + 27 * DAY, "beta": T0 + 30 * DAY}
    assert {row.account: row.due_at for row in house.rows(TASKS)} == ends
    to(house, T0 + 27 * DAY - SECOND)
    assert states(house) == [WAITS, WAITS]
    to(house, T0 + 27 * DAY)
    assert counted(house) == Counter([WAITS, LATE])


def test_what_was_over_while_the_playbook_was_paused_is_over_when_it_goes_on(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    first, second, third = begin(house, names=("acme", "beta", "gamma"))
    call(client, "playbooks/book/pause")
    call(client, f"actions/{first}/approve")
    assert leased(house) == []
    to(house, T0 + 9 * DAY)
    assert counted(house) == Counter([("pending", None), WAITS, WAITS])
    assert "over" in call(client, f"actions/{second}/approve", 409)["detail"]
    assert undecided(call(client, "actions/approve", ids=[third])) == [(third, "not_approved")]
    call(client, "playbooks/book/resume", held="release")
    house.settle()
    assert counted(house) == Counter([("pending", None), LATE, LATE])
    assert leased(house) == [first]


@ON_SQLITE
def test_a_suppression_while_it_waits_is_not_passed(house: House, client: TestClient) -> None:  # noqa: F811
    (one,) = begin(house)
    hasher = Hasher(b"k")
    with house.db.write() as conn:
        suppressions.add(conn, hasher.digest("ann@acme.test"), "lifecycle", None, "unsubscribed", 0)
    call(client, f"actions/{one}/approve")
    house.settle()
    writer = AttemptWriter("me", hasher, house.log.partitions, log_clock=True)
    with house.db.write() as conn:
        waiting = writer.write(conn, Batch(lease=Wanted(50)), house.clock.now()).leased
        assert writer.write(conn, Batch(begins=list(waiting)), house.clock.now()).begun == {}
    assert states(house) == [("skipped", "suppressed")]


@ON_SQLITE
@pytest.mark.parametrize("whole", [True, False])
def test_an_erasure_takes_it_with_its_task(house: House, client: TestClient, whole: bool) -> None:  # noqa: F811
    (one,) = begin(house)
    gone = (
        event("account.deleted", T0 + 1)
        if whole
        else event("contact.deleted", T0 + 1, contact="ann", data={"id": "ann"})
    )
    to(house, T0 + DAY, gone)
    assert (house.rows(ACTIONS), house.rows(TASKS)) == ([], [])
    call(client, f"actions/{one}/approve", 404)


def test_by_the_wall_clock(build: Any) -> None:
    house = build(mode="wall")
    (one,) = begin(house, {"email": {"template": "hello", "approve": True, "approve_within": "1d"}})
    (row,) = house.rows(ACTIONS)
    house.clock.set(row.approve_until)
    house.settle()
    assert states(house) == [WAITS]
    house.clock.set(row.approve_until + SECOND)
    assert status(house.db, house.log, house.clock, log_clock=False)["due"] == 1
    house.restart()
    house.settle()
    assert states(house) == [LATE]
    assert (house.rows(ACTIONS)[0].done_at, one) == (row.approve_until, row.id)
    assert status(house.db, house.log, house.clock, log_clock=False)["due"] == 0
