"""The verdict on a playbook: the lift of those treated over those held out, and what may be said of it. Pure."""

from typing import Any, Literal

import msgspec

from services.actions.impact.proportions import LEVEL, each_needed, newcombe

LEAST = 20  # complete plays of each group; with fewer, nothing is said
Verdict = Literal["helps", "hurts", "no_difference_seen", "too_few", "no_holdout"]


class Group(msgspec.Struct, frozen=True):
    """Accounts that were treated, or held out, each with its first play.

    `complete`: the goal's time is over. `reached`: of those, the goal came in time.
    """

    plays: int
    complete: int
    reached: int

    @property
    def rate(self) -> float | None:
        """The share of the complete plays that reached the goal; None: none is complete."""
        return self.reached / self.complete if self.complete else None


class Lift(msgspec.Struct, frozen=True):
    """How much more of those treated reached the goal, in percentage points, with the interval at `level`."""

    points: float
    low: float
    high: float
    level: float = LEVEL


class Impact(msgspec.Struct, frozen=True):
    """What a playbook did. `needed`: how many more complete plays the smaller group lacks until a lift as seen could be
    told from none; None: there is no lift to be told."""

    treated: Group
    holdout: Group
    lift: Lift | None
    verdict: Verdict
    needed: int | None

    def shown(self) -> dict[str, Any]:
        """The figures as the API shows them."""
        figures: dict[str, Any] = msgspec.to_builtins(self)
        figures["treated"]["rate"], figures["holdout"]["rate"] = self.treated.rate, self.holdout.rate
        return figures


def judge(treated: Group, holdout: Group, *, held_out: bool) -> Impact:
    """Compare the groups. `held_out`: whether the playbook holds accounts out, be it that none has come yet."""
    if not held_out and not holdout.plays:
        return Impact(treated, holdout, None, "no_holdout", None)
    if not treated.complete or not holdout.complete:
        return Impact(treated, holdout, None, "too_few", None)
    difference, low, high = newcombe((treated.reached, treated.complete), (holdout.reached, holdout.complete))
    smaller = min(treated.complete, holdout.complete)
    verdict: Verdict = (
        "too_few"
        if smaller < LEAST
        else "helps"
        if low > 0
        else "hurts"
        if high < 0
        else "no_difference_seen"
    )
    lift = Lift(*(round(100 * value, 9) for value in (difference, low, high)))
    return Impact(treated, holdout, lift, verdict, _needed(treated, holdout, smaller, verdict))


def _needed(treated: Group, holdout: Group, smaller: int, verdict: Verdict) -> int | None:
    # The integers decide whether the rates are equal; quotients of floats might differ by a hair.
    if treated.reached * holdout.complete == holdout.reached * treated.complete:
        return None
    if verdict in {"helps", "hurts"}:
        return 0  # it is told from none already
    each = each_needed(treated.rate or 0.0, holdout.rate or 0.0) or 0
    return max(0, max(each, LEAST) - smaller)
