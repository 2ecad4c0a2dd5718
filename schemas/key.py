"""API keys over HTTP: what a new one is asked with, what lists show of it, and what a caller is told of its own."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from schemas.addresses import trimmed_address
from schemas.answers import Answer, Time
from schemas.fields import Strict, invalid
from schemas.names import MAX_NAME

Scope = Literal[
    "events:write",
    "track",  # only Segment calls: for a key in a web page, where anybody can find it
    "feedback",  # only reports from mail providers: for a key in an address
    "rules:read",
    "rules:write",
    "actions:read",
    "actions:write",
    "admin",
]
SCOPES: tuple[str, ...] = get_args(Scope)
KEY_EXAMPLE = {"name": "jo", "scopes": ["rules:read", "actions:write"], "email": "jo@us.test"}


def _name(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise invalid("must have no control characters, and no spaces around it")
    return text


Email = Annotated[str, Field(max_length=320, examples=["jo@us.test"]), AfterValidator(trimmed_address)]


class KeyIn(Strict):
    """A request for a new API key."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "prefix", "created_at", "revoked_at", "key"})

    name: Annotated[str, AfterValidator(_name)] = Field(
        min_length=1,
        max_length=MAX_NAME,
        description="Who the key is for. Shown as `changed_by`, and in the audit as the actor.",
        examples=["jo"],
    )
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(SCOPES),
        description="What the key may do. `admin` includes all the others.",
    )
    email: Email | None = Field(
        None,
        description="The address of the person who has the key. The console takes the tasks with this assignee to "
        "be theirs.",
    )


class KeyOut(Answer):
    """An API key, without the key itself."""

    id: str = Field(examples=["key_5f3a9b1c2d4e6f70"])
    name: str = Field(examples=["jo"])
    prefix: str = Field(description="How the key begins, to tell keys apart.", examples=["tl_3kQ9xZ"])
    scopes: list[str] = Field(examples=[["rules:read", "actions:write"]])
    email: str | None = Field(examples=["jo@us.test"])
    created_at: Time
    revoked_at: Time | None = Field(description="Since when the key is refused. Null if it works.")


class NewKeyOut(KeyOut):
    """A new API key."""

    key: str = Field(
        default="",
        description="The key itself. Only in this answer: it cannot be shown again, and a repeated request with the "
        "same `Idempotency-Key` leaves it out.",
    )


class MeOut(Answer):
    """The API key of the caller."""

    name: str = Field(examples=["jo"])
    scopes: list[str] = Field(examples=[["rules:read", "actions:write"]])
    email: str | None = Field(examples=["jo@us.test"])
