"""What the API answers, as the OpenAPI page shows it: pages of lists, documents as they are kept, warnings."""

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.endpoint import EndpointIn
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.source import SourceIn
from schemas.template import TemplateIn

Time = Annotated[str, Field(description="A time in RFC 3339, UTC.", examples=["2026-11-22T09:00:00Z"])]


class Answer(BaseModel):
    """An answer whose fields are all declared."""

    model_config = ConfigDict(extra="forbid")


@cache
def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of such items: `PlayList` for `PlayOut`."""
    return _page(f"{item.__name__.removesuffix('Out')}List", item)


@cache
def versions_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of a document's versions: `TemplateVersions` for `TemplateOut`."""
    name = item.__name__.removesuffix("Out").removesuffix("Version")
    return _page(f"{name}Versions", item | DeletedOut)


def _page(name: str, item: Any) -> type[BaseModel]:
    return create_model(
        name,
        __base__=Answer,
        __doc__="One page of a list.",
        items=(list[item], ...),
        next_cursor=(str | None, Field(description="The `cursor` of the next page. Null on the last page.")),
    )


class FieldWarning(Answer):
    """Something that is allowed but probably a mistake."""

    field: str = Field(description="The path of the field in the body.", examples=["steps.0.wait"])
    message: str = Field(
        examples=["waits 2d, longer than spike cools down (1d): its next trigger is skipped"]
    )


class CheckOut(Answer):
    """The result of checking a document without saving it."""

    warnings: list[FieldWarning]


class SecretsCheckOut(CheckOut):
    """The result of checking an endpoint or source without saving it."""

    secrets_differ: bool = Field(description="Whether saving it would change any of the stored secrets.")


class KeptVersion(Answer):
    """The version, and who changed it and when."""

    read_only: ClassVar[frozenset[str]] = frozenset()

    version: int = Field(description="The number of the version, counted from 1.", examples=[3])
    changed_by: str = Field(description="The name of the API key.", examples=["jo"])
    changed_at: Time


class DeletedOut(KeptVersion):
    """The version that marks the deletion of a document."""

    name: str
    deleted: Literal[True]
    in_force: Literal[False] = Field(default=False)


class KeptDocument(KeptVersion):
    """The name and version of a document, and who changed it and when."""

    name: str
    warnings: list[FieldWarning] = Field(
        default=[], description="Warnings, in the answer to a save. Left out if there are none."
    )
    in_force: bool = Field(
        default=True,
        description="Whether this version is in force. Only in lists of versions, and in the answer to a "
        "save that was not published.",
    )


class PausedOut(Answer):
    """Why a playbook is paused."""

    reason: str | None = Field(
        description="`breaker`, or the reason that somebody gave.", examples=["breaker"]
    )
    by: str | None = Field(
        description="The name of the API key, or `touchline` for the breaker.", examples=["jo"]
    )
    at: Time
    sentence: str = Field(
        description="Who paused it, when and why, in words.",
        examples=["Jo paused it on 22 November 2026, 09:00 UTC: wrong prices."],
    )


class PlaybookVersionOut(KeptDocument, PlaybookIn):
    """A saved version of a playbook."""

    sentence: str | None = Field(
        default=None, description="What the playbook says, in words. Null if this release cannot read it."
    )
    unhealthy: str = Field(
        default="", description="Why the playbook can no longer be read. Left out if it can."
    )


class PlaybookOut(PlaybookVersionOut):
    """A saved playbook."""

    status: Literal["active", "paused"] = Field(
        default="active",
        description="While the playbook is paused, none of its plays begin or go on, and nothing is sent.",
    )
    paused: PausedOut | None = Field(
        default=None, description="Why the playbook is paused. Null if it is not."
    )


class TemplateOut(KeptDocument, TemplateIn):
    """A saved template."""


class EndpointOut(KeptDocument, EndpointIn):
    """A saved endpoint."""

    secret: str = Field(
        default="",
        description="The secret that signs the endpoint's requests. Only in the answer to the save that set "
        "it.",
    )
    status: Literal["active", "disabled"] | None = Field(
        None,
        description="Whether webhooks are sent to it. It is disabled once it has failed for 5 days. Old versions "
        "have no status.",
    )
    failing_since: Time | None = Field(
        None, description="The first failure since the last success. Null if the last webhook succeeded."
    )


class SourceOut(KeptDocument, SourceIn):
    """A saved source."""


class PolicyOut(KeptVersion, PolicyDoc):
    """The saved sending policy. Before the first save, `version` is 0, and nobody has changed it."""

    version: int = Field(
        description="The number of the version. 0 if nobody has saved a policy yet.", examples=[3]
    )
    changed_by: str = Field(default="", description="The name of the API key.", examples=["jo"])
    changed_at: Time = ""
    warnings: list[FieldWarning] = Field(
        default=[], description="Warnings, in the answer to a save. Left out if there are none."
    )


class EndpointRetryOut(Answer):
    """How many webhooks of an endpoint are sent again."""

    count: int


class HealthOut(Answer):
    """The process is alive."""

    status: Literal["ok"]


class ReadinessOut(Answer):
    """Whether the log, the database and the services can be reached."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool] = Field(
        description="Whether each part can be reached, by name: the log, the database and each service."
    )


class ClockJumpOut(Answer):
    """A jump of the machine's clock, which this process no longer trusts."""

    jumped_s: int = Field(description="The size of the jump in seconds. Negative if the clock went back.")
    since: Time
    detail: str


class LogEndsOut(Answer):
    """How many records were written to each topic so far, those that have left it included."""

    events: int
    triggers: int


class StatusOut(Answer):
    """Whether there is anything left to do, and how far each service has come."""

    idle: bool
    services: dict[str, dict[str, Any]] = Field(
        description="The state of each service, by name. `ingest`: `in_flight` · `rules`: `lag`, `clock`, "
        "`clock_ahead`, `silent` · `actions`: `lag`, `due`, `clock`, `sending`, `trouble`: what keeps "
        "mails or the webhooks of an endpoint from going out, each with `channel`, `since` and `detail`."
    )
    log: LogEndsOut = Field(
        description="The end of the log. Services that were idle at the same end were idle together."
    )
    clock: ClockJumpOut | None = Field(
        default=None, description="A jump of the machine's clock. Left out while the clock is trusted."
    )
