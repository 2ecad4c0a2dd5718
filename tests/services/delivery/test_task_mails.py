"""Mails about tasks go out once each, to whom they may, and never twice for certain."""

import email
import email.policy
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from backbone.audit import AuditTrail
from services.actions.channels.email.channel import email_channel
from services.actions.channels.email.erased_files import ErasedMailFiles
from services.actions.delivery import sending_switch
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import task_mail_attempts as attempts
from services.actions.storage import task_mails as rows
from services.actions.tables import tasks
from services.actions.task_mail_tables import task_mails
from services.actions.task_mails import sender
from services.actions.task_mails.sender import TaskMailSender
from tests.services.delivery.kit import Fake, House
from tests.services.delivery.task_mails_kit import close, give, wish

DAY = 86_400_000_000
Start = Callable[..., TaskMailSender]


@pytest.fixture
def start(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts senders over the house's database."""
    monkeypatch.setattr(sender, "LOOK_S", 0.02)
    monkeypatch.setattr(sender, "HELD_US", 1_000)
    monkeypatch.setattr(sender, "SCHEDULE", (1_000,) * 3)
    made: list[TaskMailSender] = []

    def begin(channel: Any = email_channel, **settings: object) -> TaskMailSender:
        given = house.settings.model_copy(update=settings)
        made.append(TaskMailSender(given, house.db, house.clock, lambda _: house.clock.now(), channel))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop()


def states(house: House) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in house.rows(task_mails)]


def ended(house: House, number: int = 1) -> Callable[[], bool]:
    return lambda: sum(row.next_attempt_at is None for row in house.rows(task_mails)) == number


def mails(house: House) -> list[email.message.EmailMessage]:
    files = sorted((house.settings.data_dir / "outbox").glob("*.eml"))
    return [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]


def asked(house: House, *, made: bool = True, **fields: Any) -> int:
    """Ask for mails; returns the time."""
    now = house.clock.now()
    wish(house.db, now, made=made, **fields)
    return now


def test_a_task_is_told_of_once_by_whichever_process(house: House, start: Start) -> None:
    now = asked(house)
    give(house.db, "t1", now, title="Call Acme\r\nBcc: all@evil.test", due=now + DAY)
    for _ in range(3):
        start()
    house.until(ended(house))
    (mail,) = mails(house)
    assert (mail["to"], mail["subject"]) == ("jo@us.test", "Call Acme Bcc: all@evil.test")
    assert {"Bcc", "List-Unsubscribe", "Precedence"}.isdisjoint(mail.keys())
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_body(("plain",))
    assert body is not None
    assert f"{house.settings.base_url}/tasks/t1" in body.get_content()
    assert states(house) == [("done", None)]


def test_a_staging_system_tells_only_whom_it_may(house: House, start: Start) -> None:
    give(house.db, "t1", asked(house))
    start(mail_only_to=("test.example",))
    house.until(ended(house))
    assert mails(house) == []
    assert states(house) == [("skipped", "not_on_list")]


def test_another_address_gets_the_mails_of_a_staging_system(house: House, start: Start) -> None:
    give(house.db, "t1", asked(house))
    start(mail_instead_to="all@staging.test")
    house.until(ended(house))
    (mail,) = mails(house)
    assert mail["to"].addresses[0].addr_spec == "all@staging.test"


def test_while_sending_is_off_nothing_goes_out_and_then_all_in_one(
    house: House, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = asked(house)
    trail = AuditTrail(house.clock, "actions", "jo", "PUT")
    sending_switch.turn(house.db, house.clock, trail, off=True, reason=None)
    for number in range(5):
        give(house.db, f"t{number}", now)
    fake, seen, is_due = Fake(), threading.Event(), rows.is_due

    def look(*given: Any, **named: Any) -> bool:
        seen.set()
        return is_due(*given, **named)

    monkeypatch.setattr(rows, "is_due", look)
    start(fake)
    for _ in range(3):  # looks
        seen.clear()
        assert seen.wait(10)
    assert (fake.sent, states(house)) == ([], [])
    sending_switch.turn(house.db, house.clock, trail, off=False, reason=None)
    house.until(ended(house))
    assert len(fake.sent) == 1


def test_what_is_turned_off_at_the_last_moment_waits_and_is_given_back(house: House, start: Start) -> None:
    now = asked(house)
    give(house.db, "t1", now)
    trail = AuditTrail(house.clock, "actions", "jo", "PUT")

    class Turned(Fake):
        async def prepare(self, action: Any) -> Any:
            if not self.prepared:
                sending_switch.turn(house.db, house.clock, trail, off=True, reason=None)
            return await super().prepare(action)

    fake = Turned()
    start(fake)
    house.until(lambda: len(fake.dropped) == 1)
    house.until(lambda: states(house) == [("pending", "sending_off")])
    assert fake.sent == []
    sending_switch.turn(house.db, house.clock, trail, off=False, reason=None)
    house.until(ended(house))
    assert (len(fake.sent), states(house)) == (1, [("done", None)])


@pytest.mark.parametrize(("idempotent", "end"), [(False, "uncertain"), (True, "done")])
def test_of_an_attempt_that_nobody_saw_the_end_of(
    house: House, start: Start, *, idempotent: bool, end: str
) -> None:
    """A process died between the beginning and the end of an attempt."""
    now = asked(house)
    give(house.db, "t1", now)
    with house.db.write() as conn:
        rows.plan(conn, now, now, late=None)
        (mail,) = attempts.due(conn, now)
        attempts.claim(conn, mail.id, "dead", now)
        attempts.begin(conn, mail.id, "dead", now)
    fake = Fake(idempotent=idempotent)
    start(fake)
    house.until(ended(house))
    assert [status for status, _ in states(house)] == [end]
    assert len(fake.sent) == int(idempotent)


def test_a_mail_that_fails_is_tried_again_until_that_is_of_no_use(house: House, start: Start) -> None:
    give(house.db, "t1", asked(house))
    fake = Fake(lambda _: Outcome(kind="temporary", reason="unreachable", detail="refused"), idempotent=False)
    counted = {status: ended_so(status) for status in ("failed", "done", "retrying")}
    start(fake)
    house.until(ended(house))
    assert (len(fake.sent), len(set(fake.sent))) == (4, 1)
    assert states(house) == [("failed", "attempts_exhausted")]
    house.until(lambda: ended_so("failed") == counted["failed"] + 1)
    assert (ended_so("done"), ended_so("retrying")) == (counted["done"], counted["retrying"])


def ended_so(status: str) -> float:
    """How many mails about new tasks the metric counts."""
    value = REGISTRY.get_sample_value("touchline_task_mails_total", {"kind": "made", "status": status})
    return value or 0.0


def test_a_channel_that_raises_may_have_sent_it(house: House, start: Start) -> None:
    give(house.db, "t1", asked(house))

    def boom(_: object) -> Outcome:
        raise RuntimeError("boom")

    fake = Fake(boom, idempotent=False)
    start(fake)
    house.until(ended(house))
    assert (len(fake.sent), states(house)) == (1, [("uncertain", "maybe_delivered")])


def test_a_task_that_is_done_before_its_mail_begins_is_not_told_of(house: House, start: Start) -> None:
    now = asked(house)
    give(house.db, "t1", now)
    close(house.db, "t1", now)
    start()
    house.until(ended(house))
    assert (mails(house), states(house)) == ([], [("skipped", "nothing_left")])


def test_such_mails_turned_off_after_they_were_planned(house: House, start: Start) -> None:
    now = asked(house)
    give(house.db, "t1", now)
    with house.db.write() as conn:
        rows.plan(conn, now, now, late=None)
    asked(house, people={"jo@us.test": {"made": False}})
    start()
    house.until(ended(house))
    assert (mails(house), states(house)) == ([], [("skipped", "nothing_left")])


def far_from(now: int) -> dict[str, Any]:
    """A morning mail at a time of day that is twelve hours away, so that none is due while a test runs."""
    then = datetime.fromtimestamp(now / 1e6, UTC) + timedelta(hours=12)
    return {"at": f"{then:%H:%M}", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}


def test_a_morning_mail_lists_what_is_due_and_comes_once(house: House, start: Start) -> None:
    now = asked(house, made=False, morning=far_from(house.clock.now()))
    give(house.db, "t1", now - 3 * DAY, due=now - 2 * DAY, title="Look & see")
    with house.db.write() as conn:
        rows.turn(conn, on=False, now=0)
        rows.turn(conn, on=True, now=now - DAY)
        rows.plan(conn, now, now, late=None)
    (planned,) = house.rows(task_mails)
    with house.db.write() as conn:  # as if its morning were now
        conn.execute(task_mails.update().values(moment=now))
    for _ in range(2):
        start()
    house.until(ended(house))
    (mail,) = mails(house)
    assert mail["subject"] == "Your tasks: 1 overdue"
    html = mail.get_body(("html",))
    assert html is not None
    assert "Look &amp; see" in html.get_content()
    (one,) = house.rows(task_mails)
    assert (one.id, one.status) == (planned.id, "done")


def test_a_morning_mail_that_comes_too_late_is_skipped(house: House, start: Start) -> None:
    now = asked(house, made=False, morning=far_from(house.clock.now()))
    give(house.db, "t1", now - 9 * DAY, due=now - 8 * DAY)
    with house.db.write() as conn:
        rows.turn(conn, on=False, now=0)
        rows.turn(conn, on=True, now=now - 3 * DAY)
        rows.plan(conn, now, now - 2 * DAY, late=None)
    start()
    house.until(ended(house))
    assert (mails(house), states(house)) == ([], [("skipped", "too_late")])


def test_the_file_of_a_mail_about_an_erased_account_goes(house: House, start: Start) -> None:
    give(house.db, "t1", asked(house))
    start()
    house.until(ended(house))
    assert len(mails(house)) == 1
    files = ErasedMailFiles(house.settings.data_dir / "outbox", house.db, house.clock)
    with house.db.write() as conn:
        rows.forget(conn, tasks.c.account == "acme", house.clock.now())
    files.sweep()
    assert mails(house) == []


@pytest.mark.parametrize("column", ["address", "due_at", "attempts", "moment", "id"])
def test_one_that_cannot_be_read_keeps_no_other_waiting(house: House, start: Start, column: str) -> None:
    """SQLite keeps anything in any column."""
    now = asked(house)
    give(house.db, "t1", now, to="odd@us.test")
    with house.db.write() as conn:
        rows.plan(conn, now, now, late=None)
        conn.exec_driver_sql(f"UPDATE actions_task_mails SET {column} = CAST(X'ff41' AS TEXT)")
    give(house.db, "t2", now, title="Call Acme")
    start()
    house.until(lambda: len(mails(house)) == 1)
    with house.db.read() as conn:
        found = conn.exec_driver_sql("SELECT status, detail FROM actions_task_mails ORDER BY seq").all()
    assert tuple(found[0]) == ("failed", f"what is stored of it cannot be read: {column}")
