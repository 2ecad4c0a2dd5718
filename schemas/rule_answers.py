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
    mails: int = Field(description="Of these plays, mails that wait.")


class RuleOut(KeptDocument, RuleIn):
    """A rule as it is kept."""

    status: Status = Field(description="It belongs to the rule, and is no part of a version.")
    unhealthy: str = Field(default="", description="Why it does not run; left out where it does.")
    concerned: ConcernedOut | None = Field(
        default=None, description="In the answer to `pause` alone, once actions has told."
    )


class RuleVersionOut(KeptDocument, RuleIn):
    """A version of a rule."""

    status: Status | Literal["deleted"] = Field(  # type: ignore[assignment]
        default="draft",
        description="The rule's, at the version in force; `deleted`: this version ended it; else left out.",
    )


class TiersOut(KeptVersion, TiersDoc):
    """The tier policy as it is kept; who changed it and when is left out of the one that is there from the start."""

    version: int = Field(description="0: nobody has written one yet.", examples=[3])
    changed_by: str = Field(default="", description="Name of the API key.", examples=["jo"])
    changed_at: Time = ""


class PositionOut(Answer):
    """A place in the log."""

    partition: int
    offset: int


class WindowOut(Answer):
    """What a value was measured over."""

    from_: Time = Field(alias="from")
    to: Time


class TriggerEventOut(Answer):
    """The event that a rule fired at."""

    id: str
    source: str
    type: str
    time: Time
    data: Any = None


class TriggerOut(Answer):
    """One firing of a rule for one subject."""

    id: str = Field(examples=["trg_902958824fa9c769ac0f2d310e"])
    rule: str
    rule_version: int
    account: str
    contact: str | None = Field(
        description="Of a rule with `scope: contact`, the subject; else of the event."
    )
    key: str | None = Field(description="The value of the rule's `by`.")
    tier: str
    at: Time
    event_id: str | None = Field(description="Null: a moment decided, no event.")
    event: TriggerEventOut | None
    value: Number | None = Field(description="What was measured.")
    value_exact: bool
    window: WindowOut | None
    threshold: Number | str | None = Field(description="What the value was held against.")
    reason: str
    playbook: str | None
    evidence: list[str] = Field(description="Ids of the events that count.")
    position: PositionOut
    figures: dict[str, Number] | None = Field(default=None, description="Of a trend, what it compares.")
    shadow: bool = Field(default=False, description="Only recorded: no play was started.")
    depth: int = Field(default=0, description="How many triggers led to this one.")
    scope: str = "account"
    sentence: str = Field(description="What fired, for people.")


class ClockAheadOut(Answer):
    """A clock had jumped ahead when the account was last touched."""

    as_of: Time
    sentence: str


class ExplanationOut(Answer):
    """Whether a rule fires for a subject now, and why."""

    fires: bool
    reason: Reason
    sentence: str = Field(description="The reason with its numbers, for people.")
    tier: str | None
    value: Number | None
    value_exact: bool
    threshold: Number | str | None
    figures: dict[str, Number] | None = Field(description="Of a trend, what it compares.")
    window: WindowOut | None
    evidence: list[str] = Field(description="Ids of the events that count.")
    cooldown_until: str | None = Field(description="RFC 3339, or `once`.")
    last_trigger: Time | None
    next_check: Time | None
    clock: ClockAheadOut | None = Field(default=None, description="Left out where no clock is ahead.")


class MatchOut(Answer):
    """A subject for which a rule holds now, or nearly."""

    account: str
    contact: str | None = Field(description="Of a rule with `scope: contact`.")
    key: str | None = Field(description="Of a rule with `by`.")
    tier: Tier
    share: float = Field(description="1: it is there.", examples=[0.9])
    value: Number | None = Field(description="What is measured now; of an absence, the seconds waited.")
    threshold: Number | str | None = Field(description="What the value is held against.")
    due: Time | None = Field(description="The deadline, or the moment of a date.")
    last_trigger: Time | None
    cooldown_until: Time | None = Field(description="Null where there is none, and where it never ends.")


class ContactOut(Answer):
    """A contact of an account."""

    id: str = Field(examples=["ann"])
    email: str | None
    name: str | None
    roles: list[str]
    active: bool = Field(description="Inactive contacts get no mail.")
    timezone: str | None
    locale: str | None
    attributes: dict[str, Any]
    unvouched: bool = Field(
        default=False,
        description="Nothing but calls that anybody may have made tells of them; left out where it is otherwise.",
    )


class OwnerOut(OwnerIn):
    """The person on our side who looks after an account."""


class AccountOut(Answer):
    """An account with its tier."""

    id: str = Field(examples=["acme"])
    name: str | None
    tier: Tier
    tier_reason: str = Field(description="Why it has this tier.")
    owner: OwnerOut | None
    timezone: str | None
    domains: list[str]
    attributes: dict[str, Any]
    contacts: list[ContactOut]
    first_event_at: Time | None
    last_event_at: Time | None
    merged_into: str | None = Field(description="The account that goes on for this one.")


class EventOut(Answer):
    """An event of an account."""

    id: str
    source: str
    type: str
    time: Time
    account: str
    contact: str | None
    data: Any
    historical: bool = Field(description="A backfill: counted, fires nothing.")
    subject: str = Field(default="", description="Left out where the event has none, as all that follow.")
    originaltime: str = Field(default="", description="What the sender gave, where it could not be taken.")
    unvouched: bool = Field(default=False, description="It came with a `track` key, which anybody may have.")
    mergedfrom: str = Field(default="", description="The account that it was sent for, which was merged.")
    position: PositionOut
