"""An account and its contacts as written by `PUT /v1/accounts/{id}` and in the data of update events.

`null` deletes. The bodies of the API refuse unknown fields; the data of events may carry more than we read.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.addresses import trimmed_address
from schemas.domains import MAX_DOMAINS, valid_domain
from schemas.zones import valid_zone

Text = Annotated[str, Field(max_length=1_000)]
Id = Annotated[str, Field(min_length=1, max_length=256)]
Tier = Literal["high", "low", "tech"]
Attributes = dict[Annotated[str, Field(max_length=256)], Any]


Timezone = Annotated[Text, AfterValidator(valid_zone)]
Email = Annotated[Text, AfterValidator(trimmed_address)]
Domain = Annotated[Text, AfterValidator(valid_domain)]


class OwnerIn(BaseModel):
    """The person on our side who looks after an account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = Field(None, description="What mails call them.", examples=["Jo Doe"])
    email: Email | None = Field(
        None, description="Mails come from it, replies go to it.", examples=["jo@us.test"]
    )


class ContactUpdate(BaseModel):
    """The data of a `contact.updated` event."""

    model_config = ConfigDict(extra="ignore", strict=True)

    email: Email | None = Field(None, description="Where mails go.", examples=["ann@acme.test"])
    name: Text | None = Field(None, description="What mails call them.", examples=["Ann"])
    roles: list[Text] | None = Field(
        None, description="Such as `admin`.", max_length=100, examples=[["admin"]]
    )
    active: bool | None = Field(None, description="Inactive contacts get no mail.", examples=[True])
    timezone: Timezone | None = Field(None, description="An IANA name.", examples=["Europe/Berlin"])
    locale: Text | None = Field(None, description="A BCP 47 tag.", examples=["en"])
    attributes: Attributes | None = Field(
        None, description="Merged one by one; null deletes one.", examples=[{"title": "CTO"}]
    )
    unvouched: bool | None = Field(
        None,
        description="As GET shows of a contact known from calls with a `track` key alone, which anybody may have made. "
        "With true, an update does not vouch for them; left out, it does.",
    )


class ContactIn(ContactUpdate):
    """A contact of an account; merged by `id`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Id = Field(description="Names the contact within the account.", examples=["ann"])


class _ContactEntry(ContactUpdate):
    id: Id


class _OwnerEntry(OwnerIn):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Account(BaseModel):
    name: Text | None = Field(None, description="What mails call the account.", examples=["Acme Inc."])
    tier: Tier | None = Field(None, description="Overrides the tier policy; null gives way to it.")
    timezone: Timezone | None = Field(
        None, description="An IANA name, for dates.", examples=["Europe/Berlin"]
    )
    domains: list[Domain] | None = Field(
        None,
        max_length=MAX_DOMAINS,
        description="Where the account's people have their addresses: who has one there is vouched for. Replaced as a "
        "whole; null deletes. Public mail providers are refused.",
        examples=[["acme.com"]],
    )
    attributes: Attributes | None = Field(
        None, description="Merged one by one; null deletes one.", examples=[{"arr": 60000, "plan": "pro"}]
    )


class AccountUpdate(_Account):
    """The data of an `account.updated` event."""

    model_config = ConfigDict(extra="ignore", strict=True)

    owner: _OwnerEntry | None = None
    contacts: list[_ContactEntry] | None = None


class AccountIn(_Account):
    """The body of `PUT /v1/accounts/{id}`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    read_only: ClassVar[frozenset[str]] = frozenset(
        {"id", "tier_reason", "first_event_at", "last_event_at", "merged_into"}
    )

    owner: OwnerIn | None = Field(None, description="Who looks after the account.")
    contacts: list[ContactIn] | None = Field(None, description="Merged by id.", max_length=1_000)


# The reason for a tier that an update gave; all other reasons begin with the tier.
OWN_TIER = "the account's own tier"


def writable_tier(body: dict[str, Any]) -> dict[str, Any]:
    """A body that GET showed, without the tier that GET took from the tiers. Written back, it would become the
    account's own tier, and the tiers would no longer apply to it. A tier that was changed meanwhile stays."""
    reason = body.get("tier_reason")
    resolved = isinstance(reason, str) and reason.startswith(f"{body.get('tier')} ")
    return {name: value for name, value in body.items() if name != "tier"} if resolved else body


ACCOUNT_EXAMPLE = {
    "name": "Acme Inc.",
    "owner": {"name": "Jo Doe", "email": "jo@us.test"},
    "timezone": "Europe/Berlin",
    "attributes": {"arr": 60000, "plan": "pro"},
    "contacts": [{"id": "ann", "email": "ann@acme.test", "name": "Ann", "roles": ["admin"]}],
}
