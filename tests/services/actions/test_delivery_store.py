"""Leases, attempts and their ends: what the delivery loop relies on."""

from typing import Any

import pytest

from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Decision
from services.actions.storage.attempts import Finished, finish_attempts, start_attempts
from services.actions.storage.leases import LEASE_US, held_by, let_go, release_all
from tests.services.actions.kit import ACTIONS, ATTEMPTS, House
from tests.services.leases import lease_due
from tests.unit.plays.kit import SECOND, T0, account, book, event

MINUTE = 60 * SECOND
DONE = Decision(status="done")


@pytest.fixture(autouse=True)
def play(house: House) -> None:
    """A play with a mail and a webhook to be sent."""
    steps = [{"email": {"template": "hello"}}, {"webhook": {"endpoint": "crm"}}, {"wait": "1d"}]
    house.save(book(steps=steps, exit_when={"event": "stop"}))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()


def lease(house: House, now: int = T0, owner: str = "me", limit: int = 10) -> list[Leased]:
    with house.db.write() as conn:
        return lease_due(conn, now, owner, limit)


def start(house: House, actions: list[Leased], owner: str = "me", now: int = T0) -> dict[str, int]:
    with house.db.write() as conn:
        return start_attempts(conn, [one.id for one in actions], owner, now)


def finish(
    house: House,
    action: str,
    n: int | None,
    decision: Decision,
    outcome: str = "done",
    now: int = T0,
    owner: str = "me",
) -> Any:
    with house.db.write() as conn:
        end = Finished(action=action, n=n, outcome=outcome, decision=decision, detail="why")
        decided = finish_attempts(conn, [end], owner, now, partitions=2, log_clock=True)
    return {action: what.status for action, what in decided.items()}


def stop(house: House) -> None:
    house.post(event("stop", T0 + 1))
    house.settle()


def states(house: House) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in house.rows(ACTIONS)]


def test_an_action_goes_through_lease_attempt_and_end(house: House) -> None:
    mail, hook = lease(house)
    assert (mail.channel, mail.recipient, mail.attempts, mail.interrupted) == (
        "email",
        "ann@acme.test",
        0,
        False,
    )
    assert hook.rendered["body"]["account"]["id"] == "acme"
    assert start(house, [mail]) == {mail.id: 1}
    assert finish(house, mail.id, 1, DONE, now=T0 + 5) == {mail.id: "done"}
    row = house.rows(ACTIONS)[0]
    assert (row.status, row.attempts, row.done_at, row.lease_owner, row.attempting) == (
        "done",
        1,
        T0,
        None,
        False,
    )
    (attempt,) = house.rows(ATTEMPTS)
    assert (attempt.n, attempt.started_at, attempt.ended_at, attempt.outcome, attempt.detail) == (
        1, T0, T0 + 5, "done", "why",
    )  # fmt: skip
    house.work(2)
    assert [one.type for one in house.told()][-1] == "touchline.email.sent"


def test_what_is_leased_is_not_leased_again_until_the_lease_ends(house: House) -> None:
    assert len(lease(house)) == 2
    assert lease(house, T0 + LEASE_US, "other") == []
    assert len(lease(house, T0 + LEASE_US + 1, "other")) == 2
    assert start(house, lease(house, T0 + 5 * MINUTE, "third"), "me") == {}  # the lease was lost


def test_released_leases_can_be_taken_at_once(house: House) -> None:
    lease(house)
    with house.db.write() as conn:
        release_all(conn)
    assert len(lease(house, T0, "other")) == 2


def test_an_attempt_whose_process_died_is_closed_and_told(house: House) -> None:
    mail, _ = lease(house)
    start(house, [mail])
    again, hook = lease(house, T0 + 2 * MINUTE, "other")
    assert (again.id, again.attempts, again.interrupted, hook.interrupted) == (mail.id, 1, True, False)
    assert [(a.outcome, a.ended_at) for a in house.rows(ATTEMPTS)] == [("interrupted", T0 + 2 * MINUTE)]
    assert start(house, [again], "other") == {mail.id: 2}


def test_a_retry_waits_for_its_time(house: House) -> None:
    _, hook = lease(house)
    start(house, [hook])
    finish(
        house,
        hook.id,
        1,
        Decision(status="retrying", reason="timeout", next_attempt_at=T0 + MINUTE),
        "temporary",
    )
    assert states(house)[1] == ("retrying", "timeout")
    assert hook.id not in [one.id for one in lease(house, T0 + MINUTE - 1, "other")]
    assert hook.id in [one.id for one in lease(house, T0 + MINUTE, "third")]


def retrying(house: House) -> list[Leased]:
    """Both actions, tried once and leased for the second time."""
    for one in lease(house):
        start(house, [one])
        finish(
            house, one.id, 1, Decision(status="retrying", reason="timeout", next_attempt_at=T0), "temporary"
        )
    return lease(house)


def test_no_further_attempt_begins_after_an_exit(house: House) -> None:
    leased = retrying(house)
    stop(house)
    assert start(house, leased) == {}
    assert states(house) == [("skipped", "play_exited")] * 2
    assert lease(house, T0 + 10 * MINUTE) == []


def test_an_attempt_under_way_ends_by_itself_after_an_exit(house: House) -> None:
    mail, hook = retrying(house)
    start(house, [mail, hook])
    stop(house)
    assert states(house) == [("retrying", "timeout")] * 2
    assert finish(house, mail.id, 2, DONE) == {mail.id: "done"}
    retry = Decision(status="retrying", reason="timeout", next_attempt_at=T0 + MINUTE)
    assert finish(house, hook.id, 2, retry, "temporary") == {hook.id: "skipped"}
    assert states(house) == [("done", None), ("skipped", "play_exited")]


def test_an_attempt_whose_process_died_is_not_repeated_after_an_exit(house: House) -> None:
    start(house, retrying(house))
    stop(house)
    assert lease(house, T0 + 2 * MINUTE, "other") == []
    assert states(house) == [("uncertain", "interrupted")] * 2


def test_with_the_log_clock_it_is_for_what_was_sent_before_the_exit_has_to_arrive(house: House) -> None:
    start(house, lease(house))
    stop(house)
    with house.db.write() as conn:
        again = lease_due(conn, T0 + 2 * MINUTE, "other", 10, log_clock=True)
        assert [one.interrupted for one in again] == [True, True]
        begun = start_attempts(conn, [one.id for one in again], "other", T0, log_clock=True)
    assert sorted(begun.values()) == [2, 2]


def test_a_late_end_changes_nothing_that_has_ended(house: House) -> None:
    mail, _ = lease(house)
    start(house, [mail])
    finish(house, mail.id, 1, DONE)
    assert finish(house, mail.id, 1, Decision(status="failed", reason="rejected")) == {}
    assert states(house)[0] == ("done", None)


def test_whoever_lost_the_lease_writes_nothing(house: House) -> None:
    mail, hook = lease(house)
    start(house, [mail, hook])
    taken = lease(house, T0 + 2 * LEASE_US, "other")
    start(house, taken, "other")
    before = house.rows(ACTIONS), house.rows(ATTEMPTS)
    assert start(house, [mail, hook]) == {}
    assert finish(house, mail.id, 1, DONE) == {}
    assert finish(house, hook.id, 2, DONE) == {}
    assert (house.rows(ACTIONS), house.rows(ATTEMPTS)) == before
    assert finish(house, mail.id, 2, DONE, owner="other") == {mail.id: "done"}


def test_what_may_have_been_sent_stays_so_whoever_dies_next(house: House) -> None:
    mail, _ = lease(house)
    start(house, [mail])
    for number, owner in enumerate(("second", "third", "fourth"), 1):
        again = lease(house, T0 + 2 * number * LEASE_US, owner)
        assert [one.interrupted for one in again] == [True, False]
        with house.db.write() as conn:  # none of them has begun it
            assert [one.interrupted for one in held_by(conn, owner, T0 + 2 * number * LEASE_US)] == [
                False
            ] * 2
    with house.db.write() as conn:
        let_go(conn, "fourth")
    assert [one.interrupted for one in lease(house, T0 + 8 * LEASE_US, "fifth")] == [True, False]


def test_a_beginning_written_twice_is_one(house: House) -> None:
    mail, _ = lease(house)
    assert start(house, [mail]) == {mail.id: 1}
    assert start(house, [mail]) == {mail.id: 1}  # the first commit was not heard of
    assert len(house.rows(ATTEMPTS)) == 1


def test_an_erased_action_is_forgotten(house: House) -> None:
    mail, _ = lease(house)
    start(house, [mail])
    house.post(event("account.deleted", T0 + 1))
    house.settle()
    assert finish(house, mail.id, 1, DONE) == {}
    assert house.rows(ATTEMPTS) == []


def test_a_skip_without_an_attempt(house: House) -> None:
    mail, _ = lease(house)
    finish(house, mail.id, None, Decision(status="skipped", reason="suppressed"), "skipped")
    assert states(house)[0] == ("skipped", "suppressed")
    assert house.rows(ATTEMPTS) == []
    house.work(2)
    assert not [one for one in house.told() if one.type == "touchline.email.sent"]
