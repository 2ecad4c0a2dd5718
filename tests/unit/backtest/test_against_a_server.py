"""A backtest gives the triggers, ids included, that a server with the log clock gives over the same records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.event import instant
from services.rules.backtest import history, replay
from tests.oracle import rule_strategies as rules
from tests.oracle.history import History
from tests.oracle.strategies import histories, merged
from tests.unit.backtest.kit import JSON, MemoryLog, backtest, live, matches, sorted_by_id, told

EXAMPLES = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARTITIONS = 3


@pytest.fixture(params=["in memory", "on disk"])
def tight(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On disk: no state stays in memory, and batches are small."""
    if request.param == "on disk":
        monkeypatch.setattr(replay, "STATES_BYTES", 0)
        monkeypatch.setattr(history, "PAGE", 3)
        monkeypatch.setattr(history, "FETCH", 2)


def log_of(written: History, *, undated: bool = False, without: tuple[str, ...] = ()) -> MemoryLog:
    """The history's records over several partitions; some updates of a backfill lose their time."""
    log = MemoryLog(PARTITIONS)
    for number, (_, receipt, body) in enumerate(written.events):
        if body["type"] in without:
            continue
        if undated and body.get("historical") and body["type"].endswith(".updated") and number % 2:
            body = {name: value for name, value in body.items() if name != "time"}
        log.append(body, receipt)
    return log


def first_rule(written: History) -> tuple[JSON, list[JSON]]:
    revision = written.config[0][1]
    doc = {name: value for name, value in revision.rules[0].items() if name not in ("status", "backfill")}
    return doc, revision.tier_policy()


@pytest.mark.usefixtures("tight")
@EXAMPLES
@given(st.data())
def test_the_triggers_are_those_of_a_server(data: Any) -> None:
    written = data.draw(histories(rules.anything()))
    log, (rule, tiers) = log_of(written, undated=True), first_rule(written)
    wanted = sorted_by_id([told(one) for one in live(log, rule, tiers)])
    got = backtest(log, [("rule", rule)], tiers)
    assert sorted_by_id(got.of()) == wanted
    assert got.numbers["triggers"] == len(wanted)
    times = [instant(one["at"]) for one in got.of()]
    assert times == sorted(times)


@pytest.mark.usefixtures("tight")
@EXAMPLES
@given(st.data())
def test_who_matches_is_as_on_a_server(data: Any) -> None:
    written = data.draw(histories(rules.anything()))
    log, (rule, tiers) = log_of(written, undated=True), first_rule(written)
    wanted = sorted(map(placed, matches(log, rule, tiers)))
    got = [placed(one) for one in backtest(log, [("rule", rule)], tiers).of("matches")]
    assert sorted(got) == wanted
    assert [place[0] for place in got] == sorted(place[0] for place in got)


def placed(one: JSON) -> tuple[float, str, str, str]:
    return -one["share"], one["account"], one["contact"] or "", one["key"] or ""


@pytest.mark.usefixtures("tight")
@EXAMPLES
@given(st.data())
def test_merged_accounts_go_the_same_way(data: Any) -> None:
    written = data.draw(merged(histories(rules.anything())))
    rule, tiers = first_rule(written)
    log = merged_log(written.events)
    wanted = sorted_by_id([told(one) for one in live(log, rule, tiers, append=True)])
    assert sorted_by_id(backtest(log, [("rule", rule)], tiers).of()) == wanted


@pytest.mark.usefixtures("tight")
@EXAMPLES
@given(st.data())
def test_merges_go_the_same_way_if_rules_had_not_come_so_far(data: Any) -> None:
    written = data.draw(merged(histories(rules.anything())))
    rule, tiers = first_rule(written)
    # What merges send on then comes after the rest of the log, and must not be late by then.
    bodies = sorted((body for _, _, body in written.events), key=lambda body: str(body.get("time", "")))
    events = [
        (number, receipt, body) for (number, receipt, _), body in zip(written.events, bodies, strict=True)
    ]
    log = merged_log(events)
    cut = [len(lane) for lane in log.lanes]
    wanted = sorted_by_id([told(one) for one in live(log, rule, tiers, append=True)])
    for lane, end in zip(log.lanes, cut, strict=True):
        del lane[end:]
    got = backtest(log, [("rule", rule)], tiers).of()
    assert [one["id"] for one in sorted_by_id(got)] == [one["id"] for one in wanted]


def merged_log(events: Iterable[tuple[int, int, JSON]]) -> MemoryLog:
    """The records but erasures; a backfill counts as live."""
    log = MemoryLog(PARTITIONS)
    for _, receipt, body in events:
        if body["type"] != "account.deleted":
            log.append({**body, "historical": False}, receipt)
    return log


@EXAMPLES
@given(st.data())
def test_variants_judged_together_are_those_judged_alone(data: Any) -> None:
    written = data.draw(histories(rules.anything()))
    log, (rule, tiers) = log_of(written, undated=True), first_rule(written)
    docs = [rule, *({**rule, "cooldown": value} for value in ("0s", "1d", "once"))]
    together = backtest(log, [("rule" if not n else str(n - 1), doc) for n, doc in enumerate(docs)], tiers)
    for number, doc in enumerate(docs):
        alone = backtest(log, [("rule", doc)], tiers)
        series = "rule" if number == 0 else str(number - 1)
        assert sorted_by_id(together.of(series)) == sorted_by_id(alone.of())
        shown = together.numbers if number == 0 else together.numbers["variants"][number - 1]
        assert {name: shown[name] for name in ("triggers", "subjects", "by_tier")} == {
            name: alone.numbers[name] for name in ("triggers", "subjects", "by_tier")
        }
