"""Partitions that change hands: workers that join, leave, die, and come back from a long stop."""

from __future__ import annotations

import random
import time
from functools import partial

import psutil
from sqlalchemy import select

from backbone.database import Database
from services.actions.tables import partitions as actions_partitions
from services.rules.tables import partitions as rules_partitions
from tests.e2e.faults import Run, until_ready
from tests.e2e.stack import Process, until

TABLES = {"rules": rules_partitions, "actions": actions_partitions}
IDLE_LIMIT = "?options=-c%20idle_in_transaction_session_timeout%3D4s"  # for rows that the frozen hold locked
REFUSED = "batch abandoned"
# Frozen after a poll, a worker meets the fence. Frozen in a transaction, it finds that the database has ended that.
RULES_FREEZE = ("rules.after_poll", "rules.before_commit")


def epochs(db: Database, kind: str) -> dict[int, int]:
    """The epoch of each partition; it rises whenever the partition changes hands."""
    table = TABLES[kind]
    with db.read() as conn:
        return {row.partition: row.epoch for row in conn.execute(select(table))}


def all_taken(db: Database, kind: str, before: dict[int, int]) -> bool:
    """Whether every partition has changed hands since."""
    now = epochs(db, kind)
    return all(now[partition] > epoch for partition, epoch in before.items())


def stopped(process: Process) -> bool:
    """Whether SIGSTOP has stopped it."""
    return bool(psutil.Process(process.child.pid).status() == psutil.STATUS_STOPPED)


def freeze_and_thaw(run: Run, rounds: int, seed: int) -> int:
    """Make zombies: freeze one more rules and one more actions worker for longer than their session.

    They freeze in the middle of a transaction or with the records of a poll in hand. Others take over; the zombies come
    back and write nothing. Returns how many there were.
    """
    rng = random.Random(f"{seed} zombies")
    db = run.stack.open_database()
    try:
        for number in range(rounds):
            _zombies(run, db, rng, RULES_FREEZE[number % 2])
            run.progress.step("zombies", len(TABLES))
    finally:
        db.close()
    return rounds * len(TABLES)


def _zombies(run: Run, db: Database, rng: random.Random, rules_freeze: str) -> None:
    zombies = {kind: run.stack.add(kind) for kind in TABLES}
    for kind, zombie in zombies.items():
        point = rules_freeze if kind == "rules" else "actions.before_commit"
        zombie.start(failpoint=f"{point}:{rng.randint(1, 3)}:stop")
    before: dict[str, dict[int, int]] = {}

    def frozen() -> bool:
        """Look at both at once: the partitions of the one that froze first are soon taken by others."""
        before.update(
            {
                kind: epochs(db, kind)
                for kind, zombie in zombies.items()
                if kind not in before and stopped(zombie)
            }
        )
        return len(before) == len(zombies)

    until("the workers freeze", frozen, 90)
    for kind, zombie in zombies.items():
        until(f"another takes over from {zombie.child.name}", partial(all_taken, db, kind, before[kind]), 90)
    for zombie in zombies.values():
        zombie.thaw()
    for zombie in zombies.values():
        until(f"{zombie.child.name} is refused", partial(_refused, zombie), 60)
        zombie.child.stop()


def _refused(process: Process) -> bool:
    return REFUSED in process.child.log.read_text(errors="replace")


def change_hands(run: Run, changes: int, seed: int) -> int:
    """Have workers join, and others leave or die, rules and actions in turn.

    By the end every partition has changed hands. Returns how many workers of actions died.
    """
    rng = random.Random(f"{seed} owners")
    died = 0
    db = run.stack.open_database()
    before = {kind: epochs(db, kind) for kind in TABLES}
    for number in range(changes):
        kind = ("rules", "actions")[number % 2]
        if run.pace is not None:
            run.pace.due("changes")
        running = [process for process in run.stack.of(kind) if process.child.alive]
        joining = run.stack.add(kind)
        joining.start()
        until_ready(joining)
        time.sleep(rng.uniform(0.2, 1.5))  # in the middle of the rebalance, or after it
        leaving = rng.choice(running)
        if (number + number // 2) % 2 == 0:
            leaving.child.stop()
        else:
            leaving.kill9()
            died += kind == "actions"
        run.progress.step("changes")
        if run.pace is not None:
            run.pace.struck("changes")
    for kind in TABLES:
        until(f"all partitions of {kind} change hands", partial(all_taken, db, kind, before[kind]), 90)
    db.close()
    return died
