"""Nothing begins after a pause was answered, whatever dies; after the resume all that was held begins once."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.pauses import Paused
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(300)
def test_a_pause_while_workers_die(make_stack: MakeStack, sink: Sinks) -> None:
    paused = Paused(make_stack(actions=2), sink, seed=1)
    paused.round(orders=150)
    print(paused.finish())
