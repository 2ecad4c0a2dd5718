"""Erasure in the tables of actions: what waits in the outbox goes too, and nothing makes an account anew."""

import msgspec
import pytest

from services.actions import tables
from tests.services.actions.kit import PLAYS, TASKS, House
from tests.unit.plays.kit import T0, account, book, event

STEPS = [{"task": {"title": "Call"}}, {"email": {"template": "hello", "to": "all"}}, {"wait": "1d"}]


def told(house: House) -> list[tuple[str, str | None]]:
    """What waits in the outbox: the kinds, and whom they are about."""
    rows = [msgspec.json.decode(row.value) for row in house.rows(tables.outbox)]
    return [(row["type"].removeprefix("touchline."), row.get("contact")) for row in rows]


@pytest.fixture
def silent(house: House) -> House:
    """Nothing of the outbox gets onto the log."""
    house.worker._relay = lambda: None  # type: ignore[method-assign]
    house.save(book(steps=STEPS))
    return house


def test_the_outbox_tells_nothing_of_an_erased_contact(silent: House) -> None:
    (place,) = silent.post(account())
    silent.fire(T0, place, contact="ann", scope="contact")
    silent.fire(T0, place, contact="bob", scope="contact")
    silent.settle()
    assert told(silent) == [("play.started", "ann"), ("task.created", "ann"), ("play.started", "bob")]
    silent.post(event("contact.deleted", T0 + 1, contact="ann"))
    silent.settle()
    assert told(silent) == [("play.started", "bob")]
    assert {play.contact for play in silent.rows(PLAYS)} == {"bob"}


def test_the_outbox_tells_nothing_of_an_erased_account(silent: House) -> None:
    places = silent.post(account(), account(name="beta"))
    for name, place in zip(("acme", "beta"), places, strict=True):
        silent.fire(T0, place, account=name)
    silent.settle()
    silent.post(event("account.deleted", T0 + 1))
    silent.settle()
    assert {row.account for row in silent.rows(tables.outbox)} == {"beta"}
    assert [task.account for task in silent.rows(TASKS)] == ["beta"]


def test_the_erasure_of_a_contact_makes_no_account(silent: House) -> None:
    silent.post(event("contact.deleted", T0, contact="ann"))
    silent.settle()
    assert silent.rows(tables.accounts) == []


def test_an_erasure_sent_again_erases_again(silent: House) -> None:
    """Rules has forgotten that it was there; what actions keep must not outlive what rules keep."""
    gone = event("account.deleted", T0 + 1)
    silent.post(account(), gone, account(T0 + 2), gone)
    silent.settle()
    assert silent.rows(tables.accounts) == []
