"""What a backtest's process is given: rules as JSON, and what to report of them."""

from typing import Any

import msgspec

BASE, AGAINST = "rule", "against"  # series of triggers; those of variants are numbers
MATCHES = "matches"  # series of the subjects that match at the end


class Judged(msgspec.Struct):
    """A rule to judge, under the series that its triggers get."""

    series: str
    doc: dict[str, Any]
    version: int


class Plan(msgspec.Struct):
    """Times in microseconds; `begin` ≤ `at` < `end` is reported. `values`: of the path that was varied."""

    rules: list[Judged]
    tiers: list[dict[str, Any]]
    begin: int | None
    end: int | None
    values: list[Any]

    def encode(self) -> bytes:
        """The plan as the body of a job."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(body: bytes) -> "Plan":
        """The plan in the body of a job."""
        return msgspec.json.decode(body, type=Plan)
