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
    """A subject to start the rule for."""

    account: _Name = Field(examples=["acme"])
    contact: _Name | None = Field(default=None, description="The contact, for a rule with `scope: contact`.")
    key: Annotated[str, Field(strict=True, max_length=MAX_KEY)] | None = Field(
        default=None, description="The value of `by`, for a rule with `by`."
    )


class StartIn(Strict):
    """The subjects to start a rule for."""

    subjects: Annotated[list[StartSubject], Field(min_length=1, max_length=MOST)] | Literal["matching"] = (
        Field(
            description="The subjects, whether they match or not; or `matching` for all that match.",
            examples=["matching"],
        )
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=MOST)] | None = Field(
        default=None,
        description="The greatest number of subjects to start. Those with the greatest share come first.",
        examples=[20],
    )
    dry_run: bool = Field(default=False, strict=True, description="Only report what would be started now.")


class StartedOut(TriggerOut):
    """A trigger that was started by hand. In a dry run, `id` and `position` are null."""

    id: str | None  # type: ignore[assignment]
    position: PositionOut | None  # type: ignore[assignment]


class LeftOutOut(Answer):
    """A subject that was left out, and why."""

    account: str
    contact: str | None
    key: str | None
    reason: Reason
    sentence: str = Field(description="The reason in words.")


class StartOut(Answer):
    """The result of starting a rule by hand."""

    triggers: list[StartedOut]
    left_out: list[LeftOutOut]
    dry_run: bool
