"""Digests that change before they go out: exits by hand, erasure, pauses, topics that were left."""

from fastapi.testclient import TestClient
from sqlalchemy import update

from schemas.event import rfc3339
from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.library import POLICY
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
from tests.services.actions.kit import ACTIONS, HASHER, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, T0, book, event


@lone
def test_an_exit_by_hand_takes_the_item_back_at_once(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps=[LIST, {"wait": "3d"}]))
    put(house, T0 + HOUR, HERE, THERE)
    (play,) = client.get(f"/v1/plays?account={HERE}").json()["items"]
    carry(house, NINE, 0)
    client.post(f"/v1/plays/{play['id']}/exit")
    assert [(one[0], one[1]) for one in skipped(house)] == [(HERE, "play_exited")]
    carry(house, NINE, 1)
    assert [listed(one) for one in mails(house)] == [[THERE]]


@both
def test_an_exit_by_hand_makes_a_mail_anew_that_has_not_begun(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[LIST, {"wait": "3d"}]))
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    plays = {one["account"]: one["id"] for one in client.get("/v1/plays").json()["items"]}
    client.post(f"/v1/plays/{plays[mail.account]}/exit")
    house.settle(2)
    other = THERE if mail.account == HERE else HERE
    (again,) = mails(house)
    assert (again.id, listed(again), again.account) == (mail.id, [other], other)
    client.post(f"/v1/plays/{plays[other]}/exit")
    house.settle(2)
    assert mails(house) == []
    assert {(one[0], one[1]) for one in skipped(house)} == {(HERE, "play_exited"), (THERE, "play_exited")}


@both
def test_an_erased_account_is_taken_out_of_a_mail_that_waits(house: House) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    house.post(event("account.deleted", NINE + 1, mail.account))
    house.settle(2)
    (again,) = mails(house)
    assert again.id == mail.id
    assert listed(again) == [THERE if mail.account == HERE else HERE]
    assert not any(mail.account in (row.account, str(row.scope)) for row in house.rows(ITEMS))


@lone
def test_an_erased_account_leaves_no_word_in_a_mail_that_was_sent(house: House) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(status="done", next_attempt_at=None, done_at=NINE))
    house.post(event("account.deleted", NINE + 1, mail.account))
    house.settle(2)
    other = THERE if mail.account == HERE else HERE
    (kept,) = house.rows(ACTIONS)
    assert (kept.id, kept.status, kept.account) == (mail.id, "done", other)
    assert kept.rendered["subject"] == "[erased]"
    house.post(event("account.deleted", NINE + 2, other))
    house.settle(2)
    assert house.rows(ACTIONS) == []
    assert house.rows(ITEMS) == []


@lone
def test_an_erased_account_is_in_no_mail_to_come(house: House) -> None:
    house.save(book(steps=[LIST]))
    put(house, T0 + HOUR, HERE, THERE)
    house.post(event("account.deleted", T0 + 2 * HOUR, HERE))
    carry(house, NINE)
    assert [listed(one) for one in mails(house)] == [[THERE]]


@lone
def test_a_paused_playbook_sends_nothing_and_its_items_go_with_the_next(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[LIST]))
    house.save(book("other", steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    client.post("/v1/playbooks/book/pause", json={})
    put(house, T0 + 2 * HOUR, THERE, playbook="other")
    carry(house, NINE)
    assert [listed(one) for one in mails(house)] == [[THERE]]
    carry(house, NINE + DAY)
    assert len(mails(house)) == 1
    client.post("/v1/playbooks/book/resume", json={"held": "release"})
    house.settle(2)
    assert len(mails(house)) == 1
    carry(house, NINE + 2 * DAY)
    _, second = mails(house)
    assert (second.due_at, listed(second)) == (NINE + 2 * DAY, [HERE])
    assert second.rendered["context"]["items"][0]["at"] == rfc3339(T0 + HOUR)


@lone
def test_a_topic_that_the_recipient_has_left_is_left_out(house: House) -> None:
    mine = {"digest": {**LIST["digest"], "to": "contact"}}
    house.save(book(steps=[mine], topic="news"))
    house.save(book("other", steps=[mine], topic="billing"))
    put(house, T0 + HOUR, HERE)
    put(house, T0 + 2 * HOUR, HERE, playbook="other")
    with house.db.write() as conn:
        suppressions.add(conn, HASHER.digest("ann@acme.test"), "news", None, "unsubscribed", 0)
    carry(house, NINE)
    (mail,) = mails(house)
    assert (mail.topic, [one["playbook"] for one in mail.rendered["context"]["items"]]) == (
        "billing",
        ["other"],
    )
    assert skipped(house) == [(HERE, "suppressed", NINE)]


@lone
def test_a_retry_goes_on_for_the_plays_that_are_left(house: House, client: TestClient) -> None:  # noqa: F811
    """A mail belongs to its first item's play; that this play exits does not end the mail of the others."""
    house.save(book(steps=[LIST, {"wait": "3d"}]))
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, NINE)
    (mail,) = mails(house)
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(status="retrying", attempts=1, begun_at=NINE))
    plays = {one["account"]: one["id"] for one in client.get("/v1/plays").json()["items"]}
    client.post(f"/v1/plays/{plays[mail.account]}/exit")
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=False)
    with house.db.write() as conn:
        leased = writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased
    assert [one.id for one in leased] == [mail.id]
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(lease_owner=None, lease_until=None))
    client.post(f"/v1/plays/{plays[THERE if mail.account == HERE else HERE]}/exit")
    assert [row.status for row in house.rows(ACTIONS)] == ["skipped"]


@both
def test_a_pause_takes_the_item_out_of_a_mail_that_has_not_begun(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[LIST]))
    house.save(book("other", steps=[LIST]))
    put(house, T0 + HOUR, HERE)
    put(house, T0 + 2 * HOUR, THERE, playbook="other")
    carry(house, NINE)
    (mail,) = mails(house)
    assert listed(mail) == [HERE, THERE]
    client.post("/v1/playbooks/other/pause", json={})
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=True)
    with house.db.write() as conn:
        assert writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased == []
    house.settle(2)
    (again,) = mails(house)
    assert (again.id, listed(again)) == (mail.id, [HERE])
    with house.db.write() as conn:
        assert len(writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased) == 1
    client.post("/v1/playbooks/other/resume", json={"held": "release"})
    carry(house, NINE + DAY)
    assert [listed(one) for one in mails(house)] == [[HERE], [THERE]]


@both
def test_the_policy_holds_for_the_mail_as_of_its_moment(house: House) -> None:
    """Though the clocks are far past it when it is put together: it begins when the hours of that day did, and an exit
    from before then counts."""
    step = {"digest": {**LIST["digest"], "to": "contact", "at": "07:00"}}
    house.save(book(steps=[step], exit_when={"event": "paid"}))
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "08:00", "to": "10:00"}}, "test", 0)
    put(house, T0 + HOUR, HERE, THERE)
    house.post(event("paid", T0 + 7 * HOUR + 1, HERE), event("paid", T0 + 8 * HOUR, THERE))
    carry(house, T0 + 20 * HOUR)
    (mail,) = mails(house)
    assert listed(mail) == [THERE]
    assert (mail.begun_at, mail.waits, mail.next_attempt_at is None) == (T0 + 8 * HOUR, False, False)
    assert skipped(house) == [(HERE, "play_exited", T0 + 7 * HOUR)]


@lone
def test_a_mail_that_waits_for_the_policy_is_made_anew_without_what_exits(house: House) -> None:
    step = {"digest": {**LIST["digest"], "to": "contact", "at": "07:00"}}
    house.save(book(steps=[step], exit_when={"event": "paid"}))
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "08:00", "to": "10:00"}}, "test", 0)
    put(house, T0 + HOUR, HERE, THERE)
    carry(house, T0 + 7 * HOUR)
    (mail,) = mails(house)
    assert (mail.reason, mail.begun_at, len(listed(mail))) == ("quiet_hours", None, 2)
    house.post(event("paid", T0 + 7 * HOUR + 1, HERE))
    house.settle(2)
    carry(house, T0 + 20 * HOUR)
    (again,) = mails(house)
    assert (again.id, listed(again), again.begun_at) == (mail.id, [THERE], T0 + 8 * HOUR)
