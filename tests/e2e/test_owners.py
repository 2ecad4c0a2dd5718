"""Partitions that change hands: workers join, leave, die, and come back from a long stop, over 12 partitions."""

from __future__ import annotations

import random
import time
from functools import partial

import psutil
import pytest
from sqlalchemy import select

from backbone.database import Database
from services.actions.tables import partitions as actions_partitions
from services.rules.tables import partitions as rules_partitions
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import loaded, posting
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Process, Stack, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

TABLES = {"rules": rules_partitions, "actions": actions_partitions}


def rows(db: Database, kind: str) -> dict[int, tuple[int, ...]]:
    """A service's places by partition, the epoch first."""
    table = TABLES[kind]
    with db.read() as conn:
        return {row[0]: tuple(row[1:]) for row in conn.execute(select(table))}


def epochs(db: Database, kind: str) -> dict[int, int]:
    """By partition; rises with every change of hands."""
    return {partition: row[0] for partition, row in rows(db, kind).items()}


def all_taken(db: Database, kind: str, before: dict[int, int]) -> bool:
    """Whether every partition has changed hands since."""
    now = epochs(db, kind)
    return all(now[partition] > epoch for partition, epoch in before.items())


def stopped(process: Process) -> bool:
    return bool(psutil.Process(process.child.pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.timeout(400)
def test_zombies_write_nothing(make_stack: MakeStack, sink: Sinks, fresh_postgres_url: str) -> None:
    """A rules and an actions worker freeze in the middle of a transaction; others take over; they come back."""
    url = f"{fresh_postgres_url}?options=-c%20idle_in_transaction_session_timeout%3D4s"
    stack = make_stack(rules=1, actions=1, DATABASE_URL=url)
    db = stack.open_database()
    zombies: list[tuple[str, Process, dict[int, int]]] = []
    with posting(stack, sink, accounts=200, seed=4) as run:
        started = [(kind, stack.add(kind)) for kind in TABLES]
        for kind, zombie in started:
            zombie.start(failpoint=f"{kind}.before_commit:2:stop")
        for kind, zombie in started:
            until(f"{kind} freezes", partial(stopped, zombie))
            zombies.append((kind, zombie, epochs(db, kind)))
        for kind, zombie, before in zombies:
            until(f"another takes over from {zombie.child.name}", partial(all_taken, db, kind, before), 60)
        for _, zombie, _ in zombies:
            zombie.thaw()
        time.sleep(1)
    run.finish()
    for _, zombie, _ in zombies:
        assert "batch abandoned" in zombie.child.log.read_text(), "it was let go on, and was refused"
    db.close()


@pytest.mark.timeout(400)
def test_workers_join_leave_and_die(make_stack: MakeStack, sink: Sinks) -> None:
    stack = make_stack(rules=2, actions=1)
    rng = random.Random(5)
    kills = 0
    with loaded(stack, sink, events=8_000, accounts=200) as run:
        for kind in ("rules", "actions", "rules", "actions"):
            joining = stack.add(kind)
            joining.start()
            until(f"{joining.child.name} gets ready", joining.ready, 90)
            time.sleep(rng.uniform(0.5, 2))  # in the middle of the rebalance, or behind it
            leaving = stack.of(kind)[-2]
            if rng.random() < 0.5:
                leaving.child.stop()
            else:
                leaving.kill9()
                kills += 1
    report = run.finish(kills)
    assert report.sink_repeats <= kills
    assert leaves_a_worker(stack)


def leaves_a_worker(stack: Stack) -> bool:
    return all(any(process.child.alive for process in stack.of(kind)) for kind in TABLES)
