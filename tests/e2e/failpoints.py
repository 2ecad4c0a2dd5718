"""Processes that end at named places in the code, each in the middle of its work."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from backbone.failpoint import POINTS, STATUS
from tests.e2e.faults import Run
from tests.e2e.stack import KINDS, until

MOST_S = 120.0
# Passed by webhooks of sources alone, which these runs do not send; `test_unmatched_kills` does.
OF_SOURCES = {"ingest.after_placing_before_append", "ingest.after_sending_on_before_forgetting"}
# Passed by mails about tasks alone, which these runs do not ask for; `test_task_mail_kills` does.
OF_TASK_MAILS = {"task_mails.after_begin_before_wire", "task_mails.after_wire_before_note"}
PREFIXES = {"ingest": ("ingest.",), "rules": ("rules.",), "actions": ("actions.", "delivery.")}


def hit_all(run: Run, rounds: int, seed: int) -> set[str]:
    """Hit every failpoint `rounds` times, in the first process of each kind, all kinds at once; returns the points."""
    with ThreadPoolExecutor(len(KINDS)) as pool:
        return {point for points in pool.map(partial(_hit, run, rounds, seed), KINDS) for point in points}


def _hit(run: Run, rounds: int, seed: int, kind: str) -> list[str]:
    rng = random.Random(f"{seed} {kind}")
    points = sorted(point for point in POINTS - OF_SOURCES if point.startswith(PREFIXES[kind]))
    process = run.stack.one(kind)
    process.kill9()
    for _ in range(rounds):
        for point in rng.sample(points, len(points)):
            process.start(failpoint=f"{point}:{rng.randint(1, 3)}")
            until(f"{point} is hit", lambda: not process.child.alive, MOST_S)
            assert process.child.returncode == STATUS, point
            run.progress.step("hits")
    process.start()
    return points


def in_actions(rounds: int) -> int:
    """How often `hit_all` ends a process of actions."""
    return rounds * sum(point.startswith(PREFIXES["actions"]) for point in POINTS) + 1
