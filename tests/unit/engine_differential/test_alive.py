"""Rules with `alive` against the oracle, whatever the batches and restarts, with the fast path and without."""

from __future__ import annotations

from tests.oracle import rule_strategies as rules
from tests.oracle import run
from tests.oracle.history import History
from tests.oracle.strategies import histories, merged
from tests.unit.engine_differential.comparing import differences, story
from tests.unit.engine_differential.engine_runner import Cut, plain, read_history, run_engine
from tests.unit.engine_differential.test_differential import _sweeps_often, differential

__all__ = ["_sweeps_often"]


def agree(history: History, cut: Cut) -> None:
    """The engine gives the oracle's triggers, however the log is read."""
    whole = run_engine(history)
    wrong = differences(run(history), [plain(trigger) for trigger in whole])
    assert not wrong, "\n".join([*wrong, story(history)])
    again = run_engine(history, cut)
    assert again == whole, f"read as {cut}: {again}\n\nat once: {whole}\n{story(history)}"
    slow = read_history(history, cut, fastpath=False).triggers
    assert slow == whole, f"without the fast path: {slow}\n\nwith it: {whole}\n{story(history)}"


@differential(40, histories(rules.guarded(split=True)))
def test_absences(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(40, histories(rules.guarded(split=False)))
def test_ticks(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(25, histories(rules.guarded(split=True), change=rules.realive))
def test_saves_of_absences(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(25, histories(rules.guarded(split=False), change=rules.realive))
def test_saves_of_ticks(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(15, histories(rules.guarded(split=True), wall=True))
def test_absences_by_the_wall_clock(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(15, histories(rules.guarded(split=False), wall=True))
def test_ticks_by_the_wall_clock(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(15, merged(histories(rules.guarded(split=True))))
def test_merged_accounts(history: History, cut: Cut) -> None:
    agree(history, cut)
