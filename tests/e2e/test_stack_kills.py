"""kill -9 of each service on Kafka and PostgreSQL, held against the pure engine's answer to the same log."""

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.faults import kill_each, loaded
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

EVENTS, KILLS = 10_000, 5  # the full size: tests/chaos


@pytest.mark.timeout(500)
def test_each_service_killed_again_and_again(make_stack: MakeStack, sink: Sinks) -> None:
    with loaded(
        make_stack(), sink, EVENTS, accounts=300, lanes=KINDS, times=KILLS, quiet=0.5, merges=0.002
    ) as run:
        kills = kill_each(run, times=KILLS, seed=1, most_s=0.5)
    report = run.finish(kills)
    assert report.acknowledged == EVENTS
    assert report.triggers > 250
    assert run.idle <= KILLS, "most kills meet a process at work"


@pytest.mark.timeout(300)
def test_without_faults_nothing_leaves_twice(make_stack: MakeStack, sink: Sinks) -> None:
    with loaded(make_stack(), sink, events=2_000, accounts=60) as run:
        pass
    report = run.finish()
    assert (report.acknowledged, report.told_again) == (2_000, 0)
    assert (report.sink_repeats, report.uncertain) == (0, 0)
    assert report.triggers > 100
