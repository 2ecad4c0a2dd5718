"""What people say about tasks: one that they make, put off, give away or have done (contract, section 7)."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from schemas.channels.base import Person
from schemas.fields import Strict
from schemas.timestamps import Moment

OF_TASKS = frozenset({
    "id", "play", "playbook", "step", "rule", "tier", "status", "reason", "sentence", "note", "outcome",
    "snoozed_until", "created_at", "completed_at", "completed_by", "warnings",
})  # fmt: skip
TASK_EXAMPLE = {
    "title": "Call Acme about their renewal",
    "account": "acme",
    "assignee": "owner",
    "due_at": "2026-12-01T08:00:00Z",
}


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("should say something")
    return text


class TaskIn(Strict):
    """A task made by hand."""

    read_only: ClassVar[frozenset[str]] = OF_TASKS

    title: Annotated[str, AfterValidator(_visible)] = Field(
        max_length=2_000, description="What to do.", examples=["Call Acme about their renewal"]
    )
    body: str | None = Field(None, max_length=50_000, description="More about it.")
    account: str | None = Field(
        None, min_length=1, max_length=256, description="Whom it is about; with its erasure the task goes.",
        examples=["acme"],
    )  # fmt: skip
    contact: str | None = Field(
        None, min_length=1, max_length=256, description="Of the account.", examples=["ann"]
    )
    assignee: Person = Field(description="An address, or `owner` (of the account).", examples=["kim@us.test"])
    due_at: Moment | None = Field(None, description="By when.", examples=["2026-12-01T08:00:00Z"])
    priority: str | None = Field(
        None, min_length=1, max_length=32, description="Any word that your team uses.", examples=["high"]
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description="What makes two tasks of an account one: refused while one with it is open; a step of a playbook "
        "with this key updates it. Default: the task's id.",
        examples=["renewal-call"],
    )


class CompleteIn(Strict):
    """How a task ended."""

    note: str | None = Field(
        default=None, max_length=10_000, description="For people.", examples=["They will sign on Monday."]
    )
    outcome: str | None = Field(
        default=None, min_length=1, max_length=256,
        description="Any word that your team uses; rules and waits can ask for "
        "`data.outcome` of `touchline.task.completed`.", examples=["reached"],
    )  # fmt: skip


class SnoozeIn(Strict):
    """The body of a snooze."""

    until: Moment = Field(description="When the task comes back.", examples=["2026-12-01T08:00:00Z"])


class ReassignIn(Strict):
    """The body of a reassignment."""

    assignee: Person = Field(description="An address, or `owner`.", examples=["kim@us.test"])
