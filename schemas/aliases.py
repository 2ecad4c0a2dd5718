"""Aliases of event types: what another system calls a thing, and what it is called here (contract, section 3)."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from schemas.event import is_reserved
from schemas.fields import OF_VERSIONS, Strict, invalid
from schemas.names import is_name

MOST = 1_000


def _name(name: str) -> str:
    if not is_name(name):
        raise invalid("must be an event type of 1 to 256 characters")
    if is_reserved(name):
        raise invalid("must not be a reserved type: those have one name, and come in no other way")
    return name


TypeName = Annotated[str, AfterValidator(_name)]


class AliasesDoc(Strict):
    """Aliases of event types. Events are renamed on receipt, before anything else reads them."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    aliases: dict[TypeName, TypeName] = Field(
        max_length=MOST,
        description="Each event type that is sent, with the type that replaces it. Neither may be reserved, "
        "and a replacement may not be renamed in turn.",
        examples=[{"account_signed_up": "account.signed_up"}],
    )

    @field_validator("aliases")
    @classmethod
    def _once(cls, aliases: dict[str, str]) -> dict[str, str]:
        for sent, named in aliases.items():
            if named in aliases:
                why = "is renamed itself; say the last name at once"
                raise PydanticCustomError("alias", "{why}", {"why": why, "at": sent})
        return aliases


ALIASES_EXAMPLE: dict[str, Any] = {"aliases": {"account_signed_up": "account.signed_up"}}
