"""The bodies and answers of ingest's routes. The bodies of a format are defined with the format."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.answers import Answer, Time
from schemas.timestamps import Moment

Handler = TypeVar("Handler", bound=Callable[..., Any])


class RefusalReason(Answer):
    """Why an event was refused."""

    code: str = Field(examples=["required"])
    field: str = Field(examples=["type"])
    message: str = Field(examples=["is required"])


class Rejected(Answer):
    """An event that was refused."""

    index: int
    id: str | None = None
    error: RefusalReason


class EventWarning(Answer):
    """Something that was taken and is probably not meant so."""

    index: int
    field: str = Field(examples=["data.attributes.arr"])
    message: str = Field(
        examples=['"240,000" means nothing to the tier policy: should be a number, such as 240000']
    )


class EventsAccepted(Answer):
    """How many events are durable now, and which were refused."""

    accepted: int
    rejected: list[Rejected]
    warnings: list[EventWarning] = Field(default=[], description="at most 100; left out where there are none")


class AccountAccepted(Answer):
    """The update is durable; it is an event."""

    accepted: Literal[1]
    id: str = Field(description="of the event")
    warnings: list[EventWarning] = Field(default=[], description="left out where there are none")


def _sane(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC) if 1900 < moment.year < 2199 else None
    if utc is None:
        raise ValueError("should lie between the years 1900 and 2200")
    return utc


class ClockIn(BaseModel):
    """Where to carry the clock."""

    model_config = ConfigDict(extra="forbid")

    time: Annotated[Moment, AfterValidator(_sane)] = Field(description="RFC 3339 with an offset")


class ClockCarried(Answer):
    """Where every partition's clock is now, at least."""

    time: Time


class LibrarySettings(BaseModel):
    """What Segment's libraries ask for when they start. More is in it, for those that look for it."""

    model_config = ConfigDict(extra="allow")

    integrations: dict[str, Any] = Field(
        examples=[{"Segment.io": {"apiKey": "tl_…", "apiHost": "touchline.us.test/v1", "protocol": "https"}}],
        description="one destination, `Segment.io`: `apiKey` is the write key, `apiHost` and `protocol` say where to",
    )


def documents(*models: type[BaseModel]) -> Callable[[Handler], Handler]:
    """Decorator: add these models to the components of the OpenAPI page."""

    def mark(handler: Handler) -> Handler:
        handler.extra_models = models  # type: ignore[attr-defined]
        return handler

    return mark


def body_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a raw body, by content type."""
    return {"requestBody": {"required": True, "content": dict(content)}}
