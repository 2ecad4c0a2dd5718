"""Digests on the database: items of several partitions go out in one mail, once, whoever dies meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from backbone.ownership import Fenced
from services.actions import digest_rounds, tables
from services.actions.status import status
from tests.services.actions.digests_kit import (
    HERE,
    HOUR,
    ITEMS,
    LIST,
    NINE,
    THERE,
    both,
    carry,
    listed,
    lone,
    mails,
    put,
    skipped,
)
from tests.services.actions.kit import ACTIONS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, SECOND, T0, book, event


@both
def test_one_mail_for_two_partitions_once_both_clocks_have_passed(house: House) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    put(house, T0 + 2 * HOUR, THERE)
    carry(house, NINE + HOUR, 0)
    carry(house, NINE - 1, 1)
    assert mails(house) == []
    carry(house, NINE, 1)
    (mail,) = mails(house)
    assert listed(mail) == [HERE, THERE]
    assert (mail.status, mail.due_at, mail.recipient) == ("pending", NINE, "jo@us.test")
    assert (mail.account, mail.digest_key) == (HERE, "hello")
    assert {row.action for row in house.rows(ITEMS)} == {mail.id}
    carry(house, NINE + 3 * DAY)
    assert len(mails(house)) == 1


@lone
def test_it_does_not_matter_which_partition_is_read_first(house: House) -> None:
    """An item of before the moment that is read after all else still goes with its mail, and later ones do not."""
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    put(house, NINE + HOUR, HERE)
    carry(house, NINE + 5 * DAY, 0)
    put(house, T0, THERE)
    put(house, NINE, THERE)
    carry(house, NINE + 2 * DAY, 1)
    assert [(one.due_at, listed(one)) for one in mails(house)] == [
        (NINE, [THERE, HERE]),
        (NINE + DAY, [THERE, HERE]),
    ]


@lone
@pytest.mark.parametrize(("at", "left"), [(NINE - 1, []), (NINE, [HERE]), (NINE + 1, [HERE])])
def test_an_exit_counts_by_its_time_however_late_the_mail_is_made(
    house: House, at: int, left: list[str]
) -> None:
    house.save(book(steps=[LIST], exit_when={"event": "paid"}))
    put(house, T0 + HOUR, HERE)
    house.post(event("paid", at, HERE))
    carry(house, NINE + 2 * HOUR, 0)
    carry(house, NINE + 2 * HOUR, 1)
    assert [listed(one) for one in mails(house)] == ([left] if left else [])
    assert skipped(house) == ([] if left else [(HERE, "play_exited", NINE)])
    assert [row.id for row in house.rows(ITEMS)] == [row.id for row in house.rows(ITEMS) if row.action]


@lone
def test_a_worker_that_dies_before_the_commit_leaves_the_mail_to_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)

    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(digest_rounds.DigestRounds, "_write", die)
        with pytest.raises(RuntimeError):
            carry(house, NINE)
    assert mails(house) == []
    house.restart()
    house.settle(2)
    (mail,) = mails(house)
    assert sorted(listed(mail)) == sorted([HERE, THERE])
    house.restart()
    house.settle(2)
    assert len(mails(house)) == 1


@both
def test_a_worker_that_lost_the_home_partition_sends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    find = digest_rounds.DigestRounds.find

    def taken_over(self: Any, mine: Any) -> Any:
        found = find(self, mine)
        if found:
            with house.db.write() as conn:
                conn.execute(update(tables.partitions).values(epoch=tables.partitions.c.epoch + 1))
        return found

    monkeypatch.setattr(digest_rounds.DigestRounds, "find", taken_over)
    with pytest.raises(Fenced):  # by its next batch
        carry(house, NINE)
    assert mails(house) == []
    monkeypatch.undo()
    house.restart()
    house.settle(2)
    assert len(mails(house)) == 1


@lone
def test_an_exit_while_the_mail_is_rendered_is_heeded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)
    find = digest_rounds.DigestRounds.find

    def meanwhile(self: Any, mine: Any) -> Any:
        found = find(self, mine)
        if found:
            with house.db.write() as conn:
                conn.execute(update(ITEMS).where(ITEMS.c.account == THERE).values(gone_at=0))
        return found

    monkeypatch.setattr(digest_rounds.DigestRounds, "find", meanwhile)
    carry(house, NINE)
    assert [listed(one) for one in mails(house)] == [[HERE]]
    assert skipped(house) == [(THERE, "play_exited", NINE)]


@both
def test_every_play_lists_the_mail(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    plays = client.get("/v1/plays").json()["items"]
    assert len(plays) == 2
    for play in plays:
        detail = client.get(f"/v1/plays/{play['id']}").json()
        assert [one["id"] for one in detail["actions"]] == [mail.id]
        assert [one["reason"] for one in detail["history"]].count("collected") == 1
        of_play = client.get(f"/v1/actions?play={play['id']}").json()["items"]
        assert [(one["id"], one["digest"]) for one in of_play] == [(mail.id, "hello")]
    assert len(client.get("/v1/actions").json()["items"]) == 1


@lone
def test_a_digest_that_is_due_keeps_the_service_busy(house: House) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    due = lambda: status(house.db, house.log, house.clock, log_clock=True)["due"]  # noqa: E731
    carry(house, NINE, 0)
    assert due() == 0  # the other partition's clock has not passed it
    carry(house, NINE, 1)
    assert due() == 1  # the mail
    with house.db.write() as conn:
        conn.execute(update(ITEMS).values(action=None))
        conn.execute(update(ACTIONS).values(status="done", next_attempt_at=None))
    assert due() == 1  # the digest


def test_with_the_wall_clock_it_goes_out_at_its_moment(build: Callable[..., House]) -> None:
    house = build(mode="wall")
    house.save(book(steps=[LIST, {"wait": "1d"}]))
    put(house, T0 + HOUR, HERE, THERE)
    moment = house.rows(ITEMS)[0].due  # it follows the time of receipt
    house.clock.set(moment)
    house.settle(2)
    assert mails(house) == []
    house.clock.set(moment + 2 * SECOND)
    house.settle(2)
    (mail,) = mails(house)
    assert (sorted(listed(mail)), mail.due_at) == (sorted([HERE, THERE]), moment)


def test_with_the_wall_clock_it_waits_for_a_partition_that_is_behind_but_not_for_ever(
    build: Callable[..., House],
) -> None:
    house = build(mode="wall")
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    moment = house.rows(ITEMS)[0].due
    house.post(event("it", T0 + HOUR, THERE))  # rules is not past it
    house.clock.set(moment + 2 * SECOND)
    house.work()
    assert mails(house) == []
    house.clock.set(moment + 20 * 60 * SECOND)
    house.work()
    (mail,) = mails(house)
    assert listed(mail) == [HERE]
