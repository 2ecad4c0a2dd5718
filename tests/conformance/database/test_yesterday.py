"""Migrations of databases that hold yesterday's data: what newer columns say is filled in from what is there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from fastapi import Response
from sqlalchemy import Insert, Table, func, select

from backbone.clock import WallClock
from backbone.database import Database
from backbone.migrations import check_schema, migrate
from backbone.tables import idempotency
from backbone.web.idempotency import Idempotency, name_of
from schemas.event import microseconds, rfc3339
from schemas.profile import Owner, Profile
from schemas.trigger import Position, Trigger
from services.actions.tables import NEVER, accounts, actions, documents, plays, tasks
from services.rules.storage import queries
from services.rules.tables import metadata, revisions, triggers, versions

NOW = microseconds(datetime(2026, 11, 1, tzinfo=UTC))


def of_r001(number: int) -> dict[str, object]:
    trigger = Trigger(
        id=f"trg_{number}", rule="r", rule_version=1, account="acme", tier=("high", "low")[number % 2],
        key=None if number % 3 == 0 else f"k{number}", at=rfc3339(NOW), reason="absent", position=Position(0, number),
    )  # fmt: skip
    doc = msgspec.json.encode(trigger)
    return {"id": trigger.id, "rule": "r", "account": "acme", "at": NOW, "partition": 0, "doc": doc}


def test_triggers_are_found_by_their_tier_and_key(db: Database) -> None:
    migrate(db, "rules", "r001")
    old = insert_of(triggers, "id", "rule", "account", "at", "partition", "doc")
    with db.write() as conn:
        conn.execute(old, [of_r001(n) for n in range(2_100)])
    migrate(db, "rules")
    with db.read() as conn:
        assert (
            conn.scalar(select(triggers.c.id).where(triggers.c.key_digest == queries.key_digest("k2000")))
            == "trg_2000"
        )
        high = list(conn.scalars(select(triggers.c.id).where(triggers.c.tier == "high")))
        keyless = list(conn.scalars(select(triggers.c.id).where(triggers.c.key_digest.is_(None))))
    assert (len(high), len(keyless)) == (1_050, 700)


def test_plays_actions_and_tasks_are_found_by_what_their_play_and_account_say(db: Database) -> None:
    migrate(db, "actions", "a003")
    profile = msgspec.json.encode(Profile(id="acme", owner=Owner(email="Jo@US.test")))
    play = {
        "id": "ply_1", "partition": 0, "playbook": "p", "rule": "r", "trigger_id": "t", "account": "acme",
        "scope": "account", "tier": "high", "topic": "t", "status": "open", "started_at": NOW, "trigger": {},
        "templates": {},
    }  # fmt: skip
    action = {
        "partition": 0, "playbook": "p", "account": "acme", "step": "0", "topic": "t", "status": "done",
        "created_at": NOW, "due_at": NOW,
    }  # fmt: skip
    task = {
        "playbook": "p", "step": "0", "account": "acme", "title": "t", "key": "k", "status": "open",
        "created_at": NOW, "assignee": "Kim@us.test",
    }  # fmt: skip
    mail, hook = (
        {"channel": "email", "recipient": "Ann@ACME.test"},
        {"channel": "webhook", "recipient": "CRM"},
    )
    sent = [{**action, "id": f"act_{n}", "play": "ply_1", **(mail if n % 2 else hook)} for n in range(1_100)]
    sent.append({**sent[0], "id": "act_lone", "play": "gone"})
    made = [{**task, "id": "tsk_1", "play": "ply_1", "priority": "High", "due_at": NOW + 1}]
    made.append({**task, "id": "tsk_2", "play": "gone", "priority": None, "due_at": None})
    with db.write() as conn:
        known = {"account": "acme", "partition": 0, "profile": profile}
        for table, rows in ((accounts, [known]), (plays, [play]), (actions, sent), (tasks, made)):
            conn.execute(insert_of(table, *rows[0]), rows)
    migrate(db, "actions")
    with db.read() as conn:
        assert conn.scalar(select(accounts.c.owner)) == "jo@us.test"
        columns = (actions.c.rule, actions.c.tier, actions.c.addressee)
        assert {tuple(row) for row in conn.execute(select(*columns, func.count()).group_by(*columns))} == {
            ("r", "high", "ann@acme.test", 550), ("r", "high", "CRM", 550), (None, None, "CRM", 1)
        }  # fmt: skip
        of_tasks = select(tasks.c.rule, tasks.c.tier, tasks.c.assigned, tasks.c.urgency, tasks.c.due_or_never)
        assert [tuple(row) for row in conn.execute(of_tasks.order_by(tasks.c.seq))] == [
            ("r", "high", "kim@us.test", 1, NOW + 1), (None, None, "kim@us.test", 99, NEVER)
        ]  # fmt: skip


def test_triggers_of_which_no_play_comes_are_told_apart(db: Database) -> None:
    migrate(db, "rules", "r003")
    old = insert_of(triggers, "id", "rule", "account", "at", "partition", "doc")
    docs = {"none": {}, "shadow": {"playbook": "p", "shadow": True}, "plays": {"playbook": "p"}}
    rows = [
        {**of_r001(n), "doc": msgspec.json.encode({"playbook": None, **docs[kind]})}
        for n, kind in enumerate(docs)
    ]
    with db.write() as conn:
        conn.execute(old, rows)
    migrate(db, "rules")
    with db.read() as conn:
        alone = list(conn.scalars(select(triggers.c.id).where(triggers.c.alone)))
    assert alone == ["trg_0", "trg_1"]


def test_tasks_are_over_when_they_were_completed_or_their_play_ended(db: Database) -> None:
    migrate(db, "actions", "a007")
    play = {
        "id": "ply_1", "partition": 5, "playbook": "p", "rule": "r", "trigger_id": "t", "account": "acme",
        "scope": "account", "tier": "high", "topic": "t", "status": "finished", "started_at": NOW, "ended_at": NOW + 7,
        "trigger": {}, "templates": {},
    }  # fmt: skip
    task = {"playbook": "p", "step": "0", "account": "acme", "title": "t", "key": "k", "created_at": NOW}
    made = [
        {**task, "id": "open", "play": "ply_1", "status": "open", "completed_at": None},
        {**task, "id": "closed", "play": "ply_1", "status": "closed", "completed_at": None},
        {**task, "id": "completed", "play": "ply_1", "status": "completed", "completed_at": NOW + 3},
        {**task, "id": "lost", "play": "gone", "status": "closed", "completed_at": None},
    ]
    with db.write() as conn:
        for table, rows in ((plays, [play]), (tasks, made)):
            conn.execute(insert_of(table, *rows[0]), rows)
    migrate(db, "actions")
    with db.read() as conn:
        found = {row.id: (row.over_at, row.partition) for row in conn.execute(select(tasks))}
    assert found == {
        "open": (None, 5),
        "closed": (NOW + 7, 5),
        "completed": (NOW + 3, 5),
        "lost": (NOW, None),
    }


def insert_of(table: Table, *names: str) -> Insert:
    """An insert that names these columns and no newer ones."""
    return table.insert().values(dict.fromkeys(names))


def test_every_row_of_a_rule_was_a_version(db: Database) -> None:
    migrate(db, "rules", "r004")
    old = revisions, "revision", "name", "version", "status", "doc", "changed_by", "changed_at"
    row = {"name": "a", "version": 1, "status": "draft", "changed_by": "ann", "changed_at": NOW}
    rows = [
        row | {"revision": 1, "doc": {"name": "a", "status": "draft"}},
        row | {"revision": 2, "version": 2, "status": "active", "doc": {"name": "a", "status": "active"}},
        row | {"revision": 3, "version": 3, "status": "deleted", "doc": {"name": "a", "status": "active"}},
        row | {"revision": 4, "name": None, "doc": {"tiers": []}},
    ]
    with db.write() as conn:
        conn.execute(insert_of(*old), rows)
    migrate(db, "rules")
    with db.write() as conn:
        found = [(one.version, one.doc, one.deleted) for one in conn.execute(select(versions))]
        assert found == [(1, {"name": "a"}, False), (2, {"name": "a"}, False), (3, {"name": "a"}, True)]
        assert set(conn.scalars(select(revisions.c.saved))) == {True}
        conn.execute(insert_of(*old), [rows[0] | {"revision": 5}])  # a version may come into force again
    check_schema(db, "rules", metadata)


def test_the_newest_version_was_the_one_in_force(db: Database) -> None:
    migrate(db, "actions", "a011")
    heads = documents.heads
    with db.write() as conn:
        row = {"kind": "template", "name": "a", "version": 7, "deleted": False}
        conn.execute(insert_of(heads, *row), [row])
    migrate(db, "actions")
    with db.read() as conn:
        assert conn.scalar(select(heads.c.newest)) == 7


def test_answers_from_before_they_were_sealed(db: Database) -> None:
    """The migration names them by hashes, whatever they were called; they are given until their day is over."""
    migrate(db, "backbone", "b003")
    owner = Idempotency("k", "Bearer tl_mine", b"")._owner
    names = [f"key-{n}" for n in range(1_100)] + ["#odd", "#" + "a" * 64]
    plain = {"owner": owner, "fingerprint": b"x" * 32, "status": 200, "headers": '{"etag": "1"}'}
    rows = [
        plain | {"created_at": WallClock().now(), "idempotency_key": name, "body": name.encode()}
        for name in names
    ]
    with db.write() as conn:
        conn.execute(insert_of(idempotency, *rows[0]), rows)
    migrate(db, "backbone")
    for name in (names[0], names[1_099], "#odd"):
        with db.write() as conn:
            again = Idempotency(name, "Bearer tl_mine", b"x" * 32).run(conn, never)
        assert (again.status_code, again.body, again.headers["etag"]) == (200, name.encode(), "1")
    with db.read() as conn:
        kept = set(conn.scalars(select(idempotency.c.idempotency_key)))
    assert kept == {*(name_of(owner, name) for name in names[:-1]), names[-1]}


def never() -> Response:
    raise AssertionError("it was made a second time")
