"""A pg_dump taken while events flow; the database is lost, put back elsewhere, and gone on with on the same Kafka."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from backbone.database import Database
from deploy.local.postgres import tool
from services.actions.tables import actions
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import END, loaded
from tests.e2e.history import compare, expected, stored
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, until
from tests.e2e.topics import posted

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

OVER = {"done", "failed", "uncertain", "skipped"}


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg:", "postgresql:")


def sent(database: str) -> dict[str, str]:
    """Mails and webhooks, and what became of them."""
    with closing(Database(database)) as db, db.read() as conn:
        rows = conn.execute(
            select(actions.c.id, actions.c.status).where(actions.c.channel.in_(("email", "webhook")))
        )
        return {row.id: row.status for row in rows}


def dumped(stack: Stack, path: Path) -> None:
    subprocess.run([tool("pg_dump"), "--format=custom", f"--file={path}", plain(stack.database)], check=True)


def moved(stack: Stack, dump: Path, database: str) -> None:
    """The database is gone; all processes begin anew on what the dump holds."""
    stack.stop()
    shutil.rmtree(stack.folder / "delivery")
    subprocess.run(
        [tool("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={plain(database)}", str(dump)],
        check=True,
    )
    stack.database = database
    for process in stack.processes:
        process.environment["TOUCHLINE_DATABASE_URL"] = database


@pytest.mark.timeout(400)
def test_a_database_is_lost_and_put_back(
    make_stack: MakeStack, sink: Sinks, new_database: Callable[[], str], tmp_path: Path
) -> None:
    stack, dump = make_stack(), tmp_path / "touchline.dump"
    with loaded(stack, sink, events=3_000, accounts=120) as run:
        until("some has been sent", lambda: "done" in sent(stack.database).values())
        dumped(stack, dump)
    until("more has been sent", lambda: len(sent(stack.database)) > 20)
    stack.settle()
    before = sent(stack.database)
    moved(stack, dump, new_database())
    known = sent(stack.database)
    assert known.keys() < before.keys(), "the dump is of the midst of it"
    for process in stack.processes:
        process.start()
    stack.wait_ready()
    with stack.client() as client:
        client.post("/v1/clock", json={"time": END.isoformat()}).raise_for_status()
    stack.settle()
    assert stack.surprises() == []
    log, db = stack.open_log(), stack.open_database()
    try:
        assert run.acknowledged <= posted(log).events.keys()
        compare(expected(log, db), stored(db))  # as if nothing had happened
    finally:
        log.close()
        db.close()
    after = sent(stack.database)
    arrived = sink.arrived()
    assert not arrived.unlike
    assert arrived.counts.keys() <= after.keys()
    assert {one for one, status in after.items() if status == "done"} <= arrived.counts.keys()
    again = {one for one, count in arrived.counts.items() if count > 1}
    assert again, "what was sent after the dump is sent once more"
    assert {one for one in again if known.get(one) in OVER} == set(), "what the dump knows to be over is not"
    assert max(arrived.counts.values()) == 2
