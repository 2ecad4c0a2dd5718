"""What a playbook did, as the API answers it (contract, section 11)."""

from typing import Literal

from pydantic import Field

from schemas.answers import Answer


class ImpactGroup(Answer):
    """The accounts that were treated, or held out. Each counts with its first play to begin."""

    plays: int = Field(description="The number of plays, one per account.", examples=[180])
    complete: int = Field(description="The number of plays whose time for the goal is over.", examples=[120])
    reached: int = Field(
        description="How many of the complete plays reached the goal in time.", examples=[48]
    )
    rate: float | None = Field(
        description="The share of complete plays that reached the goal. Null if none is complete.",
        examples=[0.4],
    )


class ImpactLift(Answer):
    """How much more often treated accounts reached the goal than those held out."""

    points: float = Field(description="The lift, in percentage points.", examples=[15.0])
    low: float = Field(description="The lower end of the confidence interval.", examples=[-7.2])
    high: float = Field(
        description="The upper end of the confidence interval (Newcombe's hybrid score interval).",
        examples=[31.8],
    )
    level: float = Field(description="The confidence level of the interval.", examples=[0.95])


class ImpactOut(Answer):
    """The impact of a playbook."""

    treated: ImpactGroup
    holdout: ImpactGroup
    lift: ImpactLift | None = Field(
        description="The lift. Null while one of the groups has no complete plays."
    )
    verdict: Literal["helps", "hurts", "no_difference_seen", "too_few", "no_holdout"] = Field(
        description="The verdict. `too_few`: a group has fewer than 20 complete plays. `helps`, `hurts`: the "
        "whole interval lies above or below 0."
    )
    needed: int | None = Field(
        description="How many more complete plays the smaller group needs before the lift seen so far could "
        "be told from none (equal groups, 5 %, 80 % power, normal approximation). Null if this "
        "cannot be said.",
        examples=[213],
    )
    sentence: str = Field(
        description="The verdict in words.",
        examples=["No difference seen: 48 of 120 treated accounts reached the goal (40%), …"],
    )
