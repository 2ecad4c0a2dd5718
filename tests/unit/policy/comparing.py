"""How the cases of the policy are generated and compared.

`TOUCHLINE_POLICY_CASES` says how many cases each test generates (default: some hundred, always the same).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.oracle.policy import Course, Mail
from tests.oracle.policy_strategies import plays, policies
from tests.oracle.times import DAY, format_time

GIVEN = os.environ.get("TOUCHLINE_POLICY_CASES")
LONGER = 8 * DAY  # than any mail waits


def generated(cases: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of so many policies, each with a few plays."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        limits = settings(
            max_examples=int(GIVEN or cases),
            database=None,
            deadline=None,
            derandomize=GIVEN is None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )
        made: Callable[..., None] = limits(given(policy=policies(), made=plays())(test))
        return made

    return decorate


def differences(expected: dict[str, Course], got: dict[str, Course]) -> list[str]:
    """Where they differ. The reason of a mail that still waits is that of its last look, and is passed over."""
    return [
        f"{name}: the oracle says {told(one)}, the code {told(got[name])}"
        for name, one in expected.items()
        if told(one) != told(got[name])
    ]


def told(one: Course) -> str:
    """When a mail began or was skipped, and why."""
    if one.began_at is not None:
        return f"began {format_time(one.began_at)}"
    return "waits" if one.skipped_at is None else f"{one.reason} at {format_time(one.skipped_at)}"


def story(policy: dict[str, Any], mails: list[Mail]) -> str:
    """The case, for people."""
    return "\n".join([str(policy), *map(str, mails)])
