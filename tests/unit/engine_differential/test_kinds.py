"""Every registered trigger kind against its oracle: also one that was added a minute ago."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.oracle import rule_strategies as rules
from tests.oracle.history import History
from tests.oracle.kinds import KINDS
from tests.oracle.strategies import ACCOUNT_DATA, DATE_DATA, histories
from tests.unit.engine_differential.engine_runner import Cut
from tests.unit.engine_differential.test_differential import CUTS, SCALE, agree

DATA = {"date": DATE_DATA, "becomes": ACCOUNT_DATA}


def cases_of(name: str, change: Any = rules.changed) -> st.SearchStrategy[History]:
    kind = KINDS[name]
    data: dict[str, Any] = {"data": DATA[name]} if name in DATA else {}
    return histories(rules.one(kind.rules(), split=kind.split), change=change, **data)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_as_its_oracle_has_it(name: str) -> None:
    """Over disorder, duplicates, restarts, tier changes and saves."""

    @settings(
        max_examples=max(10, int(40 * SCALE)), database=None, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(history=cases_of(name), cut=CUTS)
    def agrees(history: History, cut: Cut) -> None:
        agree(history, cut)

    agrees()
