"""Rules and rows of events from which the examples are made."""

from __future__ import annotations

from typing import Any

from tests.unit.engine_differential.cases import ev

JSON = dict[str, Any]


def threshold(**body: Any) -> JSON:
    return {"threshold": {"event": "tick", **body}}


def absence(**body: Any) -> JSON:
    return {"absence": {"event": "tick", **body}}


def hours(day: str, *hhmm: str, **more: Any) -> list[JSON]:
    return [ev(f"{day}T{time}", **more) for time in hhmm]


THREE_A_DAY = threshold(within="1d", at_least=3)
TWO_A_DAY = threshold(within="1d", at_least=2)
GONE = absence(**{"for": "3d"})
