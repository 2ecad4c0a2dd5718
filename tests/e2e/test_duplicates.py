"""Duplicate input, from many clients and across restarts: exactly one effect of each event."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.duplicates import send_again_and_again
from tests.e2e.faults import configured
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(300)
def test_each_id_sent_ten_times_has_one_effect(make_stack: MakeStack, sink: Sinks) -> None:
    ids, kills = 200, 1
    with configured(make_stack(), sink, accounts=20) as run:
        send_again_and_again(run, ids, clients=20, copies=10, kills=kills, seed=6)
    report = run.finish(kills)
    assert (report.acknowledged, report.triggers, report.plays) == (ids, ids, ids)
    assert len(sink.hooks) == ids
