"""Each named failpoint is hit on a real stack, in the middle of work, and nothing comes out differently."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from backbone.failpoint import POINTS, STATUS
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import Run
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS, until
from tests.e2e.workload import batches, configure, events, post

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ACCOUNTS, EVENTS, MOST_S = 200, 6_000, 90.0
PREFIXES = {"ingest": ("ingest.",), "rules": ("rules.",), "actions": ("actions.", "delivery.")}


def post_until(run: Run, over: threading.Event) -> None:
    """Post the workload in small requests for as long as there is something to be hit."""
    with run.stack.client() as client:
        for batch in batches(events(3, EVENTS, range(ACCOUNTS)), 20):
            post(client, batch)
            run.acknowledged |= {(event["account"], event["id"]) for event in batch}
            if over.is_set():
                return


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
    run = Run(make_stack(), sink, ACCOUNTS)
    with run.stack.client() as client:
        configure(client, sink.hook_url, ACCOUNTS)
    over = threading.Event()
    with ThreadPoolExecutor(len(KINDS) + 1) as pool:
        posted = pool.submit(post_until, run, over)
        try:
            hit = [point for points in pool.map(lambda kind: hit_all(run, kind), KINDS) for point in points]
        finally:
            over.set()
        posted.result()
    assert set(hit) == POINTS
    report = run.finish(kills=len(POINTS) + len(KINDS))
    assert report.triggers > 100
