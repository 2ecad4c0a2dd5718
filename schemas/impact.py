"""What a playbook did, as the API answers it (contract, section 11)."""

from typing import Literal

from pydantic import Field

from schemas.answers import Answer


class ImpactGroup(Answer):
    """Accounts that were treated, or held out, each with the first play that began."""

    plays: int = Field(description="One an account.", examples=[180])
    complete: int = Field(description="Those whose time for the goal is over.", examples=[120])
    reached: int = Field(description="Of those, how many reached the goal in time.", examples=[48])
    rate: float | None = Field(
        description="The share that reached it; null: none is complete.", examples=[0.4]
    )


class ImpactLift(Answer):
    """How much more often those treated reached the goal than those held out."""

    points: float = Field(description="Percentage points.", examples=[15.0])
    low: float = Field(description="Lower end of the interval.", examples=[-7.2])
    high: float = Field(description="Upper end: Newcombe's hybrid score interval.", examples=[31.8])
    level: float = Field(description="Of the interval.", examples=[0.95])


class ImpactOut(Answer):
    """What a playbook did."""

    treated: ImpactGroup
    holdout: ImpactGroup
    lift: ImpactLift | None = Field(description="Null while one of the groups has nobody whose time is over.")
    verdict: Literal["helps", "hurts", "no_difference_seen", "too_few", "no_holdout"] = Field(
        description="`too_few`: fewer than 20 complete in a group. `helps`, `hurts`: the whole interval is above or "
        "below 0."
    )
    needed: int | None = Field(
        description="How many more complete plays the smaller group needs before a lift as seen could be told from "
        "none (equal groups, 5 %, 80 % power, normal approximation); null where there is nothing to tell.",
        examples=[213],
    )
    sentence: str = Field(
        description="The same for people.",
        examples=["No difference seen: 48 of 120 treated accounts reached the goal (40%), …"],
    )
