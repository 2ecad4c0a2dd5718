"""Digests, and what comes back of mails, on Kafka and PostgreSQL with two workers, one of which dies now and then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.digests import Digested
from tests.e2e.faults import until_ready
from tests.e2e.mail_reports import CASES, Greetings
from tests.e2e.sinks import Sinks
from tests.e2e.workload import START

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

DAYS, ENTRIES, KILLS = 3, 40, 2  # the full size, and the wall clock: tests/chaos


@pytest.mark.timeout(300)
def test_each_list_goes_out_once_and_reports_are_told_once_whoever_dies(
    make_stack: MakeStack, sink: Sinks
) -> None:
    """One stack for both, as starting it takes most of the time."""
    stack = make_stack(actions=2, CLOCK="log")
    digested = Digested(stack, sink, seed=1, accounts=12, owners=3)
    try:
        digested.mornings(DAYS, ENTRIES, KILLS)
        print(digested.finish())
    finally:
        digested.close()

    greetings = Greetings(stack, (START + timedelta(days=DAYS + 2)).isoformat())
    greetings.write()
    reported = sum(bool(way) for way, _, _ in CASES.values())
    assert greetings.report() == {"matched": reported}
    victim = stack.of("actions")[0]
    victim.kill9()
    assert greetings.report() == {"matched": reported}, "the other worker takes them, and they change nothing"
    victim.start()
    until_ready(victim)
    greetings.write_again()
    greetings.finish()
