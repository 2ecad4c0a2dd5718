"""Plays, actions and tasks as the API answers them. The reasons are a closed set."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.answers import Answer, FieldWarning, Time
from schemas.play_reasons import EXPLAINED, ActionReason, HistoryReason, PlayReason, StepReason
from schemas.playbook import ChannelName

PlayStatus = Literal["open", "finished", "exited", "skipped", "held", "held_out"]
ActionStatus = Literal["pending", "retrying", "done", "failed", "skipped", "uncertain"]
TaskStatus = Literal["open", "snoozed", "completed", "closed"]
Sentence = Annotated[
    str | None,
    Field(
        description="What the reason means here, for people; null without a reason.",
        examples=["All 9 attempts to reach crm failed."],
    ),
]


def _explained(*kinds: type[StrEnum]) -> str:
    return "Why. " + " · ".join(f"`{reason}`: {EXPLAINED[reason]}" for kind in kinds for reason in kind)


class ExitIn(BaseModel):
    """The body of the verb `exit`: there is nothing to say in it."""

    model_config = ConfigDict(extra="forbid")


class HoldIn(BaseModel):
    """The body of the verbs `release` and `discard`: there is nothing to say in it."""

    model_config = ConfigDict(extra="forbid")


class PausePlaybookIn(BaseModel):
    """The body of a playbook's verb `pause`."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(
        None, min_length=1, max_length=500, description="For people.", examples=["the template is wrong"]
    )


class ResumeIn(BaseModel):
    """The body of a playbook's verb `resume`."""

    model_config = ConfigDict(extra="forbid")

    held: Literal["release", "discard"] = Field(
        description="What becomes of the held plays: they begin now, or are skipped.", examples=["release"]
    )


class PlayOut(Answer):
    """One run of a playbook."""

    id: str = Field(examples=["ply_ce521eed584b1c0cd6d8dba36c"])
    playbook: str = Field(examples=["invoice-overdue"])
    playbook_version: int | None = Field(
        description="Holds for the whole play; null if there was no playbook."
    )
    rule: str = Field(description="The rule that triggered.", examples=["invoice-overdue"])
    trigger: str = Field(description="The trigger's id.", examples=["trg_902958824fa9c769ac0f2d310e"])
    account: str = Field(examples=["acme"])
    contact: str | None = Field(examples=["ann"])
    key: str | None = Field(description="The value of the rule's `by`.", examples=["88"])
    tier: str = Field(description="At the start; holds for the whole play.", examples=["low"])
    status: PlayStatus = Field(
        description="`held`: it is not to begin yet, and keeps its place. `held_out`: the account belongs to the "
        "playbook's holdout, and the play touches nobody."
    )
    reason: PlayReason | None = Field(description=_explained(PlayReason))
    sentence: Sentence
    step: str | None = Field(description="The step it stands at, or ended at.", examples=["2"])
    started_at: Time = Field(description="When it began; of a play that never did, when it was to begin.")
    held_at: Time | None = Field(description="When it was held; null if it never was.")
    ended_at: Time | None
    waits_until: Time | None = Field(
        description="When the wait it stands at is over; of a held play, when it has been held too long."
    )
    goal_until: Time | None = Field(
        description="The last moment at which the playbook's goal counts for it; null: it is not watched for one."
    )
    goal_reached_at: Time | None = Field(description="When the goal was reached, in time.")


class ActionOut(Answer):
    """One email, task or webhook that a step produced."""

    id: str = Field(examples=["act_8c7c9d8a45d0e66598b16977d1"])
    play: str
    playbook: str
    rule: str | None = Field(description="The rule that triggered its play.", examples=["invoice-overdue"])
    tier: str | None = Field(description="Of its play.", examples=["low"])
    account: str
    contact: str | None
    channel: ChannelName
    step: str = Field(examples=["0"])
    recipient: str | None = Field(
        description="An address; of a webhook, the endpoint's name.", examples=["ann@acme.test"]
    )
    topic: str = Field(description="What a contact unsubscribes from.", examples=["billing"])
    status: ActionStatus = Field(description="`uncertain`: it may have arrived, and is not sent twice.")
    reason: ActionReason | None = Field(description=_explained(ActionReason))
    sentence: Sentence
    attempts: int = Field(description="How many were begun.")
    due_at: Time
    done_at: Time | None = Field(description="When it came to its end, whichever it was.")
    next_attempt_at: Time | None = Field(description="Of an action that is `retrying`.")


class AttemptOut(Answer):
    """One try to carry out an action."""

    n: int
    started_at: Time
    ended_at: Time | None = Field(description="Null: under way, or the process died in it.")
    outcome: str | None = Field(description="done, temporary, permanent, uncertain, skipped or interrupted.")
    reason: str | None
    detail: str | None = Field(description="What the other side said, or the error.")


class ActionDetail(ActionOut):
    """An action with what was rendered and every attempt."""

    rendered: dict[str, Any] | None = Field(
        description="email: subject, html, text, to, from, reply_to · task: title, body, key · webhook: body."
    )
    history: list[AttemptOut]


class HistoryEntry(Answer):
    """Something that happened to a play: it began, a step was gone through, an action came to its end, it ended."""

    at: Time
    step: str | None = Field(examples=["2"])
    reason: HistoryReason | StepReason | ActionReason | PlayReason = Field(
        description=_explained(HistoryReason, StepReason)
        + " Else the reason of the action that came to its end, or of the play's end."
    )
    sentence: str = Field(
        description="What the reason means here.", examples=["The time of the wait was over."]
    )
    action: str | None = Field(description="The action that it is about.")


class PlayDetail(PlayOut):
    """A play with the event of its trigger and its actions, oldest first."""

    trigger_event: dict[str, Any] | None
    actions: list[ActionOut]
    history: list[HistoryEntry] = Field(description="What the play went through, in order of time.")


class TaskOut(Answer):
    """What somebody is asked to do."""

    id: str = Field(description="The id of the action that made it.")
    play: str | None = Field(description="The play that made or last updated it; null: it was made by hand.")
    playbook: str | None
    step: str | None
    rule: str | None
    tier: str | None
    account: str | None
    contact: str | None
    title: str = Field(examples=["Call Acme"])
    body: str | None
    assignee: str | None = Field(description="Null: the account has no owner with an address.")
    priority: str | None
    key: str = Field(description="While one with this account and key is open, it is updated, not doubled.")
    status: TaskStatus
    reason: PlayReason | None = Field(description="Why it was closed.")
    sentence: Sentence
    due_at: Time | None
    snoozed_until: Time | None
    created_at: Time
    completed_at: Time | None
    completed_by: str | None = Field(description="Name of the API key.", examples=["jo"])
    note: str | None = Field(description="What was said when it was completed.")
    outcome: str | None = Field(examples=["reached"])


class TaskMade(TaskOut):
    """A task that was made by hand."""

    warnings: list[FieldWarning] | None = Field(None, description="What is doubtful about it.")


class SuppressionOut(Answer):
    """Who gets no mail, and about what."""

    address: str | None = Field(description="Null once it was erased; the hash goes on holding.")
    hash: str
    topic: str | None = Field(description="Null: no mail at all.")
    reason: str = Field(examples=["asked by phone"])
    created_at: Time


class PreviewOut(Answer):
    """A mail as it would be sent."""

    subject: str
    html: str
    text: str
