"""What needs a person now, as `GET /v1/attention` answers it (contract, section 14)."""

from enum import StrEnum

from pydantic import Field

from schemas.answers import Answer, Time


class AttentionKind(StrEnum):
    """What it is that needs a person."""

    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    UNHEALTHY = "unhealthy"
    DISABLED = "disabled"
    SILENT = "silent"
    UNMATCHED = "unmatched"
    BEHIND = "behind"
    SENDING_OFF = "sending_off"


class AttentionItem(Answer):
    """Things of one kind that need a person."""

    kind: AttentionKind = Field(
        description="`held`: plays that wait to be released or discarded · `awaiting_approval`: mails that wait for a "
        "decision · `failed`, `uncertain`: actions that were due in the last 7 days and ended so, and, as items of "
        "their own, mails to assignees about their tasks · `unhealthy`: rules or playbooks that cannot be run · "
        "`disabled`: endpoints that have failed for days · `silent`: rules whose source is silent · `unmatched`: "
        "events whose account nobody knows · `behind`: records of the log that wait, since the service is more than a "
        "minute behind · `sending_off`: actions that wait because sending is off."
    )
    count: int = Field(
        description="How many there are: as many as the list behind the link has.", examples=[3]
    )
    oldest: Time | None = Field(description="Since when the oldest of them is so. Null if nobody knows.")
    link: str = Field(
        description="The call that shows them, with the parameters of its list.",
        examples=["/v1/plays?status=held"],
    )


class AttentionOut(Answer):
    """What needs a person now. Empty if nothing does."""

    items: list[AttentionItem]
