"""What people decide about actions: mails that they approve or reject (contract, section 12)."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from schemas.answers import Answer
from schemas.fields import Strict
from schemas.play_reasons import ActionReason
from schemas.template import SOURCE_CHARS

MOST = 1_000  # mails of one request
SUBJECT_CHARS = 500
APPROVE_EXAMPLE: dict[str, Any] = {"subject": "Your renewal on 1 March"}


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("should say something")
    return text


def _line(text: str) -> str:
    if len(text.splitlines()) > 1:
        raise ValueError("must be one line")
    return _visible(text)


class ApproveIn(Strict):
    """Changes to make before the mail goes out. They are literal text: nothing in them is a template."""

    subject: Annotated[str, AfterValidator(_line)] | None = Field(
        default=None, max_length=SUBJECT_CHARS, description="The subject to send instead."
    )
    markdown: Annotated[str, AfterValidator(_visible)] | None = Field(
        default=None,
        max_length=SOURCE_CHARS,
        description="What the mail says instead, in Markdown. It is put into the layout, above the footer.",
        examples=["Hi Ann,\n\nshall we talk on Monday?"],
    )


class RejectIn(Strict):
    """Why the mail is not sent."""

    reason: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="The reason, for people. It is kept as the `note` of the task.",
        examples=["they have just signed"],
    )


class ApproveSeveralIn(Strict):
    """The mails to approve."""

    ids: list[Annotated[str, Field(strict=True, min_length=1, max_length=64)]] = Field(
        min_length=1, max_length=MOST, description="The ids of the actions."
    )


class UndecidedReason(StrEnum):
    """Why an action could not be approved with others, unless its own reason says so."""

    UNKNOWN = "unknown"
    NOT_AWAITING = "not_awaiting"


UNDECIDED = {
    UndecidedReason.UNKNOWN: "There is no such action.",
    UndecidedReason.NOT_AWAITING: "It does not await an approval, or was approved before.",
}


class LeftOutAction(Answer):
    """An action that was not approved, and why."""

    id: str
    reason: UndecidedReason | ActionReason = Field(
        description="`unknown`: there is no such action · `not_awaiting`: it does not await an approval, or was "
        "approved before. Otherwise the reason for which the action was skipped or failed."
    )
    sentence: str = Field(description="The reason in words.")


class ApprovedOut(Answer):
    """The result of approving several mails."""

    approved: list[str] = Field(description="The ids of the actions that go out now.")
    left_out: list[LeftOutAction]
