"""A scenario (`*.test.yaml`): accounts, events, and the complete lists of what must come of them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.duration import parse_duration
from schemas.fields import invalid
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
    """One event, or a series of events at even intervals."""

    at: Moment = Field(description="The time of the (first) event.")
    account: str = Field(min_length=1, max_length=256)
    type: str = Field(min_length=1, max_length=256)
    id: str | None = Field(None, description="The id of the event. Default: its position in this file.")
    source: str = "test"
    contact: str | None = None
    data: Any = None
    historical: bool = False
    repeat: int = Field(1, ge=1, le=100_000, description="The number of events.")
    every: Span | None = Field(None, description="The interval between two events. Required with `repeat`.")
    arrives: Moment | None = Field(None, description="When the event arrives, if it is later than `at`.")


class ResumedPlaybook(_Strict):
    """A playbook to resume."""

    playbook: str = Field(min_length=1, max_length=256)
    held: Literal["release", "discard"] = Field(
        description="What happens to the held plays: they begin now (`release`) or are skipped (`discard`)."
    )


class PlayNamed(_Strict):
    """A play that is held, or that stands still."""

    playbook: str = Field(min_length=1, max_length=256)
    account: str = Field(min_length=1, max_length=256)
    contact: str | None = Field(None, description="The contact, where the account has several such plays.")
    key: str | None = Field(None, description="The key, where the account has several such plays.")


class ByHand(_Strict):
    """What a person does at a moment, after everything else that happens then: one of the six."""

    at: Moment
    pause: str | None = Field(None, min_length=1, max_length=256, description="The playbook to pause.")
    resume: ResumedPlaybook | None = None
    release: PlayNamed | None = Field(
        None, description="The play that begins, or goes on, although its playbook is paused."
    )
    discard: PlayNamed | None = Field(None, description="The held play that is skipped.")
    approve: dict[str, Any] | None = Field(
        None, description="The mails to approve, of those that await that, by fields of an action."
    )
    reject: dict[str, Any] | None = Field(
        None, description="The mails to reject, of those that await an approval, by fields of an action."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set - {"at"}) != 1:
            raise invalid(
                "should hold, beside at, one of pause, resume, release, discard, approve and reject"
            )
        return self


class Reported(_Strict):
    """What a provider or mail server reports about mails that went out, at a moment: one of the four.

    Each takes fields of an action, and is about all mails that have them.
    """

    at: Moment
    hard_bounce: dict[str, Any] | None = Field(
        None, description="The mails that bounced for good. Their addresses get no more mail."
    )
    soft_bounce: dict[str, Any] | None = Field(
        None,
        description="The mails that bounced, but not for good. After three within 7 days their address gets no more.",
    )
    not_sent: dict[str, Any] | None = Field(
        None, description="The mails that the provider did not send, and not because of their address."
    )
    complaint: dict[str, Any] | None = Field(
        None, description="The mails whose readers marked them as spam. Their addresses get no more mail."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set - {"at"}) != 1:
            raise invalid("should hold, beside at, one of hard_bounce, soft_bounce, not_sent and complaint")
        return self


class Expectation(_Strict):
    """What must happen. The lists are complete: what they do not name must not happen. A list that is left
    out is not checked.
    """

    triggers: list[dict[str, Any]] | None = Field(
        None, description="The expected items. Each is compared by the fields that it gives."
    )
    actions: list[dict[str, Any]] | None = Field(
        None,
        description="The expected items. Each is compared by the fields that it gives. A webhook to an endpoint among "
        "the documents has its `request`: method, url, headers and body, as they would leave.",
    )
    plays: list[dict[str, Any]] | None = Field(
        None,
        description="The expected items. Each is compared by the fields that it gives. Skipped ones may be "
        "left out.",
    )
    impact: list[dict[str, Any]] | None = Field(
        None,
        description="The impact of each playbook with a goal or a holdout at the end: `playbook` and the "
        "fields of GET /v1/playbooks/{name}/impact.",
    )


class Scenario(_Strict):
    """A test of rules and playbooks. It runs on the production engine with the log clock."""

    description: str | None = None
    load: list[str] = Field(
        min_length=1, description="The files of rules, playbooks and templates, relative to this file."
    )
    documents: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Documents of this test alone, such as a rule and a playbook that call the endpoint it is about.",
    )
    accounts: dict[str, dict[str, Any] | None] = Field(
        default_factory=dict,
        description="The accounts known before the first event, each as in the body of PUT "
        "/v1/accounts/{id}. They do not fire rules.",
    )
    events: list[ScenarioEvent] = Field(
        default_factory=list,
        description="The events. They arrive in order of time; events at the same time keep their order in "
        "the file.",
    )
    by_hand: list[ByHand] = Field(
        default_factory=list,
        description="What people do meanwhile: pause and resume playbooks, and the like.",
    )
    feedback: list[Reported] = Field(
        default_factory=list, description="What comes back of the mails: bounces and complaints."
    )
    limit: PlayLimit | None = Field(
        None,
        description="How many plays of a playbook may begin if the playbook sets no limit. Beyond that, the "
        "breaker pauses the playbook. Default: no limit.",
    )
    until: Moment | None = Field(None, description="The clock is moved to this time at the end.")
    expect: Expectation
