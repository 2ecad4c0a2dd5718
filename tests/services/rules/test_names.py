"""Names that no table can hold, from other programs: put aside on both databases alike, and nobody stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import DEAD_LETTERS, EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import load_settings
from schemas.event import Event, encode, from_microseconds
from schemas.rule import RuleIn
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import accounts, seen, triggers
from services.rules.worker import RulesWorker
from tests.migrated import migrated

T0 = 1_790_000_000_000_000
LONG, NUL = "x" * 257, "a\0b"
RULES = [
    {
        "name": "each", "status": "active", "scope": "contact",
        "when": {"threshold": {"event": "login", "within": "1d", "at_least": 1}},
    },
    {
        "name": "birthday", "status": "active", "scope": "contact",
        "when": {"date": {"attribute": "contact.attributes.born", "after": "1d", "late": "30d"}},
    },
]  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Each database in turn, ready to use."""
    sqlite = request.param == "sqlite"
    given = f"sqlite:///{tmp_path / 'x.db'}" if sqlite else request.getfixturevalue("fresh_postgres_url")
    database = Database(load_settings(database_url=given).url)
    migrated(database)
    yield database
    database.close()


def test_names_that_no_table_can_hold_stop_nobody(db: Database, tmp_path: Path) -> None:
    log, clock = EmbeddedLog(tmp_path, 1), ManualClock(T0)
    saver = RuleRepository(db, log, clock)
    for rule in RULES:
        saver.run(lambda conn, rule=rule: saver.create(conn, RuleIn.model_validate(rule), "test"))
    worker = RulesWorker(db, log, clock, clock_mode="log")
    worker.join()
    at = from_microseconds(T0)
    born = {"born": from_microseconds(T0 - 172_800_000_000).isoformat()}
    aside = [
        Event(type="login", id="1", account="", time=at),
        Event(type="login", id="2", account=LONG, time=at),
        Event(type="login", id="3", account=NUL, time=at),
        Event(type="login", id="4", account="fine", contact=LONG, time=at),
        Event(type="login", id="5", account="fine", contact=NUL, time=at),
        Event(type="account.deleted", id="6", account=NUL, time=at),
    ]
    taken = [
        Event(type=LONG, id="10", account="fine", contact="c", time=at),
        Event(type=NUL, id="11", account="fine", contact="c", time=at),
        Event(type="login", id="12", account="fine", contact="c", time=at, data={LONG: 1, NUL: 2, "ok": 3}),
        *(
            Event(
                type="contact.updated",
                id=f"i{n}",
                account="fine",
                time=at,
                data={"id": i, "attributes": born},
            )
            for n, i in enumerate((LONG, NUL))
        ),
        Event(type="contact.deleted", id="13", account="fine", time=at, data={"id": NUL}),
        Event(type="login", id="14", account="fine", contact="d", time=at),
    ]
    log.append(EVENTS, [Entry(value=encode(event)) for event in (*aside, *taken)]).result(10)
    for _ in range(20):
        worker.run_once()
    letters = log.read(DEAD_LETTERS, 0, 0)
    assert {dict(letter.headers)["error"] for letter in letters} == {
        b"a name is empty, too long, or holds NUL"
    }
    assert len(letters) == len(aside)
    with db.read() as conn:
        assert list(conn.scalars(select(accounts.c.account))) == ["fine"]
        named = sorted(conn.scalars(select(triggers.c.contact)))
        assert named == ["c", "d", "x" * 256]  # of the one with NUL nothing is left
        assert {(row.type, row.name) for row in conn.execute(select(seen))} == {
            ("login", ""),
            ("login", "ok"),
        }
    assert worker.tasks[0].reported == log.end_offsets(EVENTS)[0]
    worker.stop()
    log.close()
