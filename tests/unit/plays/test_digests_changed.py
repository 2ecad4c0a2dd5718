"""A digest's mail that waits for the policy: what may not go any more when it begins is left out, the rest goes."""

from typing import Any

from schemas.event import rfc3339
from schemas.policy import PolicyDoc
from services.actions.policy.rules import compile_policy
from tests.unit.plays.kit import T0, World, account, book, event
from tests.unit.plays.test_digests import HOUR, NINE, Shows, items, mails, skipped

TO_CONTACT: dict[str, Any] = {"digest": {"template": "hello", "to": "contact", "at": "09:00"}}
TEN = NINE + HOUR


def world(*, waits: bool, **fields: Any) -> World:
    """Two accounts whose contact has the same address; the mail may have to wait for an hour."""
    hours = {"from": "10:00", "to": "20:00"}
    policy = compile_policy(PolicyDoc.model_validate({"hours": hours})) if waits else None
    made = World(book(steps=[TO_CONTACT], **fields), renderer=Shows(), policy=policy)
    for name in ("acme", "birch"):
        made.say(account(name=name))
    made.fire(T0 + HOUR)
    made.fire(T0 + 2 * HOUR, account="birch")
    return made


def accounts(made: World) -> list[list[str]]:
    return [[name for name, _ in items(mail)] for mail in mails(made)]


def inactive(at: int, name: str, active: bool = False) -> Any:
    return event("contact.updated", at, name, data={"active": active}, contact="ann")


def test_an_item_of_an_inactive_contact_is_left_out() -> None:
    made = world(waits=False)
    made.say(inactive(T0 + 3 * HOUR, "acme"))
    made.clock(NINE)
    assert accounts(made) == [["birch"]]
    assert skipped(made) == [("acme", "contact_inactive")]


def test_a_contact_that_is_active_again_gets_its_item() -> None:
    made = world(waits=False)
    made.say(inactive(T0 + 3 * HOUR, "acme"))
    made.say(inactive(T0 + 4 * HOUR, "acme", True))
    made.clock(NINE)
    assert accounts(made) == [["acme", "birch"]]


def test_with_all_contacts_inactive_there_is_no_mail() -> None:
    for waits, at in ((False, T0 + 3 * HOUR), (True, NINE + 1)):
        made = world(waits=waits)
        made.say(inactive(at, "acme"))
        made.say(inactive(at, "birch"))
        made.clock(TEN)
        assert mails(made) == []
        assert sorted(skipped(made)) == [("acme", "contact_inactive"), ("birch", "contact_inactive")]


def test_a_mail_that_waits_is_made_anew_without_an_inactive_contact() -> None:
    for gone, left in (("acme", "birch"), ("birch", "acme")):
        made = world(waits=True)
        made.clock(NINE)
        (mail,) = made.store.actions
        made.say(inactive(NINE + 1, gone))
        made.clock(TEN)
        assert accounts(made) == [[left]]
        assert mails(made)[0].id == mail
        assert mails(made)[0].begun_at == TEN
        assert skipped(made) == [(gone, "contact_inactive")]


def test_a_play_whose_item_is_in_a_mail_that_waits_still_hears_its_exit() -> None:
    for gone, left in (("acme", "birch"), ("birch", "acme")):
        made = world(waits=True, exit_when={"event": "paid"})
        made.clock(NINE)
        made.say(event("paid", NINE + 1, gone))
        made.clock(TEN)
        assert accounts(made) == [[left]]
        assert skipped(made) == [(gone, "play_exited")]


def test_an_exit_after_the_mail_began_changes_nothing() -> None:
    made = world(waits=True, exit_when={"event": "paid"})
    made.clock(TEN)
    made.say(event("paid", TEN + 1, "birch"))
    assert accounts(made) == [["acme", "birch"]]
    assert {play.status for play in made.store.plays.values()} == {"finished"}


def test_an_erased_account_is_taken_out_of_a_mail_that_waits() -> None:
    for gone, left, at in (("acme", "birch", T0 + HOUR * 2), ("birch", "acme", T0 + HOUR)):
        made = world(waits=True)
        made.clock(NINE)
        made.say(event("account.deleted", NINE + 1, gone))
        made.clock(TEN)
        assert [items(mail) for mail in mails(made)] == [[(left, rfc3339(at))]]
        assert skipped(made) == []
