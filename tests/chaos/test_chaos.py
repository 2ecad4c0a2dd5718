"""The faults of `tests/e2e` at full size: a million events, two hundred kills of each service, servers that go too."""

from __future__ import annotations

import os

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.faults import kill_each, loaded
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

EVENTS = int(os.environ.get("TOUCHLINE_CHAOS_EVENTS", "1000000"))
KILLS = int(os.environ.get("TOUCHLINE_CHAOS_KILLS", "200"))  # of each service


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("workers", [1, 3])
def test_kills(
    make_stack: MakeStack, sink: Sinks, seed: int, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing acknowledged is lost, nothing is decided, played or recorded twice."""
    stack = make_stack(ingest=1, rules=workers, actions=workers)
    with loaded(stack, sink, events=EVENTS, accounts=max(200, EVENTS // 50), seed=seed) as run:
        kills = kill_each(run, times=KILLS, seed=seed, most_s=3.0)
    report = run.finish(kills)
    with capsys.disabled():
        print(f"{kills} kills: {report}")
    assert report.acknowledged == EVENTS
    assert report.sink_repeats <= kills
