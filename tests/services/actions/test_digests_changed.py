"""Digests that change before they go out: exits by hand, erasure, pauses, topics that were left."""

from fastapi.testclient import TestClient
from sqlalchemy import update

from schemas.event import rfc3339
from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.library import POLICY
from tests.services.actions import digests_kit as kit
from tests.services.actions.kit import ACTIONS, HASHER, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, T0, book, event


@kit.lone
def test_an_exit_by_hand_takes_the_item_back_at_once(house: House, client: TestClient) -> None:  # noqa: F811
    kit.collected(house, {"wait": "3d"})
    (play,) = client.get(f"/v1/plays?account={kit.HERE}").json()["items"]
    kit.carry(house, kit.NINE, 0)
    client.post(f"/v1/plays/{play['id']}/exit")
    assert [(one[0], one[1]) for one in kit.skipped(house)] == [(kit.HERE, "play_exited")]
    kit.carry(house, kit.NINE, 1)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.THERE]]


@kit.both
def test_an_exit_by_hand_makes_a_mail_anew_that_has_not_begun(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    mail = kit.mail_of_both(house, {"wait": "3d"})
    plays = {one["account"]: one["id"] for one in client.get("/v1/plays").json()["items"]}
    client.post(f"/v1/plays/{plays[mail.account]}/exit")
    house.settle(2)
    other = kit.THERE if mail.account == kit.HERE else kit.HERE
    (again,) = kit.mails(house)
    assert (again.id, kit.listed(again), again.account) == (mail.id, [other], other)
    client.post(f"/v1/plays/{plays[other]}/exit")
    house.settle(2)
    assert kit.mails(house) == []
    assert {(one[0], one[1]) for one in kit.skipped(house)} == {
        (kit.HERE, "play_exited"),
        (kit.THERE, "play_exited"),
    }


@kit.both
def test_an_erased_account_is_taken_out_of_a_mail_that_waits(house: House) -> None:
    mail = kit.mail_of_both(house)
    house.post(event("account.deleted", kit.NINE + 1, mail.account))
    house.settle(2)
    (again,) = kit.mails(house)
    assert again.id == mail.id
    assert kit.listed(again) == [kit.THERE if mail.account == kit.HERE else kit.HERE]
    assert not any(mail.account in (row.account, str(row.scope)) for row in house.rows(kit.ITEMS))


@kit.lone
def test_an_erased_account_leaves_no_word_in_a_mail_that_was_sent(house: House) -> None:
    mail = kit.mail_of_both(house)
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(status="done", next_attempt_at=None, done_at=kit.NINE))
    house.post(event("account.deleted", kit.NINE + 1, mail.account))
    house.settle(2)
    other = kit.THERE if mail.account == kit.HERE else kit.HERE
    (kept,) = house.rows(ACTIONS)
    assert (kept.id, kept.status, kept.account) == (mail.id, "done", other)
    assert kept.rendered["subject"] == "[erased]"
    house.post(event("account.deleted", kit.NINE + 2, other))
    house.settle(2)
    assert house.rows(ACTIONS) == []
    assert house.rows(kit.ITEMS) == []


@kit.lone
def test_an_erased_account_is_in_no_mail_to_come(house: House) -> None:
    kit.collected(house)
    house.post(event("account.deleted", T0 + 2 * kit.HOUR, kit.HERE))
    kit.carry(house, kit.NINE)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.THERE]]


@kit.lone
def test_a_paused_playbook_sends_nothing_and_its_items_go_with_the_next(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[kit.LIST]))
    house.save(book("other", steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    client.post("/v1/playbooks/book/pause", json={})
    kit.put(house, T0 + 2 * kit.HOUR, kit.THERE, playbook="other")
    kit.carry(house, kit.NINE)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.THERE]]
    kit.carry(house, kit.NINE + DAY)
    assert len(kit.mails(house)) == 1
    client.post("/v1/playbooks/book/resume", json={"held": "release"})
    house.settle(2)
    assert len(kit.mails(house)) == 1
    kit.carry(house, kit.NINE + 2 * DAY)
    _, second = kit.mails(house)
    assert (second.due_at, kit.listed(second)) == (kit.NINE + 2 * DAY, [kit.HERE])
    assert second.rendered["context"]["items"][0]["at"] == rfc3339(T0 + kit.HOUR)


@kit.lone
def test_a_topic_that_the_recipient_has_left_is_left_out(house: House) -> None:
    mine = {"digest": {**kit.LIST["digest"], "to": "contact"}}
    house.save(book(steps=[mine], topic="news"))
    house.save(book("other", steps=[mine], topic="billing"))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    kit.put(house, T0 + 2 * kit.HOUR, kit.HERE, playbook="other")
    with house.db.write() as conn:
        suppressions.add(conn, HASHER.digest("ann@acme.test"), "news", None, "unsubscribed", 0)
    kit.carry(house, kit.NINE)
    (mail,) = kit.mails(house)
    assert (mail.topic, [one["playbook"] for one in mail.rendered["context"]["items"]]) == (
        "billing",
        ["other"],
    )
    assert kit.skipped(house) == [(kit.HERE, "suppressed", kit.NINE)]


@kit.lone
def test_a_retry_goes_on_for_the_plays_that_are_left(house: House, client: TestClient) -> None:  # noqa: F811
    """A mail belongs to its first item's play; that this play exits does not end the mail of the others."""
    mail = kit.mail_of_both(house, {"wait": "3d"})
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(status="retrying", attempts=1, begun_at=kit.NINE))
    plays = {one["account"]: one["id"] for one in client.get("/v1/plays").json()["items"]}
    client.post(f"/v1/plays/{plays[mail.account]}/exit")
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=False)
    with house.db.write() as conn:
        leased = writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased
    assert [one.id for one in leased] == [mail.id]
    with house.db.write() as conn:
        conn.execute(update(ACTIONS).values(lease_owner=None, lease_until=None))
    client.post(f"/v1/plays/{plays[kit.THERE if mail.account == kit.HERE else kit.HERE]}/exit")
    assert [row.status for row in house.rows(ACTIONS)] == ["skipped"]


@kit.both
def test_a_pause_takes_the_item_out_of_a_mail_that_has_not_begun(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[kit.LIST]))
    house.save(book("other", steps=[kit.LIST]))
    kit.put(house, T0 + kit.HOUR, kit.HERE)
    kit.put(house, T0 + 2 * kit.HOUR, kit.THERE, playbook="other")
    kit.carry(house, kit.NINE)
    (mail,) = kit.mails(house)
    assert kit.listed(mail) == [kit.HERE, kit.THERE]
    client.post("/v1/playbooks/other/pause", json={})
    writer = AttemptWriter("me", HASHER, house.log.partitions, log_clock=True)
    with house.db.write() as conn:
        assert writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased == []
    house.settle(2)
    (again,) = kit.mails(house)
    assert (again.id, kit.listed(again)) == (mail.id, [kit.HERE])
    with house.db.write() as conn:
        assert len(writer.write(conn, Batch(lease=Wanted(5)), house.clock.now()).leased) == 1
    client.post("/v1/playbooks/other/resume", json={"held": "release"})
    kit.carry(house, kit.NINE + DAY)
    assert [kit.listed(one) for one in kit.mails(house)] == [[kit.HERE], [kit.THERE]]


@kit.both
def test_the_policy_holds_for_the_mail_as_of_its_moment(house: House) -> None:
    """Though the clocks are far past it when it is put together: it begins when the hours of that day did, and an exit
    from before then counts."""
    step = {"digest": {**kit.LIST["digest"], "to": "contact", "at": "07:00"}}
    house.save(book(steps=[step], exit_when={"event": "paid"}))
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "08:00", "to": "10:00"}}, "test", 0)
    kit.put(house, T0 + kit.HOUR, kit.HERE, kit.THERE)
    house.post(event("paid", T0 + 7 * kit.HOUR + 1, kit.HERE), event("paid", T0 + 8 * kit.HOUR, kit.THERE))
    kit.carry(house, T0 + 20 * kit.HOUR)
    (mail,) = kit.mails(house)
    assert kit.listed(mail) == [kit.THERE]
    assert (mail.begun_at, mail.waits, mail.next_attempt_at is None) == (T0 + 8 * kit.HOUR, False, False)
    assert kit.skipped(house) == [(kit.HERE, "play_exited", T0 + 7 * kit.HOUR)]


@kit.lone
def test_a_mail_that_waits_for_the_policy_is_made_anew_without_what_exits(house: House) -> None:
    step = {"digest": {**kit.LIST["digest"], "to": "contact", "at": "07:00"}}
    house.save(book(steps=[step], exit_when={"event": "paid"}))
    with house.db.write() as conn:
        POLICY.put(conn, "policy", {"hours": {"from": "08:00", "to": "10:00"}}, "test", 0)
    kit.put(house, T0 + kit.HOUR, kit.HERE, kit.THERE)
    kit.carry(house, T0 + 7 * kit.HOUR)
    (mail,) = kit.mails(house)
    assert (mail.reason, mail.begun_at, len(kit.listed(mail))) == ("quiet_hours", None, 2)
    house.post(event("paid", T0 + 7 * kit.HOUR + 1, kit.HERE))
    house.settle(2)
    kit.carry(house, T0 + 20 * kit.HOUR)
    (again,) = kit.mails(house)
    assert (again.id, kit.listed(again), again.begun_at) == (mail.id, [kit.THERE], T0 + 8 * kit.HOUR)
