"""The bodies of Segment's calls, as the OpenAPI page shows them, and the answer to each."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.answers import Answer

Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


def _one_of(*names: str) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"anyOf": [{"required": [name]} for name in names]})


class SegmentCall(BaseModel):
    """What all calls of Segment's tracking API have; one of `userId` and `anonymousId` is required."""

    model_config = _one_of("userId", "anonymousId")

    userId: Name = Field(default_factory=str, description="becomes the contact")  # noqa: N815 - Segment's names
    anonymousId: Name = Field(default_factory=str)  # noqa: N815
    messageId: Name | None = Field(None, description="becomes the event's id")  # noqa: N815
    timestamp: AwareDatetime | None = None
    originalTimestamp: AwareDatetime | None = Field(  # noqa: N815
        None, description="the time, where `timestamp` is missing"
    )
    sentAt: AwareDatetime | None = Field(None, description="by the sender's clock")  # noqa: N815
    writeKey: str | None = Field(None, description="an API key, where no header has one")  # noqa: N815
    context: dict[str, Any] | None = Field(
        None, description="`context.groupId` names the account; `context.traits` are the user's"
    )


class SegmentTrack(SegmentCall):
    """Something the user did."""

    event: Name = Field(description="becomes the type: `Ticket Opened` is `ticket_opened`")
    properties: dict[str, Any] | None = Field(None, description="become the data")


class SegmentTraits(SegmentCall):
    """Who the user is."""

    traits: dict[str, Any] | None = Field(None, description="`email`, `name`, … and attributes")


class SegmentGroup(SegmentTraits):
    """Which account the user belongs to."""

    groupId: Name = Field(description="the account")  # noqa: N815


class SegmentPage(SegmentCall):
    """What the user looked at."""

    name: str | None = None
    properties: dict[str, Any] | None = None


class SegmentEntry(SegmentTrack):
    """A call in a batch; which fields it has follows from its `type`."""

    type: Literal["track", "identify", "group", "page", "screen", "alias"]
    groupId: Name = "-"  # noqa: N815


class SegmentBatchIn(BaseModel):
    """Several calls, each with its `type`."""

    model_config = ConfigDict(extra="allow")

    batch: list[SegmentEntry] = Field(min_length=1)
    sentAt: AwareDatetime | None = Field(None, description="by the sender's clock")  # noqa: N815
    writeKey: str | None = Field(None, description="an API key, where no header has one")  # noqa: N815


class RejectedCall(Answer):
    """What is wrong with a call of a request; the others were taken."""

    field: str = Field(
        description="in a batch `0.event` is the `event` of the first call", examples=["0.event"]
    )
    message: str = Field(examples=["is required"])


class SegmentAccepted(Answer):
    """What could be read was taken."""

    success: Literal[True]
    rejected: list[RejectedCall] = Field(default=[], description="left out where there is none")


MODELS: dict[str, type[BaseModel]] = {
    "track": SegmentTrack,
    "identify": SegmentTraits,
    "group": SegmentGroup,
    "page": SegmentPage,
    "screen": SegmentPage,
    "alias": SegmentCall,
    "batch": SegmentBatchIn,
}


EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {"userId": "ann", "event": "Ticket Opened", "properties": {"severity": "high"}},
    "identify": {"userId": "ann", "traits": {"email": "ann@acme.test", "name": "Ann"}},
    "group": {"userId": "ann", "groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}},
    "page": {"userId": "ann", "name": "Pricing", "properties": {"url": "https://us.test/pricing"}},
    "screen": {"userId": "ann", "name": "Home", "properties": {}},
    "alias": {"userId": "ann", "previousId": "anon-7"},
    "batch": {"batch": [{"type": "track", "userId": "ann", "event": "Ticket Opened", "properties": {}}]},
}
