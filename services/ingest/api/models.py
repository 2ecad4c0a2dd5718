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
    """Something in an accepted event that is probably a mistake."""

    index: int
    field: str = Field(examples=["data.attributes.arr"])
    message: str = Field(
        examples=['"240,000" means nothing to the tier policy: should be a number, such as 240000']
    )


class EventsAccepted(Answer):
    """How many events are stored durably, and which were refused."""

    accepted: int
    rejected: list[Rejected]
    warnings: list[EventWarning] = Field(
        default=[], description="Warnings about accepted events, at most 100. Left out if there are none."
    )


class HookThere(Answer):
    """The source is there."""

    source: str = Field(examples=["stripe"])


class HookAccepted(Answer):
    """What became of the elements of a hook."""

    accepted: int = Field(description="Events that are stored durably.")
    ignored: int = Field(description="Elements for which no `when` holds.")
    unmatched: int = Field(description="Events that are parked, as nobody knows their account yet.")
    rejected: int = Field(description="Elements that become no valid event.")


class HookIn(BaseModel):
    """A hook to preview."""

    model_config = ConfigDict(extra="forbid")

    body: Any = Field(description="The body: a value, or a text as the raw body.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Its headers.", examples=[{"Content-Type": "application/xml"}]
    )


class TriedWay(Answer):
    """A way to find an account."""

    way: str = Field(description="`external_id`, `id`, `email` or `domain`.", examples=["external_id"])
    system: str | None = Field(description="For `external_id`: the name under which it stands.")
    value: str = Field(examples=["cus_1"])


class PreviewedContact(Answer):
    """The contact of an event, by its id or address."""

    id: str | None
    email: str | None


class PreviewedEvent(Answer):
    """An event that a source would make."""

    index: int = Field(description="The place of the element, from 0.")
    type: str = Field(examples=["payment.failed"])
    id: str
    source: str
    time: Time | None = Field(description="Null: the time of receipt.")
    accounts: list[str] = Field(
        description="The accounts that it would go to now, at most 100. Empty: nobody knows, so it would be parked."
    )
    tried: list[TriedWay] = Field(
        description="The ways to its account, in the order in which they are tried."
    )
    create: bool = Field(description="Whether an unknown `id` makes the account.")
    contact: PreviewedContact | None
    data: Any


class LeftOut(Answer):
    """An element that would become no event."""

    index: int = Field(description="The place of the element, from 0.")
    reason: Literal["ignored", "rejected"]
    field: str = Field(description="The part of the mapping that is wrong. Empty for what is ignored.")
    message: str


class HookPreview(Answer):
    """What a source would make of a body."""

    events: list[PreviewedEvent]
    left_out: list[LeftOut]
    challenge: str | None = Field(description="What would be answered, if the body is a challenge.")


class AccountAccepted(Answer):
    """The update has been stored durably as an event."""

    accepted: Literal[1]
    id: str = Field(description="The id of the event.")
    warnings: list[EventWarning] = Field(
        default=[], description="Warnings about the update. Left out if there are none."
    )


def _sane(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC) if 1900 < moment.year < 2199 else None
    if utc is None:
        raise ValueError("should lie between the years 1900 and 2200")
    return utc


class ClockIn(BaseModel):
    """The time to move the log clock to."""

    model_config = ConfigDict(extra="forbid")

    time: Annotated[Moment, AfterValidator(_sane)] = Field(
        description="The time to move the clock to, in RFC 3339 with an offset."
    )


class ClockCarried(Answer):
    """The time that the clock of every partition has reached, or passed."""

    time: Time


class LibrarySettings(BaseModel):
    """The settings that Segment's libraries load when they start. There are further fields for libraries that
    read them.
    """

    model_config = ConfigDict(extra="allow")

    integrations: dict[str, Any] = Field(
        examples=[{"Segment.io": {"apiKey": "tl_…", "apiHost": "touchline.us.test/v1", "protocol": "https"}}],
        description="The only destination, `Segment.io`: `apiKey` is the write key, and `apiHost` and "
        "`protocol` say where to send calls.",
    )


def documents(*models: type[BaseModel]) -> Callable[[Handler], Handler]:
    """Decorator: add these models to the components of the OpenAPI page."""

    def mark(handler: Handler) -> Handler:
        handler.extra_models = models  # type: ignore[attr-defined]
        return handler

    return mark


def shown(schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    """The description of one content type, for `body_of`."""
    return {"schema": dict(schema), "examples": {"example": {"value": example}}}


def body_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a raw body, by content type."""
    return {"requestBody": {"required": True, "content": dict(content)}}
