"""The sending switch as the API takes and shows it (contract, section 11)."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.answers import Answer, Time
from schemas.fields import Strict

SENDING_EXAMPLE = {"status": "off", "reason": "wrong prices in the renewal mail"}


class SendingIn(Strict):
    """Whether to turn sending on or off."""

    read_only: ClassVar[frozenset[str]] = frozenset({"by", "at", "sentence"})

    status: Literal["on", "off"] = Field(description="With `off`, no mail and no webhook is sent.")
    reason: str | None = Field(None, min_length=1, max_length=500, description="The reason, for people.")


class SendingOut(Answer):
    """The sending switch, and who turned it last. The other fields are null if nobody has."""

    status: Literal["on", "off"]
    reason: str | None = Field(examples=["wrong prices in the renewal mail"])
    by: str | None = Field(description="The name of the API key.", examples=["admin"])
    at: Time | None
    sentence: str = Field(
        description="The same in words.",
        examples=["Sending is off: admin turned it off on 22 November 2026, 09:00 UTC: wrong prices."],
    )
