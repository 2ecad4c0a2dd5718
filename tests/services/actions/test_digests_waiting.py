"""Mails of digests that wait, and items of contacts that are no longer active."""

from typing import Any

from services.actions.storage.library import POLICY
from tests.services.actions.digests_kit import (
    HERE,
    HOUR,
    LIST,
    NINE,
    THERE,
    carry,
    listed,
    lone,
    mails,
    put,
    skipped,
)
from tests.services.actions.kit import House
from tests.unit.plays.kit import T0, book, event

TO_CONTACT: dict[str, Any] = {"digest": {**LIST["digest"], "to": "contact"}}
TEN = NINE + HOUR


def inactive(at: int, name: str, active: bool = False) -> Any:
    return event("contact.updated", at, name, data={"active": active}, contact="ann")


def ask_policy(house: House) -> None:
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "10:00", "to": "20:00"}}, "test", 0)


@lone
def test_an_item_of_an_inactive_contact_is_left_out(house: House) -> None:
    house.save(book(steps=[TO_CONTACT]))
    put(house, T0 + HOUR, HERE, THERE)
    house.post(inactive(T0 + 2 * HOUR, HERE), inactive(T0 + 2 * HOUR, THERE))
    house.post(inactive(T0 + 3 * HOUR, THERE, active=True))
    carry(house, NINE)
    assert [listed(one) for one in mails(house)] == [[THERE]]
    assert skipped(house) == [(HERE, "contact_inactive", NINE)]


@lone
def test_every_play_of_a_mail_that_waits_hears_its_exit(house: House) -> None:
    house.save(book(steps=[TO_CONTACT], exit_when={"event": "paid"}))
    ask_policy(house)
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    other = THERE if mail.account == HERE else HERE
    house.post(event("paid", NINE + 1, other))
    house.settle(2)
    carry(house, TEN)
    (again,) = mails(house)
    assert (again.id, listed(again), again.begun_at) == (mail.id, [mail.account], TEN)
    assert [one[:2] for one in skipped(house)] == [(other, "play_exited")]
    house.post(event("paid", TEN + 1, mail.account))
    house.settle(2)
    assert [listed(one) for one in mails(house)] == [[mail.account]]
