"""What people say about tasks: one that they make, put off, give away or have done (contract, section 7)."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from schemas.channels.base import Person
from schemas.fields import Strict
from schemas.timestamps import Moment

OF_TASKS = frozenset({
    "id", "play", "playbook", "step", "rule", "tier", "status", "reason", "sentence", "note", "outcome",
    "snoozed_until", "created_at", "completed_at", "completed_by", "warnings", "approves",
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
    """A task to create by hand."""

    read_only: ClassVar[frozenset[str]] = OF_TASKS

    title: Annotated[str, AfterValidator(_visible)] = Field(
        max_length=2_000, description="What to do.", examples=["Call Acme about their renewal"]
    )
    body: str | None = Field(None, max_length=50_000, description="Details of the task.")
    account: str | None = Field(
        None, min_length=1, max_length=256,
        description="The account that the task is about. If the account is erased, so is the task.",
        examples=["acme"],
    )  # fmt: skip
    contact: str | None = Field(
        None, min_length=1, max_length=256, description="The contact at the account.", examples=["ann"]
    )
    assignee: Person = Field(
        description="Who the task is for: an address, or `owner` for the owner of the account.",
        examples=["kim@us.test"],
    )
    due_at: Moment | None = Field(
        None, description="When the task is due.", examples=["2026-12-01T08:00:00Z"]
    )
    priority: str | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="The priority: any word that your team uses.",
        examples=["high"],
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description="The key of the task, unique among the open tasks of an account. While a task with this "
        "key is open, another one is refused, and a playbook step with the key updates the open "
        "one. Default: the id of the task.",
        examples=["renewal-call"],
    )


class CompleteIn(Strict):
    """How a task ended."""

    note: str | None = Field(
        default=None,
        max_length=10_000,
        description="A note for people.",
        examples=["They will sign on Monday."],
    )
    outcome: str | None = Field(
        default=None, min_length=1, max_length=256,
        description="The outcome: any word that your team uses. Rules and waits can read it as "
        "`data.outcome` of `touchline.task.completed`.", examples=["reached"],
    )  # fmt: skip


class SnoozeIn(Strict):
    """How long to snooze a task."""

    until: Moment = Field(description="When the task opens again.", examples=["2026-12-01T08:00:00Z"])


class ReassignIn(Strict):
    """Who to reassign a task to."""

    assignee: Person = Field(
        description="Who the task is for: an address, or `owner`.", examples=["kim@us.test"]
    )
