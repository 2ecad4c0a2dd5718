"""A cap of one mail holds for an address over accounts, partitions and workers, whoever dies, by either clock."""

from __future__ import annotations

import pytest

from tests.e2e.capped import Capped
from tests.e2e.conftest import MakeStack
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("clock", ["wall", "log"])
def test_never_two_in_any_window_while_workers_die(make_stack: MakeStack, sink: Sinks, clock: str) -> None:
    capped = Capped(make_stack(actions=2, CLOCK=clock), sink, seed=1, accounts=8)
    capped.run(tries=6, kills=1)
    print(capped.finish())
