"""A scenario (`*.test.yaml`): accounts, events, and the complete lists of what must come of them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.duration import parse_duration
from schemas.playbook import PlayLimit


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("needs an offset, such as Z")
    return moment.astimezone(UTC)


def _duration(text: str) -> str:
    parse_duration(text)
    return text


Moment = Annotated[datetime, AfterValidator(_utc)]
Span = Annotated[str, AfterValidator(_duration)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScenarioEvent(_Strict):
    """One event, or a row of them at even distances."""

    at: Moment = Field(description="Event time of the first one.")
    account: str = Field(min_length=1, max_length=256)
    type: str = Field(min_length=1, max_length=256)
    id: str | None = Field(None, description="Default: the place in this file.")
    source: str = "test"
    contact: str | None = None
    data: Any = None
    historical: bool = False
    repeat: int = Field(1, ge=1, le=100_000, description="How many events.")
    every: Span | None = Field(None, description="Distance between two of them; needed with repeat.")
    arrives: Moment | None = Field(None, description="When it arrives, if later than `at`: a late event.")


class Expectation(_Strict):
    """What must happen, completely: what is not named must not happen. A missing list is not looked at."""

    triggers: list[dict[str, Any]] | None = Field(
        None, description="Each matches on the fields that it gives."
    )
    actions: list[dict[str, Any]] | None = Field(
        None, description="Each matches on the fields that it gives."
    )
    plays: list[dict[str, Any]] | None = Field(
        None, description="Each matches on the fields that it gives; skipped ones may be left out."
    )
    impact: list[dict[str, Any]] | None = Field(
        None,
        description="What each playbook with a goal or a holdout did, at the end: `playbook` and the fields of "
        "GET /v1/playbooks/{name}/impact.",
    )


class Scenario(_Strict):
    """A test of rules and playbooks, run on the production engine with the log clock."""

    description: str | None = None
    load: list[str] = Field(
        min_length=1, description="Files of rules, playbooks, templates; relative to this one."
    )
    accounts: dict[str, dict[str, Any] | None] = Field(
        default_factory=dict,
        description="Known before the first event: the body of PUT /v1/accounts/{id}. They fire nothing themselves.",
    )
    events: list[ScenarioEvent] = Field(
        default_factory=list, description="They arrive in the order of time; equal times as they stand."
    )
    limit: PlayLimit | None = Field(
        None,
        description="How many plays of a playbook may begin, where it sets no limit itself; beyond it the "
        "breaker pauses it. Default: any number.",
    )
    until: Moment | None = Field(None, description="The clock is carried to this time at the end.")
    expect: Expectation
