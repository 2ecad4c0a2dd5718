"""What a test expected and what came, compared item by item: the pairing that fits the most."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.cli.scenario_shown import fits


@dataclass
class Difference:
    """What was expected and did not come, and what came unexpected; `why` explains the first kind, where
    a rule can."""

    what: str
    missing: list[dict[str, Any]]
    unexpected: list[dict[str, Any]]
    why: list[str] = field(default_factory=list)


def compare(
    expected: Sequence[dict[str, Any]], got: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is missing of `expected`, and what of `got` was not expected, by the largest possible pairing."""
    partner: dict[int, int] = {}  # got -> expected

    def place(index: int, tried: set[int]) -> bool:
        for other, item in enumerate(got):
            if other not in tried and fits(expected[index], item):
                tried.add(other)
                if other not in partner or place(partner[other], tried):
                    partner[other] = index
                    return True
        return False

    missing = [expected[index] for index in range(len(expected)) if not place(index, set())]
    return missing, [item for other, item in enumerate(got) if other not in partner]
