"""What plays remember of values and of the steps they went through, in the database and over restarts."""

from datetime import UTC, datetime

import pytest

from services.actions import tables
from tests.services.actions.kit import PLAYS, House
from tests.unit.plays.kit import DAY, T0, account, book, event

RENEWAL = "account.attributes.renewal"
STEPS = [
    {"wait": {"until_date": RENEWAL, "before": "60d", "past": "skip"}},
    {"id": "early", "task": {"title": "Early"}},
    {"id": "pause", "wait": "30d"},
    {"task": {"title": "Late"}},
]


@pytest.mark.parametrize(("renewal", "status"), [("2026-01-20T00:00Z", "open"), ("2026-01-21", "exited")])
def test_the_value_of_the_beginning_outlives_restarts(house: House, renewal: str, status: str) -> None:
    house.save(book(steps=STEPS, exit_when={"changed": RENEWAL}))
    (place,) = house.post(account(attributes={"renewal": "2026-01-20"}))
    house.fire(T0, place)
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.watched) == ("open", {RENEWAL: "2026-01-20"})
    house.restart()
    house.post(account(T0 + DAY, attributes={"renewal": renewal}))
    house.pass_all()
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.reason) == (status, "exit_event" if status == "exited" else None)


def test_an_update_read_before_the_trigger_is_not_what_it_was_decided_by(house: House) -> None:
    """The trigger arrives late, its place lies before an update that has been read long ago."""
    house.save(book(steps=STEPS, exit_when={"changed": RENEWAL}))
    (place,) = house.post(account(attributes={"renewal": "2026-01-20"}))
    house.post(account(T0 + 1, attributes={"renewal": "2027-01-20"}))
    house.work()
    house.restart()
    house.fire(T0, place)
    house.pass_all()
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.watched) == ("exited", {RENEWAL: "2026-01-20"})


def test_the_history_of_steps_is_kept_once_and_goes_with_the_account(house: House) -> None:
    house.save(book(steps=STEPS))
    places = house.post(account(), account(name="beta"))
    for name, place in zip(("acme", "beta"), places, strict=True):
        house.fire(T0, place, account=name)
    house.settle()
    house.restart()
    house.tick(event("touchline.clock", T0 + 40 * DAY))
    house.settle()
    ids = {play.account: play.id for play in house.rows(PLAYS)}
    kept = [(row.play, row.step, row.reason, (row.at - T0) // DAY) for row in house.rows(tables.history)]
    said = [("0", "no_date", 0), ("early", "left_out", 0), ("pause", "wait_over", 30)]
    assert sorted(kept) == sorted((ids[name], *one) for name in ("acme", "beta") for one in said)

    house.post(event("account.deleted", T0 + 41 * DAY))
    house.pass_all()
    house.settle()
    assert {row.account for row in house.rows(tables.history)} == {"beta"}


def test_the_moment_of_a_time_without_an_offset_is_the_accounts(house: House) -> None:
    house.save(book(steps=[{"wait": {"until_date": RENEWAL}}, {"task": {"title": "Go"}}]))
    (place,) = house.post(account(timezone="Europe/Paris", attributes={"renewal": "2026-01-20T09:00"}))
    house.fire(T0, place)
    house.settle()
    (play,) = house.rows(PLAYS)
    assert datetime.fromtimestamp(play.due_at / 1e6, UTC).isoformat() == "2026-01-20T08:00:00+00:00"
