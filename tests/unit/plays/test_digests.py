"""Digests: what is collected goes out in one mail, and what is settled before does not."""

from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.digest import DigestStep, next_moment
from schemas.event import from_microseconds, instant, microseconds, rfc3339
from schemas.play_reasons import StepReason
from schemas.policy import WEEK, PolicyDoc
from services.actions.plays.memory_rows import MemoryAction
from services.actions.plays.model import Rendered
from services.actions.policy.rules import compile_policy
from tests.unit.plays.kit import DAY, SECOND, T0, World, account, book, event

HOUR = 3_600 * SECOND
NINE = T0 + 9 * HOUR
LIST = {"digest": {"template": "hello", "to": "owner", "at": "09:00"}}


class Shows:
    """Renders a mail as its context."""

    def render_many(self, jobs: Any) -> Any:
        return [Rendered(content={"subject": "s", **job.draft.context}) for job in jobs]

    def check(self, sources: Any) -> Any:
        return []


def world(*steps: dict[str, Any], accounts: tuple[str, ...] = ("acme", "birch"), **fields: Any) -> World:
    made = World(book(steps=list(steps) or [LIST], **fields), renderer=Shows())
    for name in accounts:
        made.say(account(name=name))
    return made


def mails(made: World) -> list[MemoryAction]:
    return [one for one in made.store.actions.values() if one.status == "done"]


def items(mail: MemoryAction) -> list[tuple[str, str]]:
    return [(one["account"]["id"], one["at"]) for one in mail.rendered["items"]]


def skipped(made: World) -> list[tuple[str, str | None]]:
    return [(one.account, one.reason) for one in made.store.actions.values() if one.status == "skipped"]


def test_items_of_two_accounts_go_out_in_one_mail() -> None:
    made = world()
    first = made.fire(T0 + HOUR)
    made.fire(T0 + 2 * HOUR, account="birch")
    made.say(event("it", NINE - 1))
    assert mails(made) == []
    made.clock(NINE)
    (mail,) = mails(made)
    assert items(mail) == [("acme", rfc3339(T0 + HOUR)), ("birch", rfc3339(T0 + 2 * HOUR))]
    assert (mail.recipient, mail.due_at, mail.template) == ("jo@us.test", NINE, "hello")
    assert first is not None
    assert (mail.play, mail.channel) == (first.id, "email")
    assert mail.rendered["more"] == 0
    assert mail.rendered["owner"] == {"name": "Jo", "email": "jo@us.test"}
    assert mail.rendered["items"][0]["trigger"]["event"]["data"] == {"invoice": "88"}
    assert {one["playbook"] for one in mail.rendered["items"]} == {"book"}
    assert "account" not in mail.rendered
    assert "trigger" not in mail.rendered
    assert [one.reason for one in made.store.notes] == [StepReason.COLLECTED, StepReason.COLLECTED]


def test_the_play_finishes_and_the_mail_is_told_once() -> None:
    made = world()
    made.fire(T0 + HOUR)
    made.fire(T0 + HOUR, account="birch")
    assert {play.status for play in made.store.plays.values()} == {"finished"}
    made.clock(NINE + 5 * DAY)
    assert len(mails(made)) == 1
    assert made.told().count("email.sent") == 1


def test_what_comes_at_the_moment_itself_is_for_the_next_mail() -> None:
    made = world()
    made.fire(NINE - 1)
    made.fire(NINE, account="birch")
    made.clock(NINE + DAY)
    assert [(one.due_at, items(one)) for one in mails(made)] == [
        (NINE, [("acme", rfc3339(NINE - 1))]),
        (NINE + DAY, [("birch", rfc3339(NINE))]),
    ]


def test_an_address_is_one_recipient_however_it_is_written() -> None:
    made = world(accounts=("acme",))
    made.say(account(name="birch", owner={"name": "Jo", "email": "JO@Us.test"}))
    made.fire(T0 + HOUR)
    made.fire(T0 + HOUR, account="birch")
    made.clock(NINE)
    assert len(mails(made)) == 1


def test_another_recipient_or_key_is_another_mail() -> None:
    other = {"digest": {**LIST["digest"], "key": "other"}}
    fixed = {"digest": {**LIST["digest"], "to": "team@us.test"}}
    made = world(LIST, other, fixed)
    made.fire(T0 + HOUR)
    made.clock(NINE)
    assert sorted(str(one.recipient) for one in mails(made)) == ["jo@us.test", "jo@us.test", "team@us.test"]
    assert len({one.id for one in mails(made)}) == 3


def test_an_exit_before_the_moment_takes_the_item_back() -> None:
    made = world(exit_when={"event": "paid"})
    made.fire(T0 + HOUR)
    made.fire(T0 + HOUR, account="birch")
    made.say(event("paid", T0 + 2 * HOUR))
    made.clock(NINE)
    (mail,) = mails(made)
    assert items(mail) == [("birch", rfc3339(T0 + HOUR))]
    assert skipped(made) == [("acme", "play_exited")]


def test_an_exit_of_an_open_play_takes_it_back_too() -> None:
    made = world(LIST, {"wait": "3d"}, exit_when={"event": "paid"})
    made.fire(T0 + HOUR)
    made.say(event("paid", NINE - 1))
    made.clock(NINE)
    assert mails(made) == []
    assert skipped(made) == [("acme", "play_exited")]


@pytest.mark.parametrize("at", [NINE, NINE + 1])
def test_an_exit_at_the_moment_or_later_does_not(at: int) -> None:
    made = world(exit_when={"event": "paid"})
    made.fire(T0 + HOUR)
    made.say(event("paid", at))
    made.clock(NINE + DAY)
    assert len(mails(made)) == 1
    assert skipped(made) == []


def test_with_nothing_left_there_is_no_mail() -> None:
    made = world(exit_when={"event": "paid"})
    made.fire(T0 + HOUR)
    made.say(event("paid", T0 + 2 * HOUR))
    made.clock(NINE + DAY)
    assert mails(made) == []
    assert "email.sent" not in made.told()


def test_an_erased_account_is_in_no_mail() -> None:
    made = world()
    made.fire(T0 + HOUR)
    made.fire(T0 + HOUR, account="birch")
    made.say(event("account.deleted", T0 + 2 * HOUR))
    made.clock(NINE)
    (mail,) = mails(made)
    assert items(mail) == [("birch", rfc3339(T0 + HOUR))]
    assert skipped(made) == []


def test_an_erased_contact_gets_no_mail() -> None:
    made = world({"digest": {**LIST["digest"], "to": "contact"}})
    made.fire(T0 + HOUR, contact="ann")
    made.say(event("contact.deleted", T0 + 2 * HOUR, contact="ann"))
    made.clock(NINE)
    assert made.acts() == []


def test_a_paused_playbook_waits_for_the_next_digest() -> None:
    made = world()
    made.fire(T0 + HOUR)
    made.holds.pause("book")
    made.clock(NINE + HOUR)
    assert mails(made) == []
    made.holds.resume("book")
    made.fire(NINE + 2 * HOUR, account="birch")
    made.clock(NINE + DAY - 1)
    assert mails(made) == []
    made.clock(NINE + DAY)
    (mail,) = mails(made)
    assert items(mail) == [("acme", rfc3339(T0 + HOUR)), ("birch", rfc3339(NINE + 2 * HOUR))]


def test_a_recipient_that_must_not_be_written_to_is_skipped_at_once() -> None:
    made = world({"digest": {**LIST["digest"], "to": "all"}}, accounts=())
    contacts = [{"id": "ann", "email": "ann@acme.test"}, {"id": "bob", "email": "b@a.test", "active": False}]
    made.say(account(contacts=contacts))
    made.fire(T0 + HOUR)
    assert made.acts() == [("email", "b@a.test", "skipped", "contact_inactive")]
    made.clock(NINE)
    assert [one.recipient for one in mails(made)] == ["ann@acme.test"]


def test_no_more_than_at_most_and_the_rest_is_counted() -> None:
    made = world({"digest": {**LIST["digest"], "at_most": 2}}, accounts=("a", "b", "c"))
    for place, name in enumerate(("c", "a", "b")):
        made.fire(T0 + place * HOUR, account=name)
    made.clock(NINE + 3 * DAY)
    (mail,) = mails(made)
    assert [one for one, _ in items(mail)] == ["c", "a"]
    assert mail.rendered["more"] == 1


def test_the_zone_is_that_of_the_first_items_contact_else_account() -> None:
    made = world({"digest": {**LIST["digest"], "to": "contact"}}, accounts=())
    ann = {"id": "ann", "email": "ann@acme.test"}
    made.say(account(timezone="America/New_York", contacts=[ann]))
    made.say(account(name="birch", timezone="Asia/Tokyo", contacts=[{**ann, "timezone": "Europe/Paris"}]))
    made.fire(T0 + HOUR, account="birch")
    made.fire(T0 + 2 * HOUR)
    made.fire(T0 + 8 * HOUR)
    made.clock(T0 + DAY)
    assert [(rfc3339(one.due_at), len(items(one))) for one in mails(made)] == [
        ("2026-01-01T08:00:00Z", 2),
        ("2026-01-01T14:00:00Z", 1),
    ]


@pytest.mark.parametrize(("zone", "moment"), [(None, NINE), ("Europe/Paris", NINE - HOUR)])
def test_the_owners_list_is_in_the_zone_of_the_policy(zone: str | None, moment: int) -> None:
    made = world(accounts=())
    made.library._timezone = zone
    made.say(account(timezone="Asia/Tokyo"))
    made.fire(T0 + HOUR)
    made.clock(T0 + DAY)
    assert [one.due_at for one in mails(made)] == [moment]


def test_the_template_is_that_of_the_first_item_which_may_be_missing() -> None:
    made = world({"digest": {**LIST["digest"], "template": "nope"}})
    made.fire(T0 + HOUR)
    made.clock(NINE)
    assert made.acts() == [("email", "jo@us.test", "failed", "template_unknown")]


def test_waits_and_digests_run_in_the_order_of_time() -> None:
    made = world({"wait": "8h"}, LIST, {"wait": "1h"}, {"digest": {**LIST["digest"], "at": "11:00"}})
    made.fire(T0)
    made.clock(T0 + DAY)
    assert [one.due_at for one in mails(made)] == [NINE, NINE + 2 * HOUR]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "9:00"),
        ("at", "24:00"),
        ("at", "09:60"),
        ("days", []),
        ("days", ["mon", "mon"]),
        ("days", ["monday"]),
        ("at_most", 0),
        ("at_most", "5"),
        ("key", ""),
        ("to", "nobody"),
        ("from", "owner"),
    ],
)
def test_what_cannot_work_is_refused(field: str, value: Any) -> None:
    good = {"template": "t", "at": "09:00"}
    DigestStep.model_validate(good)
    with pytest.raises(ValidationError):
        DigestStep.model_validate(good | {field: value})


ZONES = ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe", None]


@settings(max_examples=12)
@given(
    after=st.integers(instant("2011-01-01T00:00:00Z"), instant("2027-01-01T00:00:00Z")),
    minutes=st.integers(0, 24 * 60 - 1),
    days=st.one_of(st.none(), st.sets(st.sampled_from(WEEK), min_size=1)),
    zone=st.sampled_from(ZONES),
)
@example(instant("2026-03-28T12:00:00Z"), 150, None, "Europe/Berlin")
@example(instant("2026-10-24T12:00:00Z"), 150, None, "Europe/Berlin")
@example(instant("2026-10-25T00:30:00Z"), 150, None, "Europe/Berlin")
@example(instant("2011-12-29T20:00:00Z"), 540, None, "Pacific/Apia")
def test_the_next_moment_is_the_first_at_which_the_clock_shows_it(
    after: int, minutes: int, days: set[str] | None, zone: str | None
) -> None:
    at = f"{minutes // 60:02}:{minutes % 60:02}"
    assert next_moment(after, at, days, zone) == _slow(after, at, days, zone)


def _slow(after: int, at: str, days: set[str] | None, zone: str | None) -> int:
    """Watch the clock of the zone, minute by minute: it comes to a time of a day, or passes it, once."""
    place = ZoneInfo(zone or "UTC")
    start = from_microseconds(after).replace(second=0, microsecond=0) - timedelta(days=2)
    shown = [(one, one.astimezone(place).replace(tzinfo=None)) for one in _minutes(start)]
    done = set()
    for (_, before), (moment, now) in pairwise(shown):
        for day in (before.date() + timedelta(days=n) for n in range((now.date() - before.date()).days + 1)):
            wanted = datetime.combine(day, time.fromisoformat(at))
            if not before < wanted <= now or day in done:
                continue
            done.add(day)
            if microseconds(moment) > after and (not days or WEEK[day.weekday()] in days):
                return microseconds(moment)
    raise AssertionError("no such moment")


def _minutes(start: datetime) -> list[datetime]:
    return [start + timedelta(minutes=n) for n in range(10 * 24 * 60)]


def governed(**policy: Any) -> World:
    """Digests to contacts at seven, under a policy."""
    made = World(
        book(
            steps=[{"digest": {**LIST["digest"], "to": "contact", "at": "07:00"}}],
            exit_when={"event": "paid"},
        ),
        renderer=Shows(),
    )
    made.store._outgoing.policy = compile_policy(PolicyDoc.model_validate(policy))
    made.say(account(contacts=[{"id": "ann", "email": "ann@acme.test"}]))
    made.say(account(name="birch", contacts=[{"id": "ann", "email": "ann@acme.test"}]))
    made.fire(T0 + HOUR)
    made.fire(T0 + 2 * HOUR, account="birch")
    return made


def test_the_policy_holds_for_the_mail() -> None:
    made = governed(hours={"from": "08:00", "to": "18:00"})
    made.clock(T0 + 7 * HOUR)
    assert made.acts() == [("email", "ann@acme.test", "pending", "quiet_hours")]
    made.clock(T0 + 20 * HOUR)
    (mail,) = mails(made)
    assert (mail.due_at, mail.begun_at, len(items(mail))) == (T0 + 7 * HOUR, T0 + 8 * HOUR, 2)


def test_an_exit_while_the_mail_waits_takes_the_item_out_of_it() -> None:
    made = governed(hours={"from": "08:00", "to": "18:00"})
    made.clock(T0 + 7 * HOUR)
    made.say(event("paid", T0 + 7 * HOUR + 1))
    made.clock(T0 + 20 * HOUR)
    (mail,) = mails(made)
    assert [one for one, _ in items(mail)] == ["birch"]
    assert (mail.account, mail.begun_at) == ("birch", T0 + 8 * HOUR)
    assert skipped(made) == [("acme", "play_exited")]


def test_a_mail_that_serves_nobody_any_more_does_not_begin() -> None:
    made = governed(hours={"from": "08:00", "to": "18:00"})
    made.clock(T0 + 7 * HOUR)
    made.say(event("paid", T0 + 7 * HOUR + 1), event("paid", T0 + 7 * HOUR + 2, "birch"))
    made.clock(T0 + 20 * HOUR)
    assert mails(made) == []
    assert sorted(skipped(made)) == [("acme", "play_exited"), ("birch", "play_exited")]
