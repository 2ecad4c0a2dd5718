"""Backtests of rules with `alive`: exact as one partition is, however many there are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.rules.backtest import history, replay
from tests.oracle import rule_strategies as rules
from tests.oracle.strategies import histories
from tests.unit.backtest.kit import MemoryLog, backtest, live, sorted_by_id
from tests.unit.backtest.kit import told as shown
from tests.unit.backtest.test_against_a_server import first_rule
from tests.unit.engine_differential.test_alive_partitions import ALIVE, EVENTS, RULES, told

EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TIERS = [{"tier": "tech"}]


@pytest.fixture(params=["in memory", "on disk"])
def tight(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "on disk":
        monkeypatch.setattr(replay, "STATES_BYTES", 0)
        monkeypatch.setattr(history, "PAGE", 3)
        monkeypatch.setattr(history, "FETCH", 2)


@pytest.mark.usefixtures("tight")
@EXAMPLES
@given(st.data())
def test_one_partition_gives_what_a_server_gives(data: Any) -> None:
    written = data.draw(histories(st.one_of(rules.guarded(split=True), rules.guarded(split=False))))
    log, (rule, tiers) = MemoryLog(1), first_rule(written)
    for _, receipt, body in written.events:
        log.append(body, receipt)
    wanted = sorted_by_id([shown(one) for one in live(log, rule, tiers)])
    assert sorted_by_id(backtest(log, [("rule", rule)], tiers).of()) == wanted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["name"])
@EXAMPLES
@given(events=EVENTS)
def test_several_partitions_are_read_as_one(events: list[tuple[int, str, str]], rule: dict[str, Any]) -> None:
    rule = {**rule, "alive": ALIVE}
    one, three = MemoryLog(1), MemoryLog(3)
    for body in told(events):
        one.append(body)
        three.append(body)
    wanted = {trigger.id for trigger in live(one, rule, TIERS)}
    assert {trigger["id"] for trigger in backtest(three, [("rule", rule)], TIERS).of()} == wanted
