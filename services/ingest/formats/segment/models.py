"""The bodies of Segment's calls, as the OpenAPI page shows them, and the answer to each."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.answers import Answer

Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


def _one_of(*names: str) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"anyOf": [{"required": [name]} for name in names]})


class SegmentCall(BaseModel):
    """The fields that all calls of Segment's tracking API share. Either `userId` or `anonymousId` is
    required.
    """

    model_config = _one_of("userId", "anonymousId")

    userId: Name = Field(default_factory=str, description="The user. It becomes the contact.")  # noqa: N815 - Segment's names
    anonymousId: Name = Field(default_factory=str)  # noqa: N815
    messageId: Name | None = Field(None, description="The id of the message. It becomes the id of the event.")  # noqa: N815
    timestamp: AwareDatetime | None = None
    originalTimestamp: AwareDatetime | None = Field(  # noqa: N815
        None, description="The time of the call if `timestamp` is missing."
    )
    sentAt: AwareDatetime | None = Field(None, description="When the call was sent, by the sender's clock.")  # noqa: N815
    writeKey: str | None = Field(None, description="An API key, if no header has one.")  # noqa: N815
    context: dict[str, Any] | None = Field(
        None,
        description="The context of the call: `context.groupId` names the account, and `context.traits` are "
        "the traits of the user.",
    )


class SegmentTrack(SegmentCall):
    """A track call: something that the user did."""

    event: Name = Field(
        description="The name of the event. It becomes the event type: `Ticket Opened` becomes "
        "`ticket_opened`."
    )
    properties: dict[str, Any] | None = Field(
        None, description="The properties. They become the data of the event."
    )


class SegmentTraits(SegmentCall):
    """Who the user is, and their traits."""

    traits: dict[str, Any] | None = Field(
        None, description="Traits such as `email` and `name`. Other traits become attributes."
    )


class SegmentGroup(SegmentTraits):
    """Which account the user belongs to."""

    groupId: Name = Field(description="The group. It becomes the account.")  # noqa: N815


class SegmentPage(SegmentCall):
    """What the user looked at."""

    name: str | None = None
    properties: dict[str, Any] | None = None


class SegmentEntry(SegmentTrack):
    """A call in a batch. Its fields depend on its `type`."""

    type: Literal["track", "identify", "group", "page", "screen", "alias"]
    groupId: Name = "-"  # noqa: N815


class SegmentBatchIn(BaseModel):
    """Several calls, each with a `type`."""

    model_config = ConfigDict(extra="allow")

    batch: list[SegmentEntry] = Field(min_length=1)
    sentAt: AwareDatetime | None = Field(None, description="When the call was sent, by the sender's clock.")  # noqa: N815
    writeKey: str | None = Field(None, description="An API key, if no header has one.")  # noqa: N815


class RejectedCall(Answer):
    """What is wrong with a call in the request. The other calls were accepted."""

    field: str = Field(
        description="The path of the field. In a batch, `0.event` is the `event` of the first call.",
        examples=["0.event"],
    )
    message: str = Field(examples=["is required"])


class SegmentAccepted(Answer):
    """The call was accepted. In a batch, all calls that are not in `rejected` were accepted."""

    success: Literal[True]
    rejected: list[RejectedCall] = Field(
        default=[], description="The calls that were refused. Left out if there are none."
    )


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
