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
IDLE_LIMIT = "?options=-c%20idle_in_transaction_session_timeout%3D4s"  # for rows that the frozen hold
REFUSED = "batch abandoned"
# With its batch read it meets the fence; in its transaction it finds that the database has ended that.
RULES_FREEZE = ("rules.after_poll", "rules.before_commit")


def epochs(db: Database, kind: str) -> dict[int, int]:
    """By partition; rises with every change of hands."""
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
    """Zombies: one more rules and one more actions worker freeze beyond their session, in the middle of a transaction
    or with what they read in hand; others take over; they come back, and write nothing. How many there were."""
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
        """Looks at both at once: who froze first is soon another's prey."""
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
    """Workers join, and others leave or die, rules and actions in turn; how many workers of actions died.

    By the end every partition has changed hands.
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
        time.sleep(rng.uniform(0.2, 1.5))  # in the middle of the rebalance, or behind it
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
