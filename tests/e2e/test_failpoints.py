"""Each named failpoint is hit on a real stack, in the middle of work, and nothing comes out differently."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from backbone.failpoint import POINTS, STATUS
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import Run, posting
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

MOST_S = 90.0
PREFIXES = {"ingest": ("ingest.",), "rules": ("rules.",), "actions": ("actions.", "delivery.")}


def hit_all(run: Run, kind: str) -> list[str]:
    """One process after the other of this kind runs until it ends at its failpoint; the points, in order."""
    points = sorted(point for point in POINTS if point.startswith(PREFIXES[kind]))
    process = run.stack.one(kind)
    process.kill9()
    for number, point in enumerate(points):
        process.start(failpoint=f"{point}:{1 + number % 3}")
        until(f"{point} is hit", lambda: not process.child.alive, MOST_S)
        assert process.child.returncode == STATUS, point
    process.start()
    return points


@pytest.mark.timeout(400)
def test_every_failpoint_is_hit_and_changes_nothing(make_stack: MakeStack, sink: Sinks) -> None:
    with posting(make_stack(), sink, accounts=200, seed=3) as run, ThreadPoolExecutor(len(KINDS)) as pool:
        hit = [point for points in pool.map(partial(hit_all, run), KINDS) for point in points]
    assert set(hit) == POINTS
    report = run.finish(kills=len(POINTS) + len(KINDS))
    assert report.triggers > 100
