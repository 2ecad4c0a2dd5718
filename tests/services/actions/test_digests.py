"""Digests on the database: items of several partitions go out in one mail, once, whoever dies meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from backbone.ownership import Fenced
from services.actions import digest_rounds, tables
from services.actions.status import status
from tests.services.actions import digests_kit as kit
from tests.services.actions.kit import ACTIONS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, SECOND, T0, book, event


@kit.both
def test_one_mail_for_two_partitions_once_both_clocks_have_passed(house: House) -> None:
    house.save(book(steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    kit.put(house, T0 + 2 * kit.HOUR, kit.THERE)
    kit.carry(house, kit.NINE + kit.HOUR, 0)
    kit.carry(house, kit.NINE - 1, 1)
    assert kit.mails(house) == []
    kit.carry(house, kit.NINE, 1)
    (mail,) = kit.mails(house)
    assert kit.listed(mail) == [kit.HERE, kit.THERE]
    assert (mail.status, mail.due_at, mail.recipient) == ("pending", kit.NINE, "jo@us.test")
    assert (mail.account, mail.digest_key) == (kit.HERE, "hello")
    assert {row.action for row in house.rows(kit.ITEMS)} == {mail.id}
    kit.carry(house, kit.NINE + 3 * DAY)
    assert len(kit.mails(house)) == 1


@kit.lone
def test_it_does_not_matter_which_partition_is_read_first(house: House) -> None:
    """An item of before the moment that is read after all else still goes with its mail, and later ones do not."""
    house.save(book(steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    kit.put(house, kit.NINE + kit.HOUR, kit.HERE)
    kit.carry(house, kit.NINE + 5 * DAY, 0)
    kit.put(house, T0, kit.THERE)
    kit.put(house, kit.NINE, kit.THERE)
    kit.carry(house, kit.NINE + 2 * DAY, 1)
    assert [(one.due_at, kit.listed(one)) for one in kit.mails(house)] == [
        (kit.NINE, [kit.THERE, kit.HERE]),
        (kit.NINE + DAY, [kit.THERE, kit.HERE]),
    ]


@kit.lone
@pytest.mark.parametrize(
    ("at", "left"), [(kit.NINE - 1, []), (kit.NINE, [kit.HERE]), (kit.NINE + 1, [kit.HERE])]
)
def test_an_exit_counts_by_its_time_however_late_the_mail_is_made(
    house: House, at: int, left: list[str]
) -> None:
    house.save(book(steps=[kit.LIST], exit_when={"event": "paid"}))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    house.post(event("paid", at, kit.HERE))
    kit.carry(house, kit.NINE + 2 * kit.HOUR, 0)
    kit.carry(house, kit.NINE + 2 * kit.HOUR, 1)
    assert [kit.listed(one) for one in kit.mails(house)] == ([left] if left else [])
    assert kit.skipped(house) == ([] if left else [(kit.HERE, "play_exited", kit.NINE)])
    assert [row.id for row in house.rows(kit.ITEMS)] == [
        row.id for row in house.rows(kit.ITEMS) if row.action
    ]


@kit.lone
def test_a_worker_that_dies_before_the_commit_leaves_the_mail_to_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.collected(house)

    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(digest_rounds.DigestRounds, "_write", die)
        with pytest.raises(RuntimeError):
            kit.carry(house, kit.NINE)
    assert kit.mails(house) == []
    house.restart()
    house.settle(2)
    (mail,) = kit.mails(house)
    assert sorted(kit.listed(mail)) == sorted([kit.HERE, kit.THERE])
    house.restart()
    house.settle(2)
    assert len(kit.mails(house)) == 1


@kit.both
def test_a_worker_that_lost_the_home_partition_sends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    find = digest_rounds.DigestRounds.find

    def taken_over(self: Any, mine: Any) -> Any:
        found = find(self, mine)
        if found:
            with house.db.write() as conn:
                conn.execute(update(tables.partitions).values(epoch=tables.partitions.c.epoch + 1))
        return found

    monkeypatch.setattr(digest_rounds.DigestRounds, "find", taken_over)
    with pytest.raises(Fenced):  # by its next batch
        kit.carry(house, kit.NINE)
    assert kit.mails(house) == []
    monkeypatch.undo()
    house.restart()
    house.settle(2)
    assert len(kit.mails(house)) == 1


@kit.lone
def test_an_exit_while_the_mail_is_rendered_is_heeded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.collected(house)
    find = digest_rounds.DigestRounds.find

    def meanwhile(self: Any, mine: Any) -> Any:
        found = find(self, mine)
        if found:
            with house.db.write() as conn:
                conn.execute(update(kit.ITEMS).where(kit.ITEMS.c.account == kit.THERE).values(gone_at=0))
        return found

    monkeypatch.setattr(digest_rounds.DigestRounds, "find", meanwhile)
    kit.carry(house, kit.NINE)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.HERE]]
    assert kit.skipped(house) == [(kit.THERE, "play_exited", kit.NINE)]


@kit.both
def test_every_play_lists_the_mail(house: House, client: TestClient) -> None:  # noqa: F811
    mail = kit.mail_of_both(house)
    plays = client.get("/v1/plays").json()["items"]
    assert len(plays) == 2
    for play in plays:
        detail = client.get(f"/v1/plays/{play['id']}").json()
        assert [one["id"] for one in detail["actions"]] == [mail.id]
        assert [one["reason"] for one in detail["history"]].count("collected") == 1
        of_play = client.get(f"/v1/actions?play={play['id']}").json()["items"]
        assert [(one["id"], one["digest"]) for one in of_play] == [(mail.id, "hello")]
    assert len(client.get("/v1/actions").json()["items"]) == 1


@kit.lone
def test_a_digest_that_is_due_keeps_the_service_busy(house: House) -> None:
    house.save(book(steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    due = lambda: status(house.db, house.log, house.clock, log_clock=True)["due"]  # noqa: E731
    kit.carry(house, kit.NINE, 0)
    assert due() == 0  # the other partition's clock has not passed it
    kit.carry(house, kit.NINE, 1)
    assert due() == 1  # the mail
    with house.db.write() as conn:
        conn.execute(update(kit.ITEMS).values(action=None))
        conn.execute(update(ACTIONS).values(status="done", next_attempt_at=None))
    assert due() == 1  # the digest


def test_with_the_wall_clock_it_goes_out_at_its_moment(build: Callable[..., House]) -> None:
    house = build(mode="wall")
    kit.collected(house, {"wait": "1d"})
    moment = house.rows(kit.ITEMS)[0].due  # it follows the time of receipt
    house.clock.set(moment)
    house.settle(2)
    assert kit.mails(house) == []
    house.clock.set(moment + 2 * SECOND)
    house.settle(2)
    (mail,) = kit.mails(house)
    assert (sorted(kit.listed(mail)), mail.due_at) == (sorted([kit.HERE, kit.THERE]), moment)


def test_with_the_wall_clock_it_waits_for_a_partition_that_is_behind_but_not_for_ever(
    build: Callable[..., House],
) -> None:
    house = build(mode="wall")
    house.save(book(steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    moment = house.rows(kit.ITEMS)[0].due
    house.post(event("it", T0 + kit.HOUR, kit.THERE))  # rules is not past it
    house.clock.set(moment + 2 * SECOND)
    house.work()
    assert kit.mails(house) == []
    house.clock.set(moment + 20 * 60 * SECOND)
    house.work()
    (mail,) = kit.mails(house)
    assert kit.listed(mail) == [kit.HERE]
