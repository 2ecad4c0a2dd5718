"""Each named failpoint is hit on a real stack, in the middle of work, and nothing comes out differently."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from backbone.failpoint import POINTS, STATUS
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import Run
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Process, until
from tests.e2e.workload import JSON, batches, configure, events, post

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ACCOUNTS, EVENTS_EACH = 200, 500
SERVICE = {"delivery": "actions"}  # which process passes the points of that prefix, where it has another name


def place_in(run: Run, point: str) -> Process:
    """The process that passes this point."""
    prefix = point.partition(".")[0]
    return run.stack.one(SERVICE.get(prefix, prefix))


def post_batches(run: Run, sent: list[list[JSON]]) -> None:
    with run.stack.client() as client:
        for batch in sent:
            post(client, batch)
            run.acknowledged |= {(event["account"], event["id"]) for event in batch}


@pytest.mark.timeout(500)
def test_every_failpoint_is_hit_and_changes_nothing(make_stack: MakeStack, sink: Sinks) -> None:
    run = Run(make_stack(), sink, ACCOUNTS)
    with run.stack.client() as client:
        configure(client, sink.hook_url, ACCOUNTS)
    waiting = batches(events(3, EVENTS_EACH * len(POINTS), range(ACCOUNTS)))
    for number, point in enumerate(sorted(POINTS)):
        victim = place_in(run, point)
        victim.kill9()
        victim.start(failpoint=f"{point}:{1 + number % 3}")
        with ThreadPoolExecutor(1) as pool:
            posted = pool.submit(post_batches, run, list(islice(waiting, EVENTS_EACH // 50)))
            until(f"{point} is hit", lambda: not victim.child.alive)
            assert victim.child.returncode == STATUS, point
            victim.start()
            posted.result()
    report = run.finish(kills=2 * len(POINTS))
    assert report.triggers > 200
    assert report.sink_repeats <= len(POINTS)
