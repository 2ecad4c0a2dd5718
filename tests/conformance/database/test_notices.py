"""Notices on both databases: raised once and over once, whoever says so how often, and told by one process."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from backbone import notices
from backbone.database import Database
from backbone.tables import notices as table
from schemas.notices import NoticeKind
from services.actions.storage import notice_messages as messages
from services.actions.tables import notice_messages
from tests.migrated import migrated

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BREAKER, MAIL = NoticeKind.BREAKER, NoticeKind.MAIL_SERVER_REFUSES
WAYS = ("email", "webhook")


@pytest.fixture(autouse=True)
def tables(db: Database) -> None:
    migrated(db, ["backbone", "actions"])


def raised(db: Database, kind: NoticeKind, name: str, now: int = NOW) -> bool:
    with db.write() as conn:
        return notices.raise_(conn, kind, name, "why", now)


def cleared(db: Database, kind: NoticeKind, name: str, now: int = NOW) -> bool:
    with db.write() as conn:
        return notices.clear(conn, kind, name, now)


def count(db: Database) -> int:
    with db.read() as conn:
        return len(conn.execute(select(table.c.id)).all())


def told(db: Database, now: int) -> list[tuple[str, str, str]]:
    """What is to be told at this time: (object, phase, way). All of it is told then."""
    with db.write() as conn:
        messages.make(conn, WAYS, now)
        due = [message for message, _, _ in messages.due(conn, WAYS, now)]
        for message in due:
            assert messages.claim(conn, message, now)
            messages.told(conn, message, 1, "", now)
    return [(one.notice.object, one.phase, one.way) for one in due]


def test_once_and_when_it_is_over(db: Database) -> None:
    assert [raised(db, BREAKER, "renewal") for _ in range(3)] == [True, False, False]
    assert raised(db, BREAKER, "win-back")  # another object
    assert raised(db, NoticeKind.SENDING_OFF, "renewal")  # another kind
    assert [cleared(db, BREAKER, "renewal") for _ in range(3)] == [True, False, False]
    assert raised(db, BREAKER, "renewal")  # anew
    with db.read() as conn:
        assert [one.object for one in notices.open_notices(conn, BREAKER)] == ["win-back", "renewal"]
    assert count(db) == 4


def test_what_is_rolled_back_was_never_raised(db: Database) -> None:
    with db.engine.connect() as conn:
        notices.raise_(conn, BREAKER, "renewal", "", NOW)
        conn.rollback()
    assert count(db) == 0


def test_many_processes_raise_one(url: str, db: Database) -> None:
    others = [Database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda one: [raised(one, BREAKER, f"p{n % 5}") for n in range(40)], others))
    for one in others:
        one.close()
    assert sum(map(sum, said)) == count(db) == 5


def test_a_mail_server_that_wavers_is_told_of_once(db: Database) -> None:
    assert raised(db, MAIL, "mail server")
    assert len(told(db, NOW)) == 2
    cleared(db, MAIL, "mail server", NOW + 10 * SECOND)
    assert told(db, NOW + 12 * SECOND) == []  # it may come back
    assert not raised(db, MAIL, "mail server", NOW + 20 * SECOND)
    assert told(db, NOW + 60 * SECOND) == []
    cleared(db, MAIL, "mail server", NOW + 70 * SECOND)
    assert sorted(told(db, NOW + 85 * SECOND)) == [("mail server", "over", way) for way in WAYS]
    assert raised(db, MAIL, "mail server", NOW + 100 * SECOND)
    assert count(db) == 2


def test_the_end_is_told_after_the_beginning(db: Database) -> None:
    raised(db, BREAKER, "renewal")
    cleared(db, BREAKER, "renewal", NOW + 1)
    assert sorted(told(db, NOW + 2)) == [("renewal", "raised", way) for way in WAYS]
    assert sorted(told(db, NOW + 2)) == [("renewal", "over", way) for way in WAYS]
    assert told(db, NOW + 2) == []


def test_one_process_tells_it_and_the_next_if_that_one_is_killed(db: Database) -> None:
    raised(db, BREAKER, "renewal")
    with db.write() as conn:
        messages.make(conn, ["email"], NOW)
        ((message, tries, made_at),) = messages.due(conn, ["email"], NOW)
        assert (tries, made_at) == (0, NOW)
        assert messages.claim(conn, message, NOW)
        assert not messages.claim(conn, message, NOW)
        assert messages.due(conn, ["email"], NOW) == []
        later = NOW + messages.LEASE_US + 1
        assert len(messages.due(conn, ["email"], later)) == 1
        assert messages.claim(conn, message, later)


def test_a_way_that_is_new_hears_what_is_open_and_nothing_that_is_long_over(db: Database) -> None:
    raised(db, BREAKER, "old")
    cleared(db, BREAKER, "old", NOW)
    raised(db, BREAKER, "open")
    assert sorted(told(db, NOW + messages.LOOK_BACK_US + 1)) == [("open", "raised", way) for way in WAYS]


def test_old_notices_leave_and_open_ones_stay(db: Database) -> None:
    for name in ("old", "open"):
        raised(db, BREAKER, name)
    cleared(db, BREAKER, "old")
    told(db, NOW)
    with db.write() as conn:
        messages.forget(conn, NOW + messages.KEPT_US + 1)
        assert {one.object for one in notices.recent(conn, 0)} == {"open"}
        left = set(conn.scalars(select(notice_messages.c.notice)))
        assert left == set(conn.scalars(select(table.c.id)))


def test_a_kind_of_a_newer_release_is_passed_over(db: Database) -> None:
    raised(db, BREAKER, "renewal")
    with db.write() as conn:
        conn.execute(update(table).values(kind="not_known_yet"))
        assert notices.recent(conn, 0) == []
