"""The export of accounts on both databases: what the API shows of each, and the names of the erased from the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, Entry, partition_for
from backbone.log.embedded.log import EmbeddedLog
from backbone.migrations import migrate
from schemas.event import Event, encode, from_microseconds
from schemas.rule import TiersDoc
from services.rules.account_rows import AccountRows
from services.rules.api import exports
from services.rules.api.account_events import AccountEvents
from services.rules.api.accounts import accounts_router
from services.rules.api.explain import Explainer
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import account_rows, accounts, export_erased
from services.rules.worker import RulesWorker
from tests.conformance.database.reading import NOW, Reader
from tests.migrated import migrated

MINUTE = 60_000_000
ACCOUNTS = "/v1/export/accounts"


class House:
    """A rules worker driven by hand, and an analyst who reads the accounts."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self.seconds, self.posted = db, 0.0, 0
        self.log = EmbeddedLog(folder / "records", 2)
        clock = ManualClock(NOW)
        self.saver = RuleRepository(db, self.log, clock)
        self.worker = RulesWorker(db, self.log, clock, clock_mode="log")
        self.worker.join()
        explainer = Explainer(
            db, clock, wall=False, partition_of=lambda name: partition_for(name, 2), unhealthy=lambda _: None
        )
        self.rows = AccountRows(db, explainer, lambda: self.seconds)
        events = AccountEvents(db, self.log, wall=False)
        self.reader = Reader(
            db,
            folder / "log",
            accounts_router(db, explainer, events),
            exports.router(db, self.log, self.rows, wall=False),
        )
        self.cursor: str | None = None

    def post(self, *told: tuple[str, str, Any]) -> None:
        """Events (account, type, data) in one batch, and what the worker makes of them."""
        entries = []
        for account, type_, data in told:
            self.posted += 1
            time = from_microseconds(NOW + self.posted * MINUTE)
            event = Event(id=f"e{self.posted}", source="t", type=type_, account=account, data=data, time=time)
            if type_ == "contact.deleted":
                event.contact = data
            entries.append(Entry(key=account, value=encode(event)))
        self.log.append(EVENTS, entries).result(timeout=10)
        self.catch_up()

    def catch_up(self) -> None:
        for _ in range(1_000):
            self.worker.run_once()
            tasks, ends = self.worker.tasks, self.log.end_offsets(EVENTS)
            if tasks and all(tasks[p].reported == end and not tasks[p].dirty for p, end in ends.items()):
                return
        raise AssertionError("it never comes to rest")

    def read(self) -> list[dict[str, Any]]:
        """What is new for the analyst."""
        asked = {} if self.cursor is None else {"cursor": self.cursor}
        answer = self.reader.client.get(ACCOUNTS, params=asked)
        assert answer.status_code == 200, answer.text
        self.cursor = answer.headers["next-cursor"]
        rows = [json.loads(line) for line in answer.text.splitlines()]
        for row in rows:
            del row["cursor"]
        return rows

    def shown(self, account: str) -> dict[str, Any]:
        found: dict[str, Any] = self.reader.client.get(f"/v1/accounts/{account}").raise_for_status().json()
        return found

    def close(self) -> None:
        self.worker.stop()
        self.reader.close()
        self.log.close()


@pytest.fixture
def house(db: Database, tmp_path: Path) -> Iterator[House]:
    migrated(db)
    made = House(db, tmp_path)
    yield made
    made.close()


ANN = {"id": "ann", "email": "ann@acme.test", "name": "Ann Ash"}
ACME = {
    "name": "Acme \0 & Söhne",
    "attributes": {"arr": 5, "tags": ["=1+1"]},
    "contacts": [ANN, {"id": "bob"}],
}


def test_accounts_come_as_the_api_shows_them_and_again_when_they_change(house: House) -> None:
    house.post(("acme", "account.updated", ACME), ("globex", "login", {}))
    assert house.read() == [house.shown("acme"), house.shown("globex")]
    house.post(("globex", "account.updated", {"owner": {"name": "Jo", "email": "jo@us.test"}}))
    assert house.read() == [house.shown("globex")]
    house.post(("acme", "account.merged", {"into": "globex"}))
    assert {one["id"]: one["merged_into"] for one in house.read()} == {"acme": "globex", "globex": None}
    assert house.read() == []


def test_events_alone_bring_an_account_again_once_a_minute(house: House) -> None:
    house.post(("acme", "login", {}), ("globex", "login", {}))
    house.rows.sweep()
    assert len(house.read()) == 2
    house.post(("acme", "login", {}))
    house.seconds += 59
    house.rows.sweep()
    assert house.read() == []
    house.seconds += 1
    house.rows.sweep()
    assert house.read() == [house.shown("acme")]
    house.rows.sweep()
    assert house.read() == []


def test_a_new_tier_policy_brings_the_accounts_that_it_moves(house: House) -> None:
    house.post(("acme", "account.updated", ACME), ("globex", "account.updated", {"tier": "low"}))
    house.rows.sweep()
    assert {one["id"]: one["tier"] for one in house.read()} == {"acme": "tech", "globex": "low"}
    tiers = [{"tier": "high", "where": {"account.attributes.arr": {"gte": 5}}}, {"tier": "tech"}]
    policy = TiersDoc.model_validate({"tiers": tiers})
    house.saver.run(lambda conn: house.saver.tiers(conn, policy, None, "test"))
    house.catch_up()
    house.rows.sweep()
    assert house.read() == [house.shown("acme")]
    assert house.shown("acme")["tier"] == "high"


def test_an_erased_account_is_named_by_the_log_alone(house: House) -> None:
    house.post(("acme", "account.updated", ACME), ("globex", "login", {}))
    house.read()
    house.post(("acme", "account.deleted", None), ("nobody", "account.deleted", None))
    with house.db.read() as conn:
        for table in (accounts, account_rows, export_erased):
            assert "acme" not in repr(conn.execute(select(table)).all())
    assert house.read() == [{"id": "acme", "deleted": True}]
    assert house.read() == []


def test_who_comes_back_in_the_batch_of_the_erasure_is_there_afterwards(house: House) -> None:
    house.post(("acme", "account.updated", ACME))
    house.read()
    house.post(("acme", "account.deleted", None), ("acme", "login", {}))
    assert house.read() == [{"id": "acme", "deleted": True}, house.shown("acme")]
    assert house.shown("acme")["name"] is None


def test_an_erased_contact_leaves_the_account_at_once(house: House) -> None:
    house.post(("acme", "account.updated", ACME))
    house.read()
    house.post(("acme", "contact.deleted", "ann"))
    with house.db.read() as conn:
        assert b"Ash" not in b"".join(conn.scalars(select(account_rows.c.doc)))
    (row,) = house.read()
    assert row == house.shown("acme")
    assert [one["id"] for one in row["contacts"]] == ["bob"]


def test_what_is_written_while_a_row_is_made_is_not_lost(house: House) -> None:
    """The worker marks the account again if its profile has changed since it was read."""
    house.post(("acme", "account.updated", ACME))
    house.rows.refresh()
    house.post(("acme", "login", {}))
    with house.db.read() as conn:
        assert conn.scalar(select(accounts.c.shown)) is True  # no new profile
    house.post(("acme", "account.updated", {"name": "New"}))
    with house.db.read() as conn:
        assert conn.scalar(select(accounts.c.shown)) is False
    house.read()
    assert house.shown("acme")["name"] == "New"


def test_accounts_from_before_the_migration(house: House) -> None:
    house.post(("acme", "account.updated", ACME), ("globex", "login", {}))
    with house.db.write() as conn:  # as the migration leaves them
        conn.execute(update(accounts).values(shown=False, profile_hash=None, earliest=None, newest=None))
    house.rows.sweep()
    assert house.read() == [house.shown("acme"), house.shown("globex")]
    house.post(("acme", "login", {}))
    house.seconds += 100
    house.rows.sweep()
    assert [one["id"] for one in house.read()] == ["acme"]


def test_the_migration_loses_no_account(db: Database) -> None:
    migrate(db, "rules", "r012")
    room = "rules." if db.dialect == "postgresql" else ""
    old = f"INSERT INTO {room}rules_accounts (account, partition, seen_at, state) VALUES ('a', 0, 1, :state)"
    with db.write() as conn:
        conn.execute(text(old), {"state": b"x"})
    migrate(db, "rules")
    with db.read() as conn:
        assert conn.execute(select(accounts.c.account, accounts.c.shown)).all() == [("a", False)]
