"""Answers kept for an `Idempotency-Key`: whoever sends the same two keys gets them again, the table tells nobody."""

from __future__ import annotations

import pytest
from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import select, update

from backbone.clock import WallClock
from backbone.database import Database
from backbone.errors import Conflict
from backbone.tables import idempotency as table
from backbone.web.idempotency import KEPT_US, Idempotency, prune_all
from tests.migrated import migrated

MINE, OTHERS = "Bearer tl_mine", "Bearer tl_others"
WHO = "ann@acme.test"


@pytest.fixture(autouse=True)
def tables(db: Database) -> None:
    migrated(db, ["backbone"])


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
