"""Mails of digests that wait, and items of contacts that are no longer active."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.library import POLICY
from tests.services.actions import digests_kit as kit
from tests.services.actions.kit import HASHER, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import T0, book, event

TO_CONTACT: dict[str, Any] = {"digest": {**kit.LIST["digest"], "to": "contact"}}
TEN = kit.NINE + kit.HOUR


def inactive(at: int, name: str, active: bool = False) -> Any:
    return event("contact.updated", at, name, data={"active": active}, contact="ann")


def ask_policy(house: House) -> None:
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "10:00", "to": "20:00"}}, "test", 0)


@kit.lone
def test_an_item_of_an_inactive_contact_is_left_out(house: House) -> None:
    house.save(book(steps=[TO_CONTACT]))
    kit.put(house, T0 + kit.HOUR, kit.HERE, kit.THERE)
    house.post(inactive(T0 + 2 * kit.HOUR, kit.HERE), inactive(T0 + 2 * kit.HOUR, kit.THERE))
    house.post(inactive(T0 + 3 * kit.HOUR, kit.THERE, active=True))
    kit.carry(house, kit.NINE)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.THERE]]
    assert kit.skipped(house) == [(kit.HERE, "contact_inactive", kit.NINE)]


@kit.lone
def test_every_play_of_a_mail_that_waits_hears_its_exit(house: House) -> None:
    house.save(book(steps=[TO_CONTACT], exit_when={"event": "paid"}))
    ask_policy(house)
    kit.put(house, T0 + kit.HOUR, kit.HERE, kit.THERE)
    kit.carry(house, kit.NINE)
    (mail,) = kit.mails(house)
    other = kit.THERE if mail.account == kit.HERE else kit.HERE
    house.post(event("paid", kit.NINE + 1, other))
    house.settle(2)
    kit.carry(house, TEN)
    (again,) = kit.mails(house)
    assert (again.id, kit.listed(again), again.begun_at) == (mail.id, [mail.account], TEN)
    assert [one[:2] for one in kit.skipped(house)] == [(other, "play_exited")]
    house.post(event("paid", TEN + 1, mail.account))
    house.settle(2)
    assert [kit.listed(one) for one in kit.mails(house)] == [[mail.account]]


def two_topics(house: House) -> None:
    """One mail with an item of each of two topics."""
    house.save(book(steps=[TO_CONTACT], topic="news"))
    house.save(book("other", steps=[TO_CONTACT], topic="billing"))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    kit.put(house, T0 + 2 * kit.HOUR, kit.HERE, playbook="other")
    kit.carry(house, kit.NINE)


def books(mail: Any) -> list[str]:
    return [one["playbook"] for one in mail.rendered["context"]["items"]]


@kit.lone
@pytest.mark.parametrize(("left", "kept"), [("news", "other"), ("billing", "book")])
def test_a_topic_that_is_left_while_the_mail_waits_takes_only_its_item(
    house: House, left: str, kept: str
) -> None:
    ask_policy(house)
    two_topics(house)
    (mail,) = kit.mails(house)
    assert books(mail) == ["book", "other"]
    with house.db.write() as conn:
        suppressions.add(conn, HASHER.digest("ann@acme.test"), left, None, "unsubscribed", 0)
    kit.carry(house, TEN)
    house.settle(2)
    kit.carry(house, TEN + 1)
    (again,) = kit.mails(house)
    assert (again.id, books(again), again.begun_at) == (mail.id, [kept], TEN)
    assert [one[:2] for one in kit.skipped(house)] == [(kit.HERE, "suppressed")]


@kit.lone
def test_a_contact_made_inactive_while_the_mail_waits_takes_only_its_item(house: House) -> None:
    house.save(book(steps=[TO_CONTACT]))
    ask_policy(house)
    kit.put(house, T0 + kit.HOUR, kit.HERE, kit.THERE)
    kit.carry(house, kit.NINE)
    (mail,) = kit.mails(house)
    house.post(inactive(kit.NINE + 1, mail.account))
    house.settle(2)
    kit.carry(house, TEN)
    kit.carry(house, TEN + 1)
    (again,) = kit.mails(house)
    other = kit.THERE if mail.account == kit.HERE else kit.HERE
    assert (again.id, kit.listed(again), again.begun_at) == (mail.id, [other], TEN)
    assert [one[:2] for one in kit.skipped(house)] == [(mail.account, "contact_inactive")]


@kit.lone
def test_a_paused_item_is_taken_out_of_a_mail_that_waits_for_the_policy(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    ask_policy(house)
    two_topics(house)
    (mail,) = kit.mails(house)
    client.post("/v1/playbooks/other/pause", json={})
    kit.carry(house, TEN)
    kit.carry(house, TEN + 1)
    (again,) = kit.mails(house)
    assert (again.id, books(again), again.begun_at) == (mail.id, ["book"], TEN)
    assert kit.skipped(house) == []


@kit.both
@pytest.mark.parametrize(("left", "kept"), [("news", ["other"]), ("elsewhere", ["book", "other"])])
def test_delivery_takes_back_a_mail_with_an_unwanted_item(house: House, left: str, kept: list[str]) -> None:
    two_topics(house)
    (mail,) = kit.mails(house)
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=False)
    with house.db.write() as conn:
        leased = writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased
        suppressions.add(conn, HASHER.digest("ann@acme.test"), left, None, "unsubscribed", 0)
    with house.db.write() as conn:
        begun = writer.write(conn, Batch(begins=leased), house.clock.now()).begun
    assert [*begun] == ([] if len(kept) == 1 else [mail.id])
    house.settle(2)
    (again,) = kit.mails(house)
    assert (again.id, books(again)) == (mail.id, kept)
