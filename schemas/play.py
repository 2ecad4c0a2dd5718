"""Plays, actions and tasks as the API answers them. The reasons are a closed set."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.answers import Answer, FieldWarning, Time
from schemas.play_reasons import EXPLAINED, ActionReason, HistoryReason, PlayReason, StepReason, TaskReason
from schemas.playbook import ChannelName

PlayStatus = Literal["open", "finished", "exited", "skipped", "held", "held_out"]
ActionStatus = Literal["pending", "retrying", "done", "failed", "skipped", "uncertain"]
TaskStatus = Literal["open", "snoozed", "completed", "closed"]
Sentence = Annotated[
    str | None,
    Field(
        description="The reason in words. Null without a reason.",
        examples=["All 9 attempts to reach crm failed."],
    ),
]


def _explained(*kinds: type[StrEnum]) -> str:
    return "The reason. " + " · ".join(
        f"`{reason}`: {EXPLAINED[reason]}" for kind in kinds for reason in kind
    )


class PausePlaybookIn(BaseModel):
    """Why to pause a playbook."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="The reason, for people.",
        examples=["the template is wrong"],
    )


class ResumeIn(BaseModel):
    """How to resume a playbook."""

    model_config = ConfigDict(extra="forbid")

    held: Literal["release", "discard"] = Field(
        description="What happens to the held plays: they begin now (`release`) or are skipped (`discard`).",
        examples=["release"],
    )


class PlayOut(Answer):
    """One run of a playbook."""

    id: str = Field(examples=["ply_ce521eed584b1c0cd6d8dba36c"])
    playbook: str = Field(examples=["invoice-overdue"])
    playbook_version: int | None = Field(
        description="The version of the playbook, for the whole play. Null if there was no playbook."
    )
    rule: str = Field(description="The rule that fired.", examples=["invoice-overdue"])
    trigger: str = Field(description="The id of the trigger.", examples=["trg_902958824fa9c769ac0f2d310e"])
    account: str = Field(examples=["acme"])
    contact: str | None = Field(examples=["ann"])
    key: str | None = Field(description="The value of the rule's `by`.", examples=["88"])
    tier: str = Field(description="The account's tier at the start, for the whole play.", examples=["low"])
    status: PlayStatus = Field(
        description="The status of the play. `held`: the play does not begin yet, and keeps its place. "
        "`held_out`: the account belongs to the playbook's holdout, and the play touches nobody."
    )
    reason: PlayReason | None = Field(description=_explained(PlayReason))
    sentence: Sentence
    step: str | None = Field(
        description="The step that the play has reached, or at which it ended.", examples=["2"]
    )
    started_at: Time = Field(
        description="When the play began, or, if it never did, when it would have begun."
    )
    held_at: Time | None = Field(description="When the play was held. Null if it never was.")
    ended_at: Time | None
    waits_until: Time | None = Field(
        description="When the current wait is over. For a held play, when it will have been held too long."
    )
    goal_until: Time | None = Field(
        description="The last moment at which the playbook's goal counts for this play. Null if the play has "
        "no goal."
    )
    goal_reached_at: Time | None = Field(description="When the goal was reached, if it was reached in time.")


class ActionOut(Answer):
    """One email, task or webhook that a step produced."""

    id: str = Field(examples=["act_8c7c9d8a45d0e66598b16977d1"])
    play: str
    playbook: str
    rule: str | None = Field(description="The rule that triggered the play.", examples=["invoice-overdue"])
    tier: str | None = Field(description="The tier of the play.", examples=["low"])
    account: str
    contact: str | None
    channel: ChannelName
    step: str = Field(examples=["0"])
    recipient: str | None = Field(
        description="The email address. For a webhook, the name of the endpoint.", examples=["ann@acme.test"]
    )
    topic: str = Field(
        description="The topic of the mails, from which a contact can unsubscribe.", examples=["billing"]
    )
    digest: str | None = Field(
        description="The key of the digest, if the action is the mail of one, or tells of an item that was left out. "
        "The mail names the play of its first item, and is listed by every play that it serves.",
        examples=["morning-list"],
    )
    status: ActionStatus = Field(
        description="The status of the action. `uncertain`: it may have arrived, so it is not sent again."
    )
    reason: ActionReason | None = Field(description=_explained(ActionReason))
    sentence: Sentence
    attempts: int = Field(description="How many attempts have begun.")
    due_at: Time = Field(description="When its step ran.")
    begun_at: Time | None = Field(
        description="When its first attempt began. Null if none did, and for tasks."
    )
    next_look_at: Time | None = Field(
        description="When it is looked at next, for a mail that has not begun and waits for the sending policy "
        "or for another mail. Null otherwise."
    )
    done_at: Time | None = Field(description="When the action ended, however it ended.")
    next_attempt_at: Time | None = Field(
        description="When the next attempt is due, for an action that is `retrying`."
    )
    approver: str | None = Field(
        description="Who was asked to approve the mail. Null if nobody was, or if the account has no owner with an "
        "address.",
        examples=["jo@us.test"],
    )
    approve_until: Time | None = Field(
        description="When the time to approve the mail is over. Null if it does not await an approval."
    )


class AttemptOut(Answer):
    """One attempt to carry out an action."""

    n: int
    started_at: Time
    ended_at: Time | None = Field(
        description="When the attempt ended. Null if it is under way, or if the process died during it."
    )
    outcome: str | None = Field(
        description="The outcome: done, temporary, permanent, uncertain, skipped or interrupted; or `reported`, for "
        "what a provider or mail server said about the mail afterwards. Then `started_at` is when it happened, and "
        "`ended_at` when the report came."
    )
    reason: str | None
    sentence: Sentence
    detail: str | None = Field(description="The answer of the other side, or the error.")


class ActionDetail(ActionOut):
    """An action with its rendered content and every attempt."""

    rendered: dict[str, Any] | None = Field(
        description="The rendered content. Email: subject, html, text, to, from, reply_to · task: title, "
        "body, key · webhook: body."
    )
    message: str | None = Field(
        description="The whole message of an email as it goes over the wire, byte for byte, but for its `Date` (when "
        "it begins to be sent) and a DKIM signature. Null for other channels."
    )
    history: list[AttemptOut]


class HistoryEntry(Answer):
    """Something that happened in a play: it began, went through a step, finished an action, or ended."""

    at: Time
    step: str | None = Field(examples=["2"])
    reason: HistoryReason | StepReason | ActionReason | PlayReason = Field(
        description=_explained(HistoryReason, StepReason)
        + " Otherwise the reason of the action that ended, or of the end of the play."
    )
    sentence: str = Field(description="The reason in words.", examples=["The time of the wait was over."])
    action: str | None = Field(description="The action that the entry is about.")


class PlayDetail(PlayOut):
    """A play with the event of its trigger, and its actions, oldest first."""

    trigger_event: dict[str, Any] | None
    actions: list[ActionOut]
    history: list[HistoryEntry] = Field(description="What happened in the play, in order of time.")


class TaskOut(Answer):
    """A task for a person."""

    id: str = Field(description="The id of the task, which is the id of the action that created it.")
    play: str | None = Field(
        description="The play that created or last updated the task. Null if the task was created by hand."
    )
    playbook: str | None
    step: str | None
    rule: str | None
    tier: str | None
    account: str | None
    contact: str | None
    title: str = Field(examples=["Call Acme"])
    body: str | None
    assignee: str | None = Field(
        description="Who the task is for. Null if the account has no owner with an address."
    )
    priority: str | None
    key: str = Field(
        description="The key of the task. While a task with this account and key is open, it is updated, and "
        "no second one is created."
    )
    status: TaskStatus
    reason: PlayReason | TaskReason | None = Field(
        description="Why the task was closed: the reason for which its play ended, or what was decided about the mail "
        "that it asked to approve. " + _explained(TaskReason)
    )
    sentence: Sentence
    approves: str | None = Field(
        description="The action that the task asks to approve. Such a task is closed with the decision, and cannot be "
        "completed."
    )
    due_at: Time | None
    snoozed_until: Time | None
    created_at: Time
    completed_at: Time | None
    completed_by: str | None = Field(
        description="The name of the API key that completed the task, or decided about the mail.",
        examples=["jo"],
    )
    note: str | None = Field(
        description="The note given when the task was completed, or the reason for which the mail was rejected."
    )
    outcome: str | None = Field(examples=["reached"])


class TaskMade(TaskOut):
    """A task that was created by hand."""

    warnings: list[FieldWarning] | None = Field(None, description="Warnings about the task.")


class StandingCount(Answer):
    """The open plays of a tier that stand at one step."""

    tier: str = Field(examples=["high"])
    step: str | None = Field(
        description="The id of the step at which they wait. Null if none has been reached.", examples=["2"]
    )
    n: int = Field(description="How many plays stand there.", examples=[12])


class StandingOut(Answer):
    """Where the open plays of a playbook stand."""

    items: list[StandingCount]


class SuppressionOut(Answer):
    """An address that gets no mail, or none about a topic."""

    address: str | None = Field(
        description="The email address. Null once it has been erased; the suppression stays in force by its "
        "hash."
    )
    hash: str
    topic: str | None = Field(description="The topic for which no mail is sent. Null for all topics.")
    reason: str = Field(examples=["asked by phone"])
    origin: Literal["page", "hand", "bounce", "complaint"] = Field(
        description="Who suppressed it: the reader by the page behind the link in a mail (the only ones that the page "
        "lifts again), somebody over the API, or what came back of a mail.",
        examples=["hand"],
    )
    created_at: Time
    sentence: str = Field(
        description="The same in words.",
        examples=[
            "ann@acme.test gets no mail about billing since 22 November 2026, 09:00 UTC: asked by phone."
        ],
    )


class PreviewOut(Answer):
    """A mail as it would be sent."""

    subject: str
    html: str
    text: str
