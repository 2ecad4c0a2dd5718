"""Each named failpoint is hit on a real stack, in the middle of work, and nothing comes out differently."""

from __future__ import annotations

import pytest

from backbone.failpoint import POINTS
from tests.e2e.conftest import MakeStack
from tests.e2e.failpoints import OF_SOURCES, OF_TASK_MAILS, hit_all, in_actions
from tests.e2e.faults import posting
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_every_failpoint_is_hit_and_changes_nothing(make_stack: MakeStack, sink: Sinks) -> None:
    with posting(make_stack(), sink, accounts=200, seed=3, merges=0.02) as run:
        hit = hit_all(run, rounds=1, seed=3)
    assert hit == POINTS - OF_SOURCES - OF_TASK_MAILS
    report = run.finish(kills=in_actions(1))
    assert report.triggers > 100
