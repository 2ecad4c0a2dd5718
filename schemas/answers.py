"""What the API answers, as the OpenAPI page shows it: pages of lists, documents as they are kept, warnings."""

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.endpoint import EndpointIn
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn

Time = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-11-22T09:00:00Z"])]


class Answer(BaseModel):
    """An answer whose fields are all declared."""

    model_config = ConfigDict(extra="forbid")


@cache
def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of such items: `PlayList` for `PlayOut`."""
    return _page(f"{item.__name__.removesuffix('Out')}List", item)


@cache
def versions_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of a document's versions: `PlaybookVersions` for `PlaybookOut`."""
    return _page(f"{item.__name__.removesuffix('Out')}Versions", item | DeletedOut)


def _page(name: str, item: Any) -> type[BaseModel]:
    return create_model(
        name,
        __base__=Answer,
        __doc__="A page of a list.",
        items=(list[item], ...),
        next_cursor=(str | None, Field(description="`cursor` of the next page; null: this is the last.")),
    )


class FieldWarning(Answer):
    """Something legal that is probably not meant so."""

    field: str = Field(description="Path in the body.", examples=["steps.0.wait"])
    message: str = Field(
        examples=["waits 2d, longer than spike cools down (1d): its next trigger is skipped"]
    )


class CheckOut(Answer):
    """What is doubtful about a document that was not saved."""

    warnings: list[FieldWarning]


class KeptVersion(Answer):
    """A version of what was saved, beside its own fields."""

    read_only: ClassVar[frozenset[str]] = frozenset()

    version: int = Field(description="Counted from 1.", examples=[3])
    changed_by: str = Field(description="Name of the API key.", examples=["jo"])
    changed_at: Time


class DeletedOut(KeptVersion):
    """A version that ended a document."""

    name: str
    deleted: Literal[True]
    in_force: Literal[False] = Field(default=False)


class KeptDocument(KeptVersion):
    """A version of a named document, beside its own fields."""

    name: str
    warnings: list[FieldWarning] = Field(
        default=[], description="Of a save, what is doubtful; left out where nothing is."
    )
    in_force: bool = Field(
        default=True, description="Of a version in a list, or one that was only saved; else left out."
    )


class PausedOut(Answer):
    """Why a playbook is paused."""

    reason: str | None = Field(description="`breaker`, or what somebody said.", examples=["breaker"])
    by: str | None = Field(description="Name of the API key; of the breaker, touchline.", examples=["jo"])
    at: Time


class PlaybookOut(KeptDocument, PlaybookIn):
    """A playbook as it is kept."""

    unhealthy: str = Field(default="", description="Why it cannot be read any more; left out where it can.")
    status: Literal["active", "paused"] = Field(
        default="active",
        description="While it is paused no play of it begins or goes on, and nothing is sent.",
    )
    paused: PausedOut | None = Field(default=None, description="Why it is paused; null: it is not.")


class TemplateOut(KeptDocument, TemplateIn):
    """A template as it is kept."""


class EndpointOut(KeptDocument, EndpointIn):
    """An endpoint as it is kept."""

    secret: str = Field(
        default="",
        description="What its requests are signed with: only in the answer to the save that set it.",
    )


class HealthOut(Answer):
    """The process is alive."""

    status: Literal["ok"]


class ReadinessOut(Answer):
    """What can be reached."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool] = Field(description="By name: the log, the database, each service.")


class ClockJumpOut(Answer):
    """The machine's clock jumped, and this process goes on without it."""

    jumped_s: int = Field(description="Seconds; below 0: back.")
    since: Time
    detail: str


class StatusOut(Answer):
    """Whether there is anything left to do, and how far each service is."""

    idle: bool
    services: dict[str, dict[str, Any]] = Field(
        description="By name. `ingest`: `in_flight` · `rules`: `lag`, `clock`, `clock_ahead`, `silent` · "
        "`actions`: `lag`, `due`, `clock`, `sending`, `trouble`."
    )
    clock: ClockJumpOut | None = Field(default=None, description="Left out where the clock is believed.")
