"""Mails about tasks on both databases: planned once and claimed by one, however many processes there are."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, update

from backbone.database import Database
from backbone.settings import load_settings
from schemas.event import from_microseconds, microseconds
from services.actions.storage import sending
from services.actions.storage import task_mail_attempts as attempts
from services.actions.storage import task_mail_contents as contents
from services.actions.storage import task_mails as rows
from services.actions.tables import documents, mails_gone, tasks
from services.actions.tables import sending as switches
from services.actions.task_mail_tables import task_mail_clock, task_mail_items, task_mails
from services.actions.task_mails.schedule import LATE_US, WITHIN_US, Day
from tests.migrated import migrated
from tests.services.delivery.task_mails_kit import close, every, give, hand_over, wish

HOUR, DAY = 3_600_000_000, 86_400_000_000
MONDAY = microseconds(datetime(2026, 11, 30, 6, tzinfo=UTC))  # 07:00 in Paris
EIGHT = MONDAY + HOUR
PARIS = {"timezone": "Europe/Paris"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database that the tests here share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('data') / 'x.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return load_settings(database_url=make()).url


@pytest.fixture(scope="module")
def shared(url: str) -> Iterator[Database]:
    database = Database(url)
    migrated(database, ["backbone", "actions"])
    yield database
    database.close()


@pytest.fixture
def db(shared: Database) -> Database:
    """The database, with nothing in it."""
    with shared.write() as conn:
        for table in (task_mail_items, task_mails, task_mail_clock, tasks, mails_gone, switches, *documents):
            conn.execute(delete(table))
    return shared


def plan(db: Database, now: int, *, upto: int | None = None, late: int | None = LATE_US) -> bool:
    with db.write() as conn:
        return rows.plan(conn, now, now if upto is None else upto, late=late)


def is_due(db: Database, now: int) -> bool:
    with db.read() as conn:
        return rows.is_due(conn, now, late=LATE_US)


def mails(db: Database) -> list[tuple[str, str, list[str]]]:
    """Each mail's kind, its reader, and the tasks that it tells of."""
    items = every(db, task_mail_items)
    return [
        (one.kind, one.assigned, [item.task for item in items if item.mail == one.id])
        for one in every(db, task_mails)
    ]


def test_without_the_document_or_with_it_turned_off_there_is_nothing(db: Database) -> None:
    give(db, "t1", MONDAY)
    assert not is_due(db, MONDAY)
    wish(db, MONDAY)
    give(db, "t2", MONDAY)
    wish(db, MONDAY, morning={})
    give(db, "t3", MONDAY)
    assert every(db, task_mail_items) == []
    assert not is_due(db, MONDAY)


def test_tasks_go_out_alone_and_then_together(db: Database) -> None:
    wish(db, MONDAY, made=True)
    for number in range(3):
        give(db, f"t{number}", MONDAY)
    give(db, "k", MONDAY, to="Kim@US.test")
    assert is_due(db, MONDAY)
    plan(db, MONDAY)
    jo, kim = "jo@us.test", "kim@us.test"
    singly = [("made", jo, ["t0"]), ("made", jo, ["t1"]), ("made", jo, ["t2"]), ("made", kim, ["k"])]
    assert mails(db) == singly
    send_all(db, MONDAY)
    give(db, "t3", MONDAY + 1)
    give(db, "t4", MONDAY + 2)
    plan(db, MONDAY + WITHIN_US - 1)
    assert mails(db) == singly
    plan(db, MONDAY + WITHIN_US)
    assert mails(db)[4:] == [("made", jo, ["t3"]), ("made", jo, ["t4"])]
    for number in range(5, 40):
        give(db, f"t{number}", MONDAY + WITHIN_US)
    plan(db, MONDAY + WITHIN_US)
    assert mails(db)[6:] == [("made", jo, [f"t{number}" for number in range(5, 40)])]
    assert not is_due(db, MONDAY + WITHIN_US)


def send_all(db: Database, now: int) -> None:
    with db.write() as conn:
        for mail in attempts.due(conn, now):
            attempts.claim(conn, mail.id, "one", now)
            attempts.end(conn, mail.id, "one", "done", None, "", now, None)


def test_while_the_mail_server_takes_none_the_others_wait(db: Database) -> None:
    wish(db, MONDAY, made=True)
    for number in range(3):
        give(db, f"t{number}", MONDAY)
    plan(db, MONDAY)
    for number in range(3, 9):
        give(db, f"t{number}", MONDAY + WITHIN_US)
        plan(db, MONDAY + 2 * WITHIN_US)
    assert len(mails(db)) == 3
    send_all(db, MONDAY)
    plan(db, MONDAY + 2 * WITHIN_US)
    assert mails(db)[3:] == [("made", "jo@us.test", [f"t{number}" for number in range(3, 9)])]


def test_who_is_told_of_what(db: Database) -> None:
    wish(db, MONDAY, made=True, people={"lee@us.test": {"made": False}})
    give(db, "own", MONDAY, by="JO@us.test")  # by her own hand
    give(db, "lee", MONDAY, to="lee@us.test")
    for bad in ("owner", "jo@us.test\r\nBcc: all@evil.test", "", "jo"):
        with db.write() as conn:
            rows.note(conn, [rows.Given("x", bad), rows.Given("x", None)])
    give(db, "made", MONDAY)
    hand_over(db, "made", "kim@us.test")
    plan(db, MONDAY)
    assert mails(db) == [("made", "jo@us.test", ["made"]), ("made", "kim@us.test", ["made"])]
    with db.read() as conn:
        told = [[one.id for one in contents.of_made(conn, mail)] for mail in attempts.due(conn, MONDAY)]
    assert told == [[], ["made"]]  # it is not hers any more


def test_what_was_done_or_put_off_meanwhile_is_left_out(db: Database) -> None:
    wish(db, MONDAY, made=True)
    for number in range(4):
        give(db, f"t{number}", MONDAY)
    plan(db, MONDAY)
    close(db, "t1", MONDAY)
    with db.write() as conn:
        conn.execute(
            update(tasks).where(tasks.c.id == "t2").values(status="snoozed", snoozed_until=MONDAY + DAY)
        )
    with db.read() as conn:
        (mail,) = attempts.due(conn, MONDAY)
        assert [one.id for one in contents.of_made(conn, mail)] == ["t0", "t3"]


def test_turned_off_before_it_was_planned(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "t1", MONDAY)
    wish(db, MONDAY, made=False)
    plan(db, MONDAY)
    assert every(db, task_mail_items) == every(db, task_mails) == []


def test_nothing_is_planned_of_new_tasks_while_sending_is_off(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "t1", MONDAY)
    with db.write() as conn:
        sending.turn(conn, off=True, by="jo", reason=None, now=MONDAY)
    assert not is_due(db, MONDAY)
    plan(db, MONDAY)
    assert mails(db) == []
    with db.write() as conn:
        sending.turn(conn, off=False, by="jo", reason=None, now=MONDAY)
    plan(db, MONDAY)
    assert len(mails(db)) == 1


def test_a_morning_comes_once_by_the_clock_of_its_reader(db: Database) -> None:
    people = {"kim@us.test": {"timezone": "America/New_York"}, "lee@us.test": {"morning": False}}
    wish(db, MONDAY, morning={}, people=people, **PARIS)
    for reader in ("jo@us.test", "kim@us.test", "lee@us.test"):
        give(db, f"late-{reader}", MONDAY - 2 * DAY, to=reader, due=MONDAY - DAY)
    give(db, "never", MONDAY - DAY, to="ann@us.test")
    give(db, "next-week", MONDAY - DAY, to="ben@us.test", due=MONDAY + 7 * DAY)
    give(db, "sunday", MONDAY - DAY, to="sue@us.test", due=MONDAY + 6 * DAY)
    assert not is_due(db, EIGHT - 1)
    plan(db, EIGHT - 1)
    assert mails(db) == []
    assert is_due(db, EIGHT)
    for _ in range(2):
        plan(db, EIGHT)
    assert [(kind, reader) for kind, reader, _ in mails(db)] == [
        ("morning", "jo@us.test"),
        ("morning", "sue@us.test"),
    ]
    assert not is_due(db, EIGHT)
    wish(db, EIGHT, morning={"at": "08:30"}, people=people, **PARIS)  # no second one on that day
    plan(db, EIGHT + HOUR)
    assert len(mails(db)) == 2
    plan(db, EIGHT + 6 * HOUR)
    assert [reader for _, reader, _ in mails(db)[2:]] == []  # 08:30 in New York has not come
    plan(db, EIGHT + 6 * HOUR + HOUR // 2)
    assert [reader for _, reader, _ in mails(db)[2:]] == ["kim@us.test"]


def test_mornings_begin_with_the_save_and_end_with_it(db: Database) -> None:
    give(db, "t", MONDAY - DAY, due=MONDAY)
    wish(db, EIGHT, morning={}, **PARIS)
    plan(db, EIGHT + HOUR)
    assert mails(db) == []
    wish(db, EIGHT + HOUR, **PARIS)
    plan(db, EIGHT + DAY)
    wish(db, EIGHT + DAY + HOUR, morning={}, **PARIS)
    plan(db, EIGHT + DAY + 2 * HOUR)
    assert mails(db) == []
    plan(db, EIGHT + 2 * DAY)
    assert len(mails(db)) == 1


def test_a_process_that_was_down_passes_over_what_is_too_late(db: Database) -> None:
    give(db, "t", MONDAY - DAY, due=MONDAY)
    wish(db, MONDAY, morning={}, **PARIS)
    plan(db, EIGHT + LATE_US)
    assert mails(db) == []
    plan(db, EIGHT + 2 * DAY + LATE_US - 1)
    assert [one.moment for one in every(db, task_mails)] == [EIGHT + 2 * DAY]


def test_with_the_log_clock_each_morning_is_seen_to_as_it_was(db: Database) -> None:
    wish(db, MONDAY, morning={}, **PARIS)
    give(db, "first", MONDAY, due=MONDAY)
    give(db, "second", EIGHT + DAY, due=MONDAY)  # made at 08:00 of Tuesday: not before it
    close(db, "first", EIGHT + 2 * DAY)  # closed at 08:00 of Wednesday: not open any more
    close(db, "second", EIGHT + 4 * DAY + 1)
    plan(db, MONDAY, upto=EIGHT + 12 * DAY, late=None)
    found = []
    with db.read() as conn:
        for mail in attempts.due(conn, MONDAY):
            assert mail.moment is not None
            told = contents.of_morning(conn, mail, Day.at(mail.moment, "Europe/Paris"), is_wall=False)
            found.append((f"{from_microseconds(mail.moment):%a}", [one.id for one in told.overdue]))
    assert found == [
        ("Mon", ["first"]), ("Tue", ["first"]), ("Wed", ["second"]), ("Thu", ["second"]), ("Fri", ["second"]),
    ]  # fmt: skip
    assert every_clock(db) == EIGHT + 12 * DAY


def every_clock(db: Database) -> int | None:
    with db.read() as conn:
        return conn.scalar(select(task_mail_clock.c.told_upto))


def test_the_parts_of_a_morning_and_what_is_put_off(db: Database) -> None:
    wish(db, MONDAY, morning={}, **PARIS)
    midnight = EIGHT + 16 * HOUR  # 23:00 UTC is 00:00 in Paris
    dues = [EIGHT - 1, EIGHT, midnight - 1, midnight, midnight + 6 * DAY - 1, midnight + 6 * DAY, None]
    for number, due in enumerate(dues):
        give(db, f"t{number}", MONDAY - 1, due=due)
    for task, until in (("back-today", midnight - 1), ("put-off", midnight)):
        give(db, task, MONDAY - 1, due=EIGHT)
        with db.write() as conn:
            conn.execute(
                update(tasks).where(tasks.c.id == task).values(status="snoozed", snoozed_until=until)
            )
    plan(db, EIGHT)
    with db.read() as conn:
        (mail,) = attempts.due(conn, EIGHT)
        told = contents.of_morning(conn, mail, Day.at(EIGHT, "Europe/Paris"), is_wall=True)
    parts = [[one.id for one in part] for part in (told.overdue, told.today, told.week)]
    assert parts == [["t0"], ["t1", "back-today", "t2"], ["t3", "t4"]]
    assert (told.counts, told.later) == ((1, 3, 2), 2)


def test_many_processes_plan_and_claim_each_mail_once(url: str, db: Database) -> None:
    wish(db, MONDAY, made=True, morning={}, **PARIS)
    readers = [f"p{number}@us.test" for number in range(6)]
    for number in range(60):
        give(db, f"t{number}", MONDAY, to=readers[number % 6], due=EIGHT)
    others = [Database(url) for _ in range(4)]

    def work(one: Database) -> list[str]:
        taken = []
        for _ in range(5):
            plan(one, EIGHT)
            with one.read() as conn:
                due = attempts.due(conn, EIGHT)
            for mail in due:
                with one.write() as conn:
                    if attempts.claim(conn, mail.id, f"{id(one)}", EIGHT):
                        taken.append(mail.id)
        return taken

    with ThreadPoolExecutor(4) as pool:
        claimed = [mail for found in pool.map(work, others) for mail in found]
    for one in others:
        one.close()
    assert len(claimed) == len(set(claimed)) == len(every(db, task_mails))
    told = [item.task for item in every(db, task_mail_items)]
    assert sorted(told) == sorted(f"t{number}" for number in range(60))
    kinds = [one.kind for one in every(db, task_mails)]
    assert (kinds.count("made"), kinds.count("morning")) == (6, 6)


def test_a_claim_is_lost_with_its_time_and_a_beginning_is_remembered(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "t", MONDAY)
    plan(db, MONDAY)
    later = MONDAY + attempts.LEASE_US + 2

    def due(now: int) -> list[tuple[str, bool]]:
        with db.read() as conn:
            return [(one.id, one.interrupted) for one in attempts.due(conn, now)]

    ((mail, interrupted),) = due(MONDAY)
    assert not interrupted
    with db.write() as conn:
        assert attempts.claim(conn, mail, "one", MONDAY)
        assert not attempts.claim(conn, mail, "two", MONDAY)
        assert attempts.begin(conn, mail, "two", MONDAY) is None
        assert attempts.begin(conn, mail, "one", MONDAY) == MONDAY
    assert due(MONDAY) == []
    with db.write() as conn:
        attempts.extend(conn, [mail], "two", later)  # not two's
        attempts.extend(conn, [mail], "one", MONDAY + 1)
    assert due(MONDAY + attempts.LEASE_US + 1) == []
    assert due(later) == [(mail, True)]
    with db.write() as conn:
        assert attempts.claim(conn, mail, "two", later)
        attempts.end(conn, mail, "one", "done", None, "", later, None)  # too late: it is another's
    assert [one.status for one in every(db, task_mails)] == ["pending"]
    with db.write() as conn:
        attempts.end(conn, mail, "two", "uncertain", "maybe_delivered", "", later, None)
    assert [(one.status, one.attempts) for one in every(db, task_mails)] == [("uncertain", 1)]
    assert due(later + 10 * DAY) == []


def test_no_attempt_begins_while_sending_is_off(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "t", MONDAY)
    plan(db, MONDAY)
    (mail,) = every(db, task_mails)
    with db.write() as conn:
        assert attempts.claim(conn, mail.id, "one", MONDAY)
        sending.turn(conn, off=True, by="jo", reason=None, now=MONDAY)
    with db.write() as conn:
        assert attempts.begin(conn, mail.id, "one", MONDAY) is None
    assert [(one.attempts, one.attempting) for one in every(db, task_mails)] == [(0, False)]


def test_what_is_erased_is_forgotten_and_its_mails_are_listed_for_removal(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "gone", MONDAY, account="acme")
    give(db, "kept", MONDAY, account="quiet", to="kim@us.test")
    give(db, "not-sent", MONDAY, account="acme", to="lee@us.test")
    plan(db, MONDAY)
    first, second, _ = every(db, task_mails)
    with db.write() as conn:
        for mail in (first, second):
            attempts.claim(conn, mail.id, "one", MONDAY)
            attempts.begin(conn, mail.id, "one", MONDAY)
        rows.forget(conn, tasks.c.account == "acme", MONDAY)
    assert [(one.action, one.due_at) for one in every(db, mails_gone)] == [(first.id, first.due_at)]
    assert [one.task for one in every(db, task_mail_items)] == ["kept"]


def test_old_mails_are_forgotten_and_those_that_wait_are_not(db: Database) -> None:
    wish(db, MONDAY, made=True)
    give(db, "old", MONDAY)
    give(db, "waits", MONDAY)
    plan(db, MONDAY)
    old, waits = every(db, task_mails)
    with db.write() as conn:
        attempts.claim(conn, old.id, "one", MONDAY)
        attempts.end(conn, old.id, "one", "done", None, "", MONDAY, None)
        rows.prune(conn, MONDAY + rows.KEPT_US)
    assert len(every(db, task_mails)) == 2
    with db.write() as conn:
        rows.prune(conn, MONDAY + rows.KEPT_US + 1)
    assert [one.id for one in every(db, task_mails)] == [waits.id]
    assert [one.task for one in every(db, task_mail_items)] == ["waits"]
