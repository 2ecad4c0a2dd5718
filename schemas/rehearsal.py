"""A rehearsal as it is asked for and as the API answers it (contract, section 11)."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from schemas.answers import Answer, Time
from schemas.brand import BrandIn
from schemas.choice import Choice
from schemas.fields import Name, Strict
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.template import TemplateIn
from schemas.timestamps import Moment

MAX_TRIGGERS = 10_000
MAX_TEMPLATES = 200


Triggers = Annotated[
    list[Any],
    Field(max_length=MAX_TRIGGERS),
    WithJsonSchema(
        {"type": "array", "maxItems": MAX_TRIGGERS, "items": {"$ref": "#/components/schemas/TriggerOut"}},
        mode="validation",
    ),
]
Book = Annotated[PlaybookIn | Name, Choice(lambda value: PlaybookIn if isinstance(value, dict) else Name)]


class RehearsalIn(Strict):
    """A request to rehearse a playbook."""

    playbook: Book = Field(
        description="A playbook, or the name of a saved playbook.", examples=["invoice-overdue"]
    )
    triggers: Triggers = Field(
        description="Triggers as `GET /v1/triggers` and backtests return them. Each starts a play of this "
        "playbook.",
    )
    policy: PolicyDoc | None = Field(
        None,
        description="The sending policy to try, as in `PUT /v1/policy`. Default: the one in force.",
        examples=[{"caps": [{"at_most": 2, "within": "7d"}]}],
    )
    until: Moment | None = Field(
        None,
        description="The end of the rehearsal. Later records and triggers are left out, and waits run until "
        "here. Default: the newest event of the log. A later time looks ahead.",
        examples=["2026-12-01T00:00:00Z"],
    )
    templates: list[TemplateIn] = Field(
        default=[],
        max_length=MAX_TEMPLATES,
        description="Templates to use instead of the saved ones with the same names, or that are not saved "
        "yet.",
    )
    brand: BrandIn | None = Field(None, description="A brand to use instead of the saved one.")
    endpoints: list[Name] = Field(
        default=[],
        max_length=MAX_TEMPLATES,
        description="The names of endpoints that are not saved yet.",
        examples=[["crm"]],
    )


class ChannelCounts(Answer):
    """The number of actions that would be carried out, by channel."""

    email: int
    task: int
    webhook: int


class RehearsedDayOut(ChannelCounts):
    """The number of actions on a UTC day."""

    day: str = Field(examples=["2026-11-22"])


class BusiestOut(Answer):
    """A person who would get many mails."""

    recipient: str = Field(examples=["ann@acme.test"])
    emails: int


class RecipientsOut(Answer):
    """How many mails people would get."""

    people: int = Field(description="How many people would get any mail.")
    most: int = Field(description="The number of mails that the busiest person would get.")
    p95: int = Field(description="The number of mails that 95 of 100 people would not exceed (nearest rank).")
    busiest: list[BusiestOut] = Field(description="The ten people who would get the most mails.")


class AssigneeOut(Answer):
    """How many tasks a person would get."""

    assignee: str | None = Field(
        description="Who the tasks are for. Null for nobody.", examples=["jo@us.test"]
    )
    tasks: int
    busiest_week: str = Field(
        description="The Monday (UTC) of the week with the most tasks.", examples=["2026-11-23"]
    )
    tasks_that_week: int


class SampleOut(Answer):
    """A mail as it would be sent."""

    account: str
    recipient: str | None
    subject: str
    text: str
    html: str


class FailureOut(Answer):
    """An action that would fail."""

    account: str
    step: str
    message: str = Field(examples=["markdown, line 3: 'dict object' has no attribute 'seats'"])


class RehearsalOut(Answer):
    """A rehearsal with its progress and results. Nothing was stored, sent or counted."""

    id: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(description="The progress, from 0 to 1.")
    error: str | None = Field(description="Why the job failed. Null if it did not.")
    created_at: Time
    playbook: str = Field(examples=["invoice-overdue"])
    until: Time | None
    plays: int = Field(
        default=0,
        description="The number of plays. Like the fields below, it is filled in once the rehearsal is done.",
    )
    by_status: dict[str, int] = Field(default={}, description="The number of plays, by status at the end.")
    actions: ChannelCounts | None = Field(
        default=None, description="The actions that would be carried out. A task that is updated counts once."
    )
    skipped: dict[str, int] = Field(
        default={}, description="The number of plays and actions that would be skipped, by reason."
    )
    held: dict[str, int] = Field(
        default={}, description="The number of plays that would be held at the end, by reason."
    )
    breaker_at: Time | None = Field(
        default=None,
        description="When the plays would exceed the playbook's limit. From then on the playbook is paused, and "
        "nobody resumes it in a rehearsal. Null if they would not.",
    )
    by_day: list[RehearsedDayOut] = Field(default=[], description="The actions of each day that has any.")
    recipients: RecipientsOut | None = None
    assignees: list[AssigneeOut] = Field(
        default=[], description="The people who would get tasks, busiest first, at most 1,000."
    )
    samples: list[SampleOut] = Field(default=[], description="Up to five sample mails, from different tiers.")
    errors: list[FailureOut] = Field(
        default=[],
        description="The actions that would fail, each listed once, at most 1,000. Steps that no play "
        "reaches are included; each is rendered for one of the triggers.",
    )


__all__ = ["MAX_TRIGGERS", "RehearsalIn", "RehearsalOut"]
