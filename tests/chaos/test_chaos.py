"""Kills at full size: a million events, two hundred kills of each service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.chaos.conftest import Size, Told
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import kill_each, loaded
from tests.e2e.progress import Progress
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS

pytestmark = [
    pytest.mark.chaos, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(8 * 3600),
]  # fmt: skip

flooded = partial(
    loaded, batch=200, quiet=0.5, merges=0.0005
)  # half of the events, as in life, are nobody's business


@pytest.mark.parametrize("workers", [1, 3])
def test_kills(
    make_stack: MakeStack, sink: Sinks, seed: int, workers: int, size: Size, told: Told,
    progress: Callable[..., Progress],
) -> None:  # fmt: skip
    """Nothing acknowledged is lost, nothing is decided, played or recorded twice."""
    events, times = size(1_000_000, "EVENTS"), size(200, "KILLS")
    shown = progress(events=events, kills=times * len(KINDS))
    stack = make_stack(ingest=1, rules=workers, actions=workers)
    with flooded(
        stack, sink, events, accounts(events), seed, lanes=KINDS, times=times, progress=shown
    ) as run:
        kills = kill_each(run, times, seed, most_s=2.0)
    report = run.finish(kills)
    told(f"{times} kills of each service, {run.idle} of idle processes", report)
    assert report.acknowledged == events


def test_calm(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Callable[..., Progress]
) -> None:
    """Without faults nothing leaves the house twice."""
    events = size(1_000_000, "EVENTS")
    shown = progress(events=events)
    with flooded(make_stack(), sink, events, accounts(events), seed, progress=shown) as run:
        pass
    report = run.finish()
    told("no faults", report)
    assert (report.acknowledged, report.told_again) == (events, 0)
    assert (report.sink_repeats, report.uncertain) == (0, 0)


def accounts(events: int) -> int:
    """Enough for some dozens of events each."""
    return max(200, events // 50)
