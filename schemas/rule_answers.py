"""What rules answers: rules and tiers as they are kept, triggers, verdicts, accounts and their events."""

from typing import Any, Literal

from pydantic import Field

from schemas.account import OwnerIn, Tier
from schemas.answers import Answer, KeptDocument, KeptVersion, Time
from schemas.reasons import Reason
from schemas.rule import RuleIn, Status, TiersDoc

Number = int | float


class ConcernedOut(Answer):
    """The open plays of a paused rule."""

    plays: int
    mails: int = Field(description="The number of mails of these plays that are waiting.")


class RuleOut(KeptDocument, RuleIn):
    """A saved rule."""

    status: Status = Field(description="The status of the rule. It is not part of a version.")
    sentence: str | None = Field(
        default=None,
        description="What the rule says, in words. Null if this release cannot read it.",
    )
    unhealthy: str = Field(default="", description="Why the rule does not run. Left out if it does.")
    plays: Literal["hold"] | None = Field(
        default=None,
        description="`hold`: a pause holds the plays of the rule until it is active again. Left out otherwise.",
    )
    concerned: ConcernedOut | None = Field(
        default=None, description="The open plays, only in the answer to `pause`."
    )


class RuleVersionOut(KeptDocument, RuleIn):
    """A saved version of a rule."""

    sentence: str | None = Field(
        default=None,
        description="What the version says, in words. Null if this release cannot read it.",
    )
    status: Status | Literal["deleted"] = Field(  # type: ignore[assignment]
        default="draft",
        description="The status of the rule, for the version in force. `deleted` if this version deleted the "
        "rule. Otherwise left out.",
    )


class TiersOut(KeptVersion, TiersDoc):
    """The saved tier policy. The initial policy does not say who changed it or when."""

    version: int = Field(
        description="The number of the version. 0 if nobody has saved a policy yet.", examples=[3]
    )
    changed_by: str = Field(default="", description="The name of the API key.", examples=["jo"])
    changed_at: Time = ""


class PositionOut(Answer):
    """A position in the log."""

    partition: int
    offset: int


class WindowOut(Answer):
    """The window over which a value was measured."""

    from_: Time = Field(alias="from")
    to: Time


class TriggerEventOut(Answer):
    """The event that made a rule fire."""

    id: str
    source: str
    type: str
    time: Time
    data: Any = None


class TriggerOut(Answer):
    """A trigger: a rule fired for a subject."""

    id: str = Field(examples=["trg_902958824fa9c769ac0f2d310e"])
    rule: str
    rule_version: int
    account: str
    contact: str | None = Field(
        description="For a rule with `scope: contact`, the contact that it fired for. Otherwise, the contact "
        "of the event."
    )
    key: str | None = Field(description="The value of the rule's `by`.")
    tier: str
    at: Time
    event_id: str | None = Field(
        description="The id of the event. Null if a moment made the rule fire, not an event."
    )
    event: TriggerEventOut | None
    value: Number | None = Field(description="The value that was measured.")
    value_exact: bool
    window: WindowOut | None
    threshold: Number | str | None = Field(description="The threshold that the value was compared with.")
    reason: str
    playbook: str | None
    evidence: list[str] = Field(description="The ids of the events that count.")
    position: PositionOut
    figures: dict[str, Number] | None = Field(
        default=None, description="For a trend, the figures that it compares."
    )
    shadow: bool = Field(
        default=False,
        description="Whether the rule was in shadow: the trigger was recorded, but no play was started.",
    )
    depth: int = Field(default=0, description="How many triggers led to this one.")
    scope: str = "account"
    sentence: str = Field(description="What happened, in words.")


class ClockAheadOut(Answer):
    """The clock had jumped ahead when the account was last touched."""

    as_of: Time
    sentence: str


class ExplanationOut(Answer):
    """Whether a rule fires for a subject now, and why."""

    fires: bool
    reason: Reason
    sentence: str = Field(description="The reason with its numbers, in words.")
    tier: str | None
    value: Number | None
    value_exact: bool
    threshold: Number | str | None
    figures: dict[str, Number] | None = Field(description="For a trend, the figures that it compares.")
    window: WindowOut | None
    evidence: list[str] = Field(description="The ids of the events that count.")
    cooldown_until: str | None = Field(
        description="The end of the cooldown: a time in RFC 3339, or `once` if the rule never fires again."
    )
    last_trigger: Time | None
    next_check: Time | None
    clock: ClockAheadOut | None = Field(
        default=None, description="A clock that had jumped ahead. Left out if there was none."
    )


class AccountExplanationOut(ExplanationOut):
    """What a rule decides about an account now, for the subject that is nearest."""

    rule: str
    contact: str | None = Field(description="The contact, for a rule with `scope: contact`.")
    key: str | None = Field(description="The value of `by`, for a rule with `by`.")
    share: float | None = Field(
        description="How near the subject is to a match. 1 means that the condition holds. Null if there is nothing "
        "to measure.",
        examples=[0.9],
    )


class AccountExplanationsOut(Answer):
    """What every rule decides about an account now, nearest first."""

    items: list[AccountExplanationOut]


class BacktestMatchOut(Answer):
    """A subject that matched the rule at the end of the log, or nearly did."""

    account: str
    contact: str | None = Field(description="The contact, for a rule with `scope: contact`.")
    key: str | None = Field(description="The value of `by`, for a rule with `by`.")
    tier: Tier
    share: float = Field(
        description="How near the subject is to a match. 1 means that it matches.", examples=[0.9]
    )
    value: Number | None = Field(
        description="The value that was measured. For an absence, the seconds waited."
    )
    threshold: Number | str | None = Field(description="The threshold that the value is compared with.")
    due: Time | None = Field(description="The deadline of an absence, or the moment of a date.")


class MatchOut(BacktestMatchOut):
    """A subject that matches a rule now, or nearly does."""

    last_trigger: Time | None
    cooldown_until: Time | None = Field(
        description="The end of the cooldown. Null if there is none, or if it never ends."
    )


class ContactOut(Answer):
    """A contact of an account."""

    id: str = Field(examples=["ann"])
    email: str | None
    phone: str | None
    name: str | None
    roles: list[str]
    active: bool = Field(description="Whether the contact is active. Inactive contacts get no mail.")
    timezone: str | None
    locale: str | None
    attributes: dict[str, Any]
    unvouched: bool = Field(
        default=False,
        description="Set if the contact is known only from calls with a `track` key, which anybody may have "
        "made. Otherwise left out.",
    )


class OwnerOut(OwnerIn):
    """The person on our side who looks after an account."""


class AccountOut(Answer):
    """An account with its tier."""

    id: str = Field(examples=["acme"])
    name: str | None
    tier: Tier
    tier_reason: str = Field(description="Why the account has this tier.")
    owner: OwnerOut | None
    timezone: str | None
    domains: list[str]
    external_ids: dict[str, str | list[str]]
    attributes: dict[str, Any]
    contacts: list[ContactOut]
    first_event_at: Time | None
    last_event_at: Time | None
    merged_into: str | None = Field(description="The account that this one was merged into.")


class EventOut(Answer):
    """An event of an account."""

    id: str
    source: str
    type: str
    time: Time
    account: str
    contact: str | None
    data: Any
    historical: bool = Field(
        description="Whether the event is a backfill, which is counted but fires no rules."
    )
    subject: str = Field(
        default="",
        description="The CloudEvents subject. Like the fields below, it is left out if the event does not "
        "have it.",
    )
    originaltime: str = Field(
        default="", description="The time that the sender gave, if it was not accepted."
    )
    unvouched: bool = Field(
        default=False, description="Whether the event came with a `track` key, which anybody may have."
    )
    mergedfrom: str = Field(default="", description="The merged account for which the event was sent.")
    position: PositionOut
