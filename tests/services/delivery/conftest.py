"""One house per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.delivery.kit import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A database in a folder of its own; loops are stopped at the end."""
    made = House(tmp_path)
    yield made
    made.close()
