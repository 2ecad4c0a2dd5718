"""What the OpenAPI page says of bodies that ingest reads raw."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Handler = TypeVar("Handler", bound=Callable[..., Any])
EVENT = {
    "id": "inv-88",
    "source": "billing",
    "type": "invoice.overdue",
    "time": "2026-11-22T09:00:00Z",
    "account": "acme",
    "contact": "ann",
    "data": {"invoice": "88", "amount": 1200.0, "days": 8},
}


class EventIn(BaseModel):
    """A CloudEvents 1.0 object with `account` and `contact`; other extension attributes are ignored."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(
        "", max_length=256, description="with account and source it names the event; default: a UUIDv7"
    )
    source: str = Field("api", min_length=1, max_length=256)
    type: str = Field(min_length=1, max_length=256, examples=["invoice.overdue"])
    time: datetime | None = Field(None, description="RFC 3339 with an offset; default: the moment of receipt")
    account: str | None = Field(None, description="required, unless `subject` names it", examples=["acme"])
    subject: str | None = Field(None, description="the account, where `account` is missing")
    contact: str | None = Field(None, description="the person at the account", examples=["ann"])
    data: Any = Field(None, description="any JSON, at most 32 deep")
    historical: bool = Field(False, description="a backfill: logged and counted, fires nothing")


class Why(BaseModel):
    """Why an event was refused."""

    code: str = Field(examples=["required"])
    field: str = Field(examples=["type"])
    message: str = Field(examples=["is required"])


class Rejected(BaseModel):
    """An event that was refused."""

    index: int
    id: str | None = None
    error: Why


class EventsAccepted(BaseModel):
    """How many events are durable now, and which were refused."""

    accepted: int
    rejected: list[Rejected]


def _sane(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC) if 1900 < moment.year < 2199 else None
    if utc is None:
        raise ValueError("should lie between the years 1900 and 2200")
    return utc


class ClockIn(BaseModel):
    """Where to carry the clock."""

    model_config = ConfigDict(extra="forbid")

    time: Annotated[AwareDatetime, AfterValidator(_sane)] = Field(description="RFC 3339 with an offset")


class SegmentCall(BaseModel):
    """A call of Segment's tracking API."""

    model_config = ConfigDict(extra="allow")

    messageId: str | None = Field(None, description="becomes the event's id")  # noqa: N815 - Segment's names
    userId: str | None = Field(None, description="becomes the contact")  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    timestamp: datetime | None = None
    context: dict[str, Any] | None = Field(None, description="`context.groupId` names the account")


class SegmentBatch(BaseModel):
    """Several calls, each with its `type`."""

    model_config = ConfigDict(extra="allow")

    batch: list[SegmentCall]


def documents(*models: type[BaseModel]) -> Callable[[Handler], Handler]:
    """Decorator: put these models into the components of the OpenAPI page."""

    def mark(handler: Handler) -> Handler:
        handler.extra_models = models  # type: ignore[attr-defined]
        return handler

    return mark


def express(take: Callable[..., Any]) -> Callable[[Handler], Handler]:
    """Decorator: the Gate may serve this route by `take` (see `backbone.gate.Express`)."""

    def mark(handler: Handler) -> Handler:
        handler.express = take  # type: ignore[attr-defined]
        return handler

    return mark


_ONE: dict[str, Any] = {"$ref": "#/components/schemas/EventIn"}
_MANY: dict[str, Any] = {"type": "array", "items": _ONE, "maxItems": 500}
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
