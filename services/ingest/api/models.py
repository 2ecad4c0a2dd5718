"""What the OpenAPI page says of bodies that ingest reads raw."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas.timestamps import Moment

Handler = TypeVar("Handler", bound=Callable[..., Any])
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
EVENT = {
    "id": "inv-88",
    "source": "billing",
    "type": "invoice.overdue",
    "time": "2026-11-22T09:00:00Z",
    "account": "acme",
    "contact": "ann",
    "data": {"invoice": "88", "amount": 1200.0, "days": 8},
}


def _one_of(*names: str) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"anyOf": [{"required": [name]} for name in names]})


class EventIn(BaseModel):
    """A CloudEvents 1.0 object with `account` and `contact`.

    Without `specversion` a name that is not listed here is refused (`unknown_field`). With it, extension attributes
    that CloudEvents allows (names of lower-case letters and digits; text, numbers, truth values) are kept and mean
    nothing here.
    """

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: Name = Field("", description="with account and source it names the event; default: a UUIDv7")
    source: Name = "api"
    type: Name = Field(examples=["invoice.overdue"])
    time: AwareDatetime | None = Field(
        None, description="RFC 3339 with an offset; default: the moment of receipt"
    )
    account: Name = Field(description="the customer that it is about", examples=["acme"])
    subject: str | None = Field(None, description="kept as it is; no account")
    contact: Name | None = Field(None, description="the person at the account", examples=["ann"])
    data: Any = Field(None, description="any JSON, at most 32 deep")
    historical: bool = Field(False, description="a backfill: logged and counted, fires nothing")


class RefusalReason(BaseModel):
    """Why an event was refused."""

    code: str = Field(examples=["required"])
    field: str = Field(examples=["type"])
    message: str = Field(examples=["is required"])


class Rejected(BaseModel):
    """An event that was refused."""

    index: int
    id: str | None = None
    error: RefusalReason


class EventWarning(BaseModel):
    """Something that was taken and is probably not meant so."""

    index: int
    field: str = Field(examples=["data.attributes.arr"])
    message: str = Field(
        examples=['"240,000" means nothing to the tier policy: should be a number, such as 240000']
    )


class EventsAccepted(BaseModel):
    """How many events are durable now, and which were refused."""

    accepted: int
    rejected: list[Rejected]
    warnings: list[EventWarning] | None = Field(
        None, description="at most 100; left out where there are none"
    )


def _sane(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC) if 1900 < moment.year < 2199 else None
    if utc is None:
        raise ValueError("should lie between the years 1900 and 2200")
    return utc


class ClockIn(BaseModel):
    """Where to carry the clock."""

    model_config = ConfigDict(extra="forbid")

    time: Annotated[Moment, AfterValidator(_sane)] = Field(description="RFC 3339 with an offset")


class SegmentCall(BaseModel):
    """What all calls of Segment's tracking API have; one of `userId` and `anonymousId` is required."""

    model_config = _one_of("userId", "anonymousId")

    userId: Name = Field("", description="becomes the contact")  # noqa: N815 - Segment's names
    anonymousId: Name = ""  # noqa: N815
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


class LibrarySettings(BaseModel):
    """What Segment's libraries ask for when they start. More is in it, for those that look for it."""

    model_config = ConfigDict(extra="allow")

    integrations: dict[str, Any] = Field(
        examples=[{"Segment.io": {"apiKey": "tl_…", "apiHost": "touchline.us.test/v1", "protocol": "https"}}],
        description="one destination, `Segment.io`: `apiKey` is the write key, `apiHost` and `protocol` say where to",
    )


SEGMENT_MODELS: dict[str, type[BaseModel]] = {
    "track": SegmentTrack,
    "identify": SegmentTraits,
    "group": SegmentGroup,
    "page": SegmentPage,
    "screen": SegmentPage,
    "alias": SegmentCall,
    "batch": SegmentBatchIn,
}


def documents(*models: type[BaseModel]) -> Callable[[Handler], Handler]:
    """Decorator: put these models into the components of the OpenAPI page."""

    def mark(handler: Handler) -> Handler:
        handler.extra_models = models  # type: ignore[attr-defined]
        return handler

    return mark


_ONE: dict[str, Any] = {"$ref": "#/components/schemas/EventIn"}
_MANY: dict[str, Any] = {"type": "array", "items": _ONE, "minItems": 1, "description": "at most 500"}
_WRAPPED: dict[str, Any] = {
    "type": "object",
    "properties": {"events": _MANY},
    "required": ["events"],
    "additionalProperties": False,
}
EVENTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [_ONE, _MANY, _WRAPPED]},
                "examples": {
                    "one": {"summary": "one event", "value": EVENT},
                    "many": {"summary": "several", "value": {"events": [EVENT]}},
                },
            },
            "application/cloudevents+json": {"schema": _ONE, "example": {"specversion": "1.0", **EVENT}},
            "application/cloudevents-batch+json": {
                "schema": _MANY,
                "example": [{"specversion": "1.0", **EVENT}],
            },
        },
    }
}
SEGMENT_EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {"userId": "ann", "event": "Ticket Opened", "properties": {"severity": "high"}},
    "identify": {"userId": "ann", "traits": {"email": "ann@acme.test", "name": "Ann"}},
    "group": {"userId": "ann", "groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}},
    "page": {"userId": "ann", "name": "Pricing", "properties": {"url": "https://us.test/pricing"}},
    "screen": {"userId": "ann", "name": "Home", "properties": {}},
    "alias": {"userId": "ann", "previousId": "anon-7"},
    "batch": {"batch": [{"type": "track", "userId": "ann", "event": "Ticket Opened", "properties": {}}]},
}
