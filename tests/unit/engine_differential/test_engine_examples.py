"""The hand-made examples hold of the engine, read in one go and event by event with a restart after each."""

from __future__ import annotations

import pytest

from tests.unit.engine_differential.cases import Case, told
from tests.unit.engine_differential.engine_runner import Cut, plain, run_engine
from tests.unit.engine_differential.examples import EXAMPLES


@pytest.mark.parametrize("cut", [Cut(), Cut((1,), (True,))], ids=["at once", "one by one"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_engine_tells_the_example(example: Case, cut: Cut) -> None:
    triggers = [plain(trigger) for trigger in run_engine(example.history, cut)]
    assert sorted(told(trigger) for trigger in triggers) == sorted(example.expect)
