"""Partitions that change hands: workers join, leave, die, and come back from a long stop, over 12 partitions."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.faults import loaded, posting
from tests.e2e.owners import IDLE_LIMIT, TABLES, change_hands, freeze_and_thaw
from tests.e2e.sinks import Sinks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_zombies_write_nothing(make_stack: MakeStack, sink: Sinks, fresh_postgres_url: str) -> None:
    """A rules worker freezes before its transaction, one of actions in it; others take over; they come back."""
    stack = make_stack(DATABASE_URL=fresh_postgres_url + IDLE_LIMIT)
    with posting(stack, sink, accounts=200, seed=4) as run:
        zombies = freeze_and_thaw(run, rounds=1, seed=4)
    run.finish(zombies)


@pytest.mark.timeout(400)
def test_workers_join_leave_and_die(make_stack: MakeStack, sink: Sinks) -> None:
    stack = make_stack(rules=2, actions=1)
    with loaded(stack, sink, events=8_000, accounts=200, lanes=["changes"], times=4) as run:
        died = change_hands(run, changes=4, seed=5)
    run.finish(died)
    assert died == 1
    assert all(any(process.child.alive for process in stack.of(kind)) for kind in TABLES)
