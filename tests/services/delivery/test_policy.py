"""The sending policy by the wall clock: mails begin in their hours and in their turn, and no cap is ever passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from backbone.audit import AuditTrail
from schemas.policy import PolicyDoc
from schemas.profile import Contact, Profile
from services.actions.delivery import sending_switch
from services.actions.plays.model import Cancel
from services.actions.plays.retry_policy import Outcome
from services.actions.policy.rules import compile_policy
from services.actions.status import status
from services.actions.storage import beginnings, sending, suppressions
from services.actions.storage.library import POLICY
from services.actions.storage.status import skip_actions
from services.actions.tables import accounts, actions, begins
from tests.services.delivery.kit import HASHER, Fake, House

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
OFFICE = {"hours": {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}}


def at(text: str) -> int:
    """A time in November 2026, of which the 30th is a Monday: `30 08:00`."""
    return round(datetime.fromisoformat(f"2026-11-{text.replace(' ', 'T')}:00Z").timestamp()) * SECOND


class Hand:
    """A clock that stands where a test puts it."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


class Post(House):
    """A house with a policy, and a clock in the test's hand."""

    def __init__(self, folder: Path, url: str = "", start: str = "30 12:00") -> None:
        super().__init__(folder, url)
        self.hand = Hand(at(start))
        self.clock = self.hand  # type: ignore[assignment]

    def policy(self, doc: dict[str, Any]) -> None:
        """Save a policy, as the API does."""
        body = PolicyDoc.model_validate(doc)
        with self.db.write() as conn:
            sending.lock_alone(conn, 5_000)
            beginnings.collect(conn, compile_policy(body), self.clock.now(), HASHER)
            POLICY.put(
                conn, POLICY.kind, body.model_dump(mode="json", by_alias=True), "jo", self.clock.now(), None
            )

    def mail(self, action: str, to: str = "ann@acme.test", account: str = "acme", **fields: Any) -> None:
        """A mail whose step has just run, in a play of its own."""
        given = {"play": f"ply_{action}", "recipient": to, "addressee": to, "account": account, "tier": "low"}
        given |= {"waits": True, "next_look_at": self.clock.now()}
        self.put(action, **{**given, **fields})

    def contact(self, account: str, zone: str | None = None, **contact: Any) -> None:
        """An account with the contact ann."""
        ann = Contact(id="ann", **contact)
        profile = msgspec.json.encode(Profile(id=account, timezone=zone, contacts={"ann": ann}))
        row = {"account": account, "partition": 0, "profile": profile}
        with self.db.write() as conn:
            conn.execute(accounts.delete().where(accounts.c.account == account))
            conn.execute(accounts.insert(), [row])

    def go(self, text: str | None = None, seconds: int = 0) -> None:
        """Carry the clock to a time, and look."""
        self.hand.time = self.hand.time + seconds * SECOND if text is None else at(text)
        for loop in self.loops:
            loop.wake()

    def row(self, action: str) -> Any:
        with self.db.read() as conn:
            return conn.execute(select(actions).where(actions.c.id == action)).one()

    def waits(self, action: str, reason: str) -> Any:
        """Wait until a mail waits for this reason, and is looked at later; returns its row."""

        def does() -> bool:
            row = self.row(action)
            later = row.next_look_at is not None and row.next_look_at > self.clock.now()
            return (row.status, row.reason, later) == ("pending", reason, True)

        self.until(does)
        return self.row(action)

    def ends(self, **ends: str | None) -> None:
        """Wait until these actions have ended so: the reason, None for one that is done."""
        wanted = {
            name: ("done", None) if reason is None else ("skipped", reason) for name, reason in ends.items()
        }
        self.until(lambda: {name: self.states()[name] for name in ends} == wanted)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Post]:
    url = ""
    if request.param == "postgresql":
        given = str(request.getfixturevalue("fresh_postgres_url"))
        url = "postgresql+psycopg" + given[given.index(":") :]
    made = Post(tmp_path, url)
    yield made
    made.close()


def due(post: Post) -> int:
    class NoLog:
        partitions = 1

        def end_offsets(self, _: str) -> dict[int, int]:
            return {}

        start_offsets = end_offsets

    found: int = status(post.db, NoLog(), post.clock, log_clock=False)["due"]  # type: ignore[arg-type]
    return found


def test_a_mail_begins_when_the_hours_of_its_reader_do(either: Post) -> None:
    either.policy({**OFFICE, "timezone": "Europe/Paris"})
    either.contact("acme", zone="Asia/Tokyo")
    either.contact("best", zone="Asia/Tokyo", timezone="America/New_York")
    mails = Fake()
    either.loop(email=mails)
    for name, account in (("act_tokyo", "acme"), ("act_york", "best"), ("act_paris", "unknown")):
        either.mail(name, to=f"{name}@x.test", account=account)
    either.go()
    assert either.waits("act_york", "quiet_hours").next_look_at == at("30 13:00")
    assert either.waits("act_tokyo", "quiet_hours").next_look_at == at("30 23:00")
    either.ends(act_paris=None)
    assert due(either) == 0
    either.go("30 12:59")
    either.go("30 13:00")
    either.ends(act_paris=None, act_york=None)
    row = either.row("act_york")
    assert (row.begun_at, row.due_at, row.waits) == (at("30 13:00"), at("30 12:00"), False)
    assert mails.begun == {"act_paris": at("30 12:00"), "act_york": at("30 13:00")}
    assert either.states()["act_tokyo"] == ("pending", "quiet_hours")


def test_only_mails_to_contacts_wait(post: Post) -> None:
    post.policy({"hours": {"from": "03:00", "to": "04:00"}})
    post.loop(email=Fake(), webhook=Fake())
    post.mail("act_1")
    post.put("act_2", contact=None)
    post.put("act_3", channel="webhook", recipient="crm")
    post.go()
    post.ends(act_2=None, act_3=None)
    post.waits("act_1", "quiet_hours")


def test_a_topic_that_is_excepted_does_not_wait(post: Post) -> None:
    post.policy({"hours": {"from": "03:00", "to": "04:00", "except_topics": ["billing"]}})
    post.loop(email=Fake())
    post.mail("act_1", topic="billing")
    post.go()
    post.ends(act_1=None)


def test_a_cap_counts_what_began_to_an_address_over_all_accounts(either: Post) -> None:
    either.policy({"caps": [{"at_most": 2, "within": "7d"}]})
    either.loop(email=Fake())
    for number in range(3):
        either.go(seconds=60)
        either.mail(f"act_{number}", to="Ann@acme.test", addressee="ann@acme.test", account=f"a{number}")
        either.go()
        if number < 2:
            either.ends(**{f"act_{number}": None})
    look = either.waits("act_2", "capped").next_look_at
    assert look == either.row("act_0").begun_at + 7 * DAY
    either.hand.time = look - 1
    either.go()
    either.go(seconds=0)
    assert either.states()["act_2"] == ("pending", "capped")
    either.hand.time = look
    either.go()
    either.ends(act_2=None)


def test_a_mail_counts_from_its_beginning_whatever_becomes_of_it(post: Post) -> None:
    post.policy({"caps": [{"at_most": 1, "within": "1d"}]})
    post.loop(email=Fake(lambda _: Outcome(kind="permanent", reason="rejected")))
    post.mail("act_1")
    post.go()
    post.until(lambda: post.states()["act_1"] == ("failed", "rejected"))
    post.mail("act_2")
    post.go()
    post.waits("act_2", "capped")


def test_what_began_before_the_policy_was_saved_counts(post: Post) -> None:
    post.loop(email=Fake())
    post.mail("act_1", waits=False)
    post.go()
    post.ends(act_1=None)
    assert post.rows(begins) == []
    post.policy({"caps": [{"at_most": 1, "within": "1d"}]})
    post.policy({"caps": [{"at_most": 1, "within": "2d"}]})
    assert [row.address for row in post.rows(begins)] == [HASHER.digest("ann@acme.test")]
    post.mail("act_2")
    post.go()
    assert post.waits("act_2", "capped").next_look_at == at("30 12:00") + 2 * DAY


def test_a_mail_that_goes_first_takes_the_room(post: Post) -> None:
    post.policy({"caps": [{"at_most": 1, "within": "1d", "per": "account"}]})
    post.mail("act_1", to="a@x.test", priority=None)
    post.mail("act_2", to="b@x.test", priority=9)
    post.mail("act_3", to="c@x.test", priority=9)
    mails = Fake()
    post.loop(email=mails)
    post.ends(act_2=None)
    post.waits("act_1", "capped")
    post.waits("act_3", "capped")
    assert mails.sent == ["act_2"]


def test_many_mails_to_one_address_go_out_one_after_the_other(post: Post) -> None:
    post.policy({"caps": [{"at_most": 100, "within": "1d"}]})
    names = [f"act_{number:02}" for number in range(20)]
    for name in reversed(names):
        post.mail(name)
    mails = Fake()
    post.loop(email=mails)
    post.ends(**dict.fromkeys(names))
    assert mails.sent == names


def test_patience_ends(post: Post) -> None:
    post.policy({**OFFICE, "wait_at_most": "1d"})
    post.hand.time = at("28 12:00")  # a Saturday
    post.loop(email=Fake())
    post.mail("act_1")
    post.mail("act_2", to="b@x.test", late_at=at("28 13:00"))
    post.mail("act_3", to="c@x.test", late_at=at("28 12:00"), topic="billing")
    post.go()
    assert post.waits("act_1", "quiet_hours").next_look_at == at("29 12:00")
    assert post.waits("act_2", "quiet_hours").next_look_at == at("28 13:00")
    post.ends(act_3="too_late")
    post.go("28 13:00")
    post.ends(act_2="too_late")
    post.go("29 12:00")
    post.ends(act_1="quiet_hours")


def test_a_mail_whose_step_lets_it_begin_for_a_while_needs_no_policy(post: Post) -> None:
    post.mail("act_1", late_at=at("30 13:00"))
    post.mail("act_2", to="b@x.test", late_at=at("30 13:00"))
    post.loop(email=Fake(), alone=True)
    post.ends(act_1=None, act_2=None)
    post.mail("act_3", late_at=at("30 11:59"))
    post.go()
    post.ends(act_3="too_late")


def test_the_times_stand_still_while_sending_is_off(post: Post) -> None:
    post.policy({"wait_at_most": "1d"})
    trail = AuditTrail(post.clock, "actions", "jo", "PUT")
    post.mail("act_1", late_at=at("30 12:00") + HOUR)
    post.loop(email=Fake())
    post.ends(act_1=None)
    sending_switch.turn(post.db, post.clock, trail, off=True, reason=None)
    post.mail("act_2", late_at=post.clock.now() + HOUR)
    post.mail("act_3", to="b@x.test", late_at=post.clock.now() - 1)
    post.go(seconds=3 * 86_400)
    post.until(lambda: post.states()["act_2"] == ("pending", "sending_off"))
    sending_switch.turn(post.db, post.clock, trail, off=False, reason=None)
    post.go(seconds=60)
    post.ends(act_2=None)


def test_the_next_mail_of_a_play_keeps_its_distance(post: Post) -> None:
    post.policy(OFFICE)
    post.hand.time = at("28 12:00")
    post.loop(email=Fake())
    post.mail("act_1", play="ply_1", step="0", waited=0)
    post.go()
    post.waits("act_1", "quiet_hours")
    post.go("29 12:00")
    post.mail("act_2", play="ply_1", step="2", waited=DAY, due_at=at("29 12:00"))
    post.go()
    post.waits("act_2", "behind")
    post.go("30 08:00")
    post.ends(act_1=None)
    row = post.waits("act_2", "behind")
    assert row.next_look_at <= at("30 08:00") + DAY
    post.hand.time = at("30 08:00") + DAY - SECOND
    post.go()
    post.waits("act_2", "behind")
    post.hand.time = at("30 08:00") + DAY
    post.go()
    post.ends(act_2=None)


def test_a_mail_that_follows_one_that_is_skipped_does_not_wait_for_it(post: Post) -> None:
    post.policy({**OFFICE, "wait_at_most": "30m"})
    post.hand.time = at("30 07:00")
    post.loop(email=Fake())
    post.mail("act_1", play="ply_1")
    post.go()
    post.waits("act_1", "quiet_hours")
    post.mail("act_2", play="ply_1", waited=HOUR, due_at=at("30 08:00"))
    post.go()
    post.waits("act_2", "behind")
    post.go("30 08:00")
    post.ends(act_1="quiet_hours", act_2=None)


def test_at_its_beginning_a_mail_is_looked_at_again(post: Post) -> None:
    post.policy(OFFICE)
    post.hand.time = at("30 07:00")
    post.contact("acme")
    post.contact("best")
    post.loop(email=Fake())
    post.mail("act_1", to="a@x.test")
    post.mail("act_2", to="b@x.test", account="best")
    post.mail("act_3", to="c@x.test", play_status="finished")
    post.go()
    for name in ("act_1", "act_2", "act_3"):
        post.waits(name, "quiet_hours")
    post.contact("best", active=False)
    with post.db.write() as conn:
        suppressions.add(conn, HASHER.digest("a@x.test"), "", "a@x.test", "by_hand", 1)
        skip_actions(conn, Cancel("ply_act_3", "play_exited", post.clock.now(), waiting_only=True))
    post.go("30 08:00")
    post.ends(act_1="suppressed", act_2="contact_inactive", act_3="play_exited")


def test_a_later_attempt_does_not_wait(post: Post) -> None:
    outcomes = iter([Outcome(kind="temporary", reason="deferred"), Outcome(kind="done")])
    post.policy({**OFFICE, "caps": [{"at_most": 1, "within": "7d"}]})
    post.hand.time = at("30 17:59")
    post.loop(email=Fake(lambda _: next(outcomes)))
    post.mail("act_1")
    post.go()
    post.until(lambda: post.states()["act_1"] == ("retrying", "deferred"))
    post.go("30 19:00")
    post.ends(act_1=None)
    assert post.row("act_1").begun_at == at("30 17:59")
    assert len(post.rows(begins)) == 1


def test_a_saved_policy_holds_from_the_next_look(post: Post) -> None:
    post.policy(OFFICE)
    post.hand.time = at("30 07:00")
    post.loop(email=Fake())
    post.mail("act_1")
    post.go()
    post.waits("act_1", "quiet_hours")
    post.policy({})
    post.go()
    post.go("30 07:59")
    assert post.states()["act_1"] == ("pending", "quiet_hours")
    post.policy({"hours": {"from": "09:00", "to": "10:00"}})
    post.go("30 08:00")
    post.until(lambda: post.row("act_1").next_look_at == at("30 09:00"))


def test_beginnings_are_kept_as_long_as_a_cap_counts_them(post: Post) -> None:
    policy = {"caps": [{"at_most": 5, "within": "1d"}]}
    post.policy(policy)
    post.loop(email=Fake())
    post.mail("act_1")
    post.go()
    post.ends(act_1=None)
    compiled = compile_policy(PolicyDoc.model_validate(policy))
    with post.db.write() as conn:
        assert beginnings.prune(conn, compiled, post.clock.now() + DAY - 1) == 0
        assert beginnings.prune(conn, compiled, post.clock.now() + DAY) == 1
        conn.execute(update(actions).values(begun_at=post.clock.now()))
        beginnings.collect(conn, compiled, post.clock.now(), HASHER)
        assert beginnings.prune(conn, None, post.clock.now()) == 1
