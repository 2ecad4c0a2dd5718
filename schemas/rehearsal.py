"""A rehearsal as it is asked for and as the API answers it (contract, section 11)."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from schemas.answers import Answer, Time
from schemas.choice import Choice
from schemas.fields import Name, Strict, invalid
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.timestamps import Moment

MAX_TRIGGERS = 10_000
MAX_TEMPLATES = 200


def _no_policy(value: Any) -> None:
    """The place for a policy to try. Section 12 has its meaning; until it is there, none can be rehearsed."""
    if value is not None:
        raise invalid("caps and hours cannot be rehearsed yet: leave the policy out")


Policy = Annotated[None, PlainValidator(_no_policy), WithJsonSchema({"type": "null"})]
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
    """The body of a rehearsal."""

    playbook: Book = Field(
        description="A playbook, or the name of a saved one.", examples=["invoice-overdue"]
    )
    triggers: Triggers = Field(
        description="As `GET /v1/triggers` and backtests answer them; each starts a play of this playbook.",
    )
    policy: Policy = Field(None, description="Caps and hours to try. Not possible yet: null, or left out.")
    until: Moment | None = Field(
        None,
        description="Where it ends: later records and triggers are left out, and waits run out up to here. Default: "
        "the newest event of the log. A later time looks ahead.",
        examples=["2026-12-01T00:00:00Z"],
    )
    templates: list[TemplateIn] = Field(
        default=[],
        max_length=MAX_TEMPLATES,
        description="Templates to be taken in place of the saved ones of these names, or that are not saved yet.",
    )
    endpoints: list[Name] = Field(
        default=[],
        max_length=MAX_TEMPLATES,
        description="Names of endpoints that are not saved yet.",
        examples=[["crm"]],
    )


class ChannelCounts(Answer):
    """Actions that would be carried out, by channel."""

    email: int
    task: int
    webhook: int


class RehearsedDayOut(ChannelCounts):
    """The actions of a day (UTC)."""

    day: str = Field(examples=["2026-11-22"])


class BusiestOut(Answer):
    """A person who would get many mails."""

    recipient: str = Field(examples=["ann@acme.test"])
    emails: int


class RecipientsOut(Answer):
    """How many mails people would get."""

    people: int = Field(description="How many people would get one at all.")
    most: int = Field(description="What the busiest one would get.")
    p95: int = Field(description="What 95 of 100 people would get at most (nearest rank).")
    busiest: list[BusiestOut] = Field(description="The ten busiest.")


class AssigneeOut(Answer):
    """How many tasks a person would get."""

    assignee: str | None = Field(description="Null: nobody.", examples=["jo@us.test"])
    tasks: int
    busiest_week: str = Field(description="The Monday of that week (UTC).", examples=["2026-11-23"])
    tasks_that_week: int


class SampleOut(Answer):
    """A mail as it would go out."""

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
    """A rehearsal: how far it is, and what came of it. Nothing was stored, sent or counted."""

    id: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(description="0 to 1.")
    error: str | None = Field(description="Why it failed.")
    created_at: Time
    playbook: str = Field(examples=["invoice-overdue"])
    until: Time | None
    plays: int = Field(default=0, description="From here on only once it is done.")
    by_status: dict[str, int] = Field(default={}, description="Plays by their status at the end.")
    actions: ChannelCounts | None = Field(
        default=None, description="What would be carried out. A task that is updated counts once."
    )
    skipped: dict[str, int] = Field(
        default={}, description="Plays and actions that would be skipped, by reason."
    )
    by_day: list[RehearsedDayOut] = Field(default=[], description="Days with an action.")
    recipients: RecipientsOut | None = None
    assignees: list[AssigneeOut] = Field(default=[], description="The busiest first; at most 1,000.")
    samples: list[SampleOut] = Field(default=[], description="Up to five mails, of different tiers.")
    errors: list[FailureOut] = Field(
        default=[],
        description="What would fail, also in steps that no play reaches: each of them is rendered for one of the "
        "triggers. Each once, at most 1,000.",
    )


__all__ = ["MAX_TRIGGERS", "RehearsalIn", "RehearsalOut"]
