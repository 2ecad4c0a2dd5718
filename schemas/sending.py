"""The sending switch as the API takes and shows it (contract, section 11)."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.answers import Answer, Time
from schemas.fields import Strict

SENDING_EXAMPLE = {"status": "off", "reason": "wrong prices in the renewal mail"}


class SendingIn(Strict):
    """The body of the switch."""

    read_only: ClassVar[frozenset[str]] = frozenset({"by", "at"})

    status: Literal["on", "off"] = Field(description="`off`: no mail and no webhook goes out.")
    reason: str | None = Field(None, min_length=1, max_length=500, description="For people.")


class SendingOut(Answer):
    """The switch as it stands, and who turned it last; nulls if nobody has."""

    status: Literal["on", "off"]
    reason: str | None = Field(examples=["wrong prices in the renewal mail"])
    by: str | None = Field(description="The name of the API key.", examples=["admin"])
    at: Time | None
