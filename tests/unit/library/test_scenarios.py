"""Every scenario of the library passes and is sharp: no number of the library moves by one unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.library.files import LIBRARY
from tests.unit.library.mutations import Mutation, mutations
from tests.unit.library.world import library, noticed, played, scenarios

MUTATIONS = [mutation for one in library() for mutation in mutations({"kind": one.kind, **one.body})]


@pytest.mark.parametrize("file", scenarios(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_the_scenario_passes(file: Path) -> None:
    assert played(file) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_number_moved_by_one_makes_a_scenario_fail(mutation: Mutation) -> None:
    assert noticed(mutation)
