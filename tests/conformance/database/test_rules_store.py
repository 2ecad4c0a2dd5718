"""What rules writes by statements of its own, which the two databases take in different words."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backbone.database import Database
from services.rules.storage import queries
from services.rules.storage.queries import AccountRow, TriggerRow
from services.rules.tables import triggers
from tests.migrated import migrated

FAR = 4_000_000_000_000_000  # microseconds: more than 32 bits


@pytest.fixture
def tables(db: Database) -> Database:
    migrated(db, ["backbone", "rules"])
    return db


def account(name: str, due: int | None, state: bytes, seen_at: int = 1) -> AccountRow:
    return AccountRow(name, 3, seen_at, due, None, state, 1, 2, 3)


def trigger(number: int) -> TriggerRow:
    return TriggerRow(
        f"t{number}",
        "r",
        "a",
        None if number % 2 else "c",
        FAR + number,
        3,
        b"%d" % number,
        "low",
        None,
        number % 3 == 0,
    )


@pytest.mark.parametrize("dues", [(None, None), (FAR, None), (5, FAR)])
def test_accounts_are_written_anew_and_over(tables: Database, dues: tuple[int | None, int | None]) -> None:
    one, other = dues
    with tables.write() as conn:
        queries.save_accounts(conn, [])
        queries.save_accounts(conn, [account("a", None, b"old"), account("ü'\\{}", one, b'\0\xff\\{}"')])
        queries.save_accounts(conn, [account("a", one, b"new", seen_at=9), account("b", other, b"")])
    with tables.read() as conn:
        assert queries.load_accounts(conn, 3, ["a", "b", "ü'\\{}", "nobody"]) == {
            "a": b"new", "b": b"", "ü'\\{}": b"\0\xff\\{}\"",
        }  # fmt: skip
        waiting = {("a", one), ("b", other), ("ü'\\{}", one)}
        assert {(name, due) for due, name in queries.dues(conn, 3)} == {
            w for w in waiting if w[1] is not None
        }
        assert queries.load_accounts(conn, 3, []) == {}


def test_more_accounts_than_fit_one_statement(tables: Database) -> None:
    rows = [account(f"a{n}", n, b"%d" % n) for n in range(2 * queries.ROWS + 1)]
    with tables.write() as conn:
        queries.save_accounts(conn, rows)
        names = [row.account for row in rows]
        assert queries.load_accounts(conn, 3, names) == {r.account: r.state for r in rows}
        assert queries.load_accounts(conn, 4, names) == {}, "another partition's are not for it to write"


def test_a_trigger_is_recorded_once_and_marked_once(tables: Database) -> None:
    with tables.write() as conn:
        queries.save_triggers(conn, [])
        queries.save_triggers(conn, [trigger(n) for n in range(1_200)])
        queries.save_triggers(conn, [trigger(5), trigger(1_200), trigger(1_200)])
        assert queries.unrelayed(conn, 3, 5_000) == [b"%d" % n for n in range(1_201)]
        queries.mark_relayed(conn, [])
        queries.mark_relayed(conn, [f"t{n}" for n in range(1_199)] + ["none"])
        assert queries.unrelayed(conn, 3, 5_000) == [b"1199", b"1200"]
        assert queries.count_unrelayed(conn) == 2


def test_old_triggers_leave_a_few_at_a_time(tables: Database) -> None:
    with tables.write() as conn:
        queries.save_triggers(conn, [trigger(n) for n in range(12)])
        queries.mark_relayed(conn, [f"t{n}" for n in range(9)])
        assert queries.forget_alone(conn, 4, FAR + 99, 10) == 0, (
            "another partition's are not for it to forget"
        )
        assert [queries.forget_alone(conn, 3, FAR + 9, 2) for _ in range(3)] == [
            2,
            1,
            0,
        ]  # 0, 3, 6; 9 is not on the log
        queries.forget_triggers(conn, 4, ["t1"])
        queries.forget_triggers(conn, 3, ["t1", "t2", "unknown"])
        left = set(conn.scalars(select(triggers.c.id)))
    assert left == {"t4", "t5", "t7", "t8", "t9", "t10", "t11"}
