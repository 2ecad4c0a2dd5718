"""The hand-made examples hold of the oracle."""

from __future__ import annotations

import pytest

from tests.oracle import run
from tests.unit.engine_differential.cases import Case, told
from tests.unit.engine_differential.examples import EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_oracle_tells_the_example(example: Case) -> None:
    assert sorted(told(trigger) for trigger in run(example.history)) == sorted(example.expect)
