"""Answers kept for an `Idempotency-Key`: whoever sends the same two keys gets them again, the table tells nobody."""

from __future__ import annotations

import pytest
from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import insert, select, update

from backbone.clock import WallClock
from backbone.database import Database
from backbone.errors import Conflict
from backbone.migrations import migrate
from backbone.tables import idempotency as table
from backbone.web.idempotency import KEPT_US, Idempotency, name_of, prune_all

MINE, OTHERS = "Bearer tl_mine", "Bearer tl_others"
WHO = "ann@acme.test"


@pytest.fixture(autouse=True)
def tables(db: Database) -> None:
    migrate(db, "backbone")


def make() -> Response:
    return JSONResponse(
        {"address": WHO, "secret": "whsec_1"}, 201, {"Location": f"/v1/things/{WHO}", "ETag": '"1"'}
    )


def never() -> Response:
    raise AssertionError("it was made a second time")


def ask(db: Database, call: object = make, key: str = WHO, by: str = MINE, said: bytes = b"x") -> Response:
    with db.write() as connection:
        return Idempotency(key, by, said).run(connection, call, frozenset({"secret"}))  # type: ignore[arg-type]


def stored(db: Database) -> str:
    with db.read() as connection:
        return repr(
            [
                [bytes(v) if isinstance(v, memoryview) else v for v in row]
                for row in connection.execute(select(table))
            ]
        )


def test_the_same_answer_but_for_what_is_shown_once(db: Database) -> None:
    assert b"whsec_1" in ask(db).body
    again = ask(db, never)
    assert (again.status_code, again.body) == (201, b'{"address":"ann@acme.test"}')
    assert (again.headers["location"], again.headers["etag"]) == (f"/v1/things/{WHO}", '"1"')
    assert again.headers["idempotency-replayed"] == "true"


def test_the_table_tells_nothing(db: Database) -> None:
    ask(db)
    kept = stored(db)
    for word in (WHO, "whsec_1", "ann", "things", "tl_mine"):
        assert word not in kept
    assert "#" in kept


def test_another_request_or_key_or_caller(db: Database) -> None:
    ask(db)
    with pytest.raises(Conflict):
        ask(db, never, said=b"y")
    assert ask(db, key="another").status_code == 201
    assert ask(db, by=OTHERS).status_code == 201


def test_what_was_kept_for_a_day_goes_also_where_all_is_quiet(db: Database) -> None:
    ask(db)
    prune_all(db)
    assert stored(db) != "[]"
    with db.write() as connection:
        connection.execute(update(table).values(created_at=WallClock().now() - KEPT_US - 1))
    prune_all(db)
    assert stored(db) == "[]"


def test_answers_from_before_they_were_sealed(db: Database) -> None:
    """The migration names them by hashes, whatever they were called; they are given until their day is over."""
    plain = {
        "fingerprint": b"x" * 32,
        "status": 200,
        "headers": '{"etag": "1"}',
        "created_at": WallClock().now(),
    }
    owner = Idempotency("k", MINE, b"")._owner
    names = [f"key-{n}" for n in range(1_100)] + ["#odd", "#" + "a" * 64]
    with db.write() as connection:
        connection.execute(
            insert(table),
            [plain | {"owner": owner, "idempotency_key": name, "body": name.encode()} for name in names],
        )
    migrate_again(db)
    for name in (names[0], names[1_099], "#odd"):
        again = ask(db, never, key=name, said=b"x" * 32)
        assert (again.status_code, again.body, again.headers["etag"]) == (200, name.encode(), "1")
    with db.read() as connection:
        kept = set(connection.scalars(select(table.c.idempotency_key)))
    assert kept == {*(name_of(owner, name) for name in names[:-1]), names[-1]}


def migrate_again(db: Database) -> None:
    """From the version before."""
    from sqlalchemy import text

    schema = "backbone." if db.dialect == "postgresql" else ""
    with db.write() as connection:
        connection.execute(text(f"UPDATE {schema}backbone_version SET version_num = 'b003'"))
    migrate(db, "backbone")
