"""An account and its contacts as written by `PUT /v1/accounts/{id}` and in the data of update events.

`null` deletes. The bodies of the API refuse unknown fields; the data of events may carry more than we read.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from schemas.addresses import trimmed_address
from schemas.domains import MAX_DOMAINS, valid_domain
from schemas.external_ids import MAX_IDS, MAX_SYSTEMS, valid_ids, valid_phone, valid_system
from schemas.names import MAX_NAME
from schemas.zones import valid_zone

Text = Annotated[str, Field(max_length=1_000)]
Id = Annotated[str, Field(min_length=1, max_length=256)]
Tier = Literal["high", "low", "tech"]
Attributes = dict[Annotated[str, Field(max_length=256)], Any]


Timezone = Annotated[Text, AfterValidator(valid_zone)]
Email = Annotated[Text, AfterValidator(trimmed_address)]
Domain = Annotated[Text, AfterValidator(valid_domain)]
Phone = Annotated[Text, AfterValidator(valid_phone)]
System = Annotated[Text, AfterValidator(valid_system)]
_ID_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_IDS_SCHEMA = {"type": "array", "items": _ID_SCHEMA, "maxItems": MAX_IDS}
IdsOfSystem = Annotated[
    str | list[str] | None,
    PlainValidator(valid_ids),
    WithJsonSchema({"anyOf": [_ID_SCHEMA, _IDS_SCHEMA, {"type": "null"}]}),
]


class OwnerIn(BaseModel):
    """The person on our side who looks after an account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = Field(None, description="The name of the person in mails.", examples=["Jo Doe"])
    email: Email | None = Field(
        None, description="The address that mails come from and replies go to.", examples=["jo@us.test"]
    )


class ContactUpdate(BaseModel):
    """The data of a `contact.updated` event."""

    model_config = ConfigDict(extra="ignore", strict=True)

    email: Email | None = Field(None, description="The address that mails go to.", examples=["ann@acme.test"])
    phone: Phone | None = Field(
        None, description="The phone number, in E.164: `+` and the country's code.", examples=["+4930123456"]
    )
    name: Text | None = Field(None, description="The name of the person in mails.", examples=["Ann"])
    roles: list[Text] | None = Field(
        None, description="The roles of the contact, such as `admin`.", max_length=100, examples=[["admin"]]
    )
    active: bool | None = Field(
        None, description="Whether the contact is active. Inactive contacts get no mail.", examples=[True]
    )
    timezone: Timezone | None = Field(
        None, description="The time zone, as an IANA name.", examples=["Europe/Berlin"]
    )
    locale: Text | None = Field(None, description="The locale, as a BCP 47 tag.", examples=["en"])
    attributes: Attributes | None = Field(
        None,
        description="Attributes, merged one by one. Null deletes an attribute.",
        examples=[{"title": "CTO"}],
    )
    unvouched: bool | None = Field(
        None,
        description="GET shows `true` for a contact known only from calls with a `track` key, which anybody "
        "may have made. An update with `true` does not vouch for the contact; an update without "
        "this field does.",
    )


class ContactIn(ContactUpdate):
    """A contact of an account. Contacts are merged by `id`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Id = Field(description="The id of the contact, unique within the account.", examples=["ann"])


class _ContactEntry(ContactUpdate):
    id: Id


class _OwnerEntry(OwnerIn):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Account(BaseModel):
    name: Text | None = Field(None, description="The name of the account in mails.", examples=["Acme Inc."])
    tier: Tier | None = Field(
        None,
        description="The account's own tier, which overrides the tier policy. Null removes it, so that the "
        "policy applies again.",
    )
    timezone: Timezone | None = Field(
        None, description="The time zone for dates, as an IANA name.", examples=["Europe/Berlin"]
    )
    domains: list[Domain] | None = Field(
        None,
        max_length=MAX_DOMAINS,
        description="The email domains of the account. A contact with an address in one of them is vouched "
        "for. The list is replaced as a whole, and null deletes it. Public mail providers are "
        "refused.",
        examples=[["acme.com"]],
    )
    external_ids: dict[System, IdsOfSystem] | None = Field(
        None,
        max_length=MAX_SYSTEMS,
        description="What other systems call the account: by the name of the system, its id there or a list of "
        "ids. Merged system by system: the ids of a system are replaced as a whole, and null deletes them. An id "
        "may stand at several accounts.",
        examples=[{"stripe": "cus_1", "zendesk": ["36", "37"]}],
    )
    attributes: Attributes | None = Field(
        None,
        description="Attributes, merged one by one. Null deletes an attribute.",
        examples=[{"arr": 60000, "plan": "pro"}],
    )


class AccountUpdate(_Account):
    """The data of an `account.updated` event."""

    model_config = ConfigDict(extra="ignore", strict=True)

    owner: _OwnerEntry | None = None
    contacts: list[_ContactEntry] | None = None


class AccountIn(_Account):
    """What to change in an account."""

    model_config = ConfigDict(extra="forbid", strict=True)
    read_only: ClassVar[frozenset[str]] = frozenset(
        {"id", "tier_reason", "first_event_at", "last_event_at", "merged_into"}
    )

    owner: OwnerIn | None = Field(None, description="The person on our side who looks after the account.")
    contacts: list[ContactIn] | None = Field(
        None, description="The contacts of the account, merged by `id`.", max_length=1_000
    )


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
    "domains": ["acme.test"],
    "external_ids": {"stripe": "cus_1", "zendesk": ["36", "37"]},
    "attributes": {"arr": 60000, "plan": "pro"},
    "contacts": [
        {"id": "ann", "email": "ann@acme.test", "phone": "+4930123456", "name": "Ann", "roles": ["admin"]}
    ],
}
