"""kill -9 of each service on Kafka and PostgreSQL, held against the pure engine's answer to the same log."""

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.faults import kill_each, loaded
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(500)
def test_each_service_killed_ten_times(make_stack: MakeStack, sink: Sinks) -> None:
    stack = make_stack()
    with loaded(stack, sink, events=20_000, accounts=300) as run:
        kills = kill_each(run, times=10, seed=1, most_s=1.5)
    report = run.finish(kills)
    assert report.acknowledged == 20_000
    assert report.triggers > 500
    assert report.sink_repeats <= kills, "at most one a kill"
