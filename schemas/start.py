"""Starting a rule by hand: who is to get a trigger, and what became of it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.answers import Answer
from schemas.conditions.keys import MAX_KEY
from schemas.fields import Strict
from schemas.reasons import Reason
from schemas.rule_answers import PositionOut, TriggerOut

MOST = 10_000  # subjects of one request
START_EXAMPLE: dict[str, Any] = {"subjects": [{"account": "acme"}]}


_Name = Annotated[str, Field(strict=True, min_length=1, max_length=256)]


class StartSubject(Strict):
    """A subject of the rule."""

    account: _Name = Field(examples=["acme"])
    contact: _Name | None = Field(default=None, description="Of a rule with `scope: contact`.")
    key: Annotated[str, Field(strict=True, max_length=MAX_KEY)] | None = Field(
        default=None, description="Of a rule with `by`."
    )


class StartIn(Strict):
    """The body of the verb `start`."""

    subjects: Annotated[list[StartSubject], Field(min_length=1, max_length=MOST)] | Literal["matching"] = (
        Field(description="These, whether they match or not; or all that match.", examples=["matching"])
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=MOST)] | None = Field(
        default=None, description="At most so many: those with the greatest share.", examples=[20]
    )
    dry_run: bool = Field(default=False, strict=True, description="Only say what would be started now.")


class StartedOut(TriggerOut):
    """A trigger by hand; of a dry run without `id` and `position`."""

    id: str | None  # type: ignore[assignment]
    position: PositionOut | None  # type: ignore[assignment]


class LeftOutOut(Answer):
    """A subject that nothing was started for."""

    account: str
    contact: str | None
    key: str | None
    reason: Reason


class StartOut(Answer):
    """What became of a start by hand."""

    triggers: list[StartedOut]
    left_out: list[LeftOutOut]
    dry_run: bool
