"""A source as it is written: how another system's webhook becomes events (contract, section 13)."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from typing_extensions import TypeAliasType

from schemas.endpoint import MASKED, SECRET_PREFIX
from schemas.event import is_reserved
from schemas.fields import OF_VERSIONS, Name, Strict, invalid
from schemas.names import is_name
from schemas.source_expressions import Expression
from schemas.updates import UPDATES

MAX_ANSWER = 10_000  # bytes
MAX_SOURCE = 131_072  # characters of a whole source, as JSON: every process keeps it compiled
MOST_SECRETS = 2  # while one is replaced
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # filled by `touchline apply`
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)  # the name of a header (RFC 9110)
_PLACE = re.compile(r"\{([^{}]*)\}")
_PLACES = ("method", "url", "timestamp", "body")
_IN_HEADER = "header:"


def _printable(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise invalid("must not hold control characters")
    return text


def _base64(text: str) -> str:
    if text != MASKED and not VARIABLE.search(text):
        try:
            raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise invalid("must be base64, optionally with the prefix whsec_") from None
        if not raw:
            raise invalid("must not be empty")
    return text


def _header(name: str) -> str:
    if _TOKEN.fullmatch(name) is None:
        raise invalid("is no name of a header")
    return name


def _type(text: str) -> str:
    if not is_name(text):
        raise invalid("must be an event type of 1 to 256 characters")
    if is_reserved(text) and text not in UPDATES:
        raise invalid("is a reserved type; of these a source may yield account.updated and contact.updated")
    return text


def _signed(text: str) -> str:
    for place in _PLACE.findall(text):
        header = place.removeprefix(_IN_HEADER)
        if place not in _PLACES and (header == place or _TOKEN.fullmatch(header) is None):
            allowed = ", ".join(f"{{{one}}}" for one in (*_PLACES, f"{_IN_HEADER}Name"))
            raise invalid("has the unknown place {place}; allowed: {allowed}", place=place, allowed=allowed)
    if "body" not in _PLACE.findall(text):
        raise invalid("must hold {body}: otherwise anything could be sent under the signature")
    return text


Header = Annotated[str, Field(strict=True), AfterValidator(_header)]
Secret = Annotated[str, Field(strict=True, min_length=1, max_length=4_096), AfterValidator(_printable)]
Two = Field(min_length=1, max_length=MOST_SECRETS)
ABOUT = (
    "It is shown as `***`, and sending back `***` keeps the stored one, as does leaving the field out. Give two while "
    "one replaces the other: either holds. `touchline apply` fills in `${NAME}` from the environment."
)


class _Secret(Strict):
    """A scheme with a secret that the other system shares."""

    secret: Secret | Annotated[list[Secret], Two] | None = Field(
        None, description=f"The secret. {ABOUT}", examples=["${STRIPE_SECRET}"]
    )
    secrets: Annotated[list[Secret], Two] | None = Field(None, description="The same, always as a list.")

    @model_validator(mode="after")
    def _one_list(self) -> "_Secret":
        if self.secret is not None and self.secrets is not None:
            raise invalid("must have secret or secrets, not both")
        return self


class StripeScheme(_Secret):
    """Stripe's signatures, `t=…,v1=…`: HMAC-SHA256 over time and body. Others, such as Calendly, use them too."""

    scheme: Literal["stripe"] = Field(description="This scheme.")
    header: Header = Field("Stripe-Signature", description="The header with the signature.")


class HmacScheme(_Secret):
    """An HMAC over parts of the request, in a header."""

    scheme: Literal["hmac"] = Field(description="This scheme.")
    header: Header = Field(
        description="The header with the signature. Of several, separated by commas or spaces, one must hold.",
        examples=["X-Hub-Signature"],
    )
    algorithm: Literal["sha1", "sha256", "sha512"] = Field("sha256", description="The hash function.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    prefix: str | None = Field(
        None, min_length=1, max_length=100, description="What stands before it.", examples=["sha256="]
    )
    signed: Annotated[str, Field(strict=True, max_length=1_000), AfterValidator(_signed)] = Field(
        "{body}",
        description="What is signed, with the places `{method}`, `{url}` (`TOUCHLINE_PUBLIC_URL`, path and query, as "
        "the other system called it), `{timestamp}`, `{body}`, `{header:Name}`.",
        examples=["{timestamp}.{body}"],
    )
    timestamp: Header | None = Field(
        None,
        description="The header with the time of sending. More than 5 minutes off either way is refused.",
        examples=["X-Request-Timestamp"],
    )

    @model_validator(mode="after")
    def _timed(self) -> "HmacScheme":
        if self.timestamp is None and "timestamp" in _PLACE.findall(self.signed):
            raise invalid("must name the header with the timestamp, as signed has {timestamp}")
        return self


class StandardWebhooksScheme(_Secret):
    """Standard Webhooks 1.0.0, with a shared secret (`v1`)."""

    scheme: Literal["standard-webhooks"] = Field(description="This scheme.")
    secret: (
        Annotated[Secret, AfterValidator(_base64)]
        | Annotated[list[Annotated[Secret, AfterValidator(_base64)]], Two]
        | None
    ) = Field(None, description=f"The secret, in base64, with or without `whsec_`. {ABOUT}")
    secrets: Annotated[list[Annotated[Secret, AfterValidator(_base64)]], Two] | None = Field(
        None, description="The same, always as a list."
    )


class BasicScheme(Strict):
    """A user name and a password (HTTP Basic authentication)."""

    scheme: Literal["basic"] = Field(description="This scheme.")
    username: Annotated[str, Field(strict=True, min_length=1, max_length=256), AfterValidator(_printable)] = (
        Field(description="The user name, which is shown.", examples=["chargebee"])
    )
    password: Secret | Annotated[list[Secret], Two] | None = Field(
        None, description=f"The password. {ABOUT}", examples=["${CHARGEBEE_PASSWORD}"]
    )


class TokenScheme(_Secret):
    """A secret as it is, in a header or in the query: for systems that cannot sign."""

    scheme: Literal["token"] = Field(description="This scheme.")
    header: Header | None = Field(None, description="The header that holds it.", examples=["X-Token"])
    query: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="The query parameter that holds it.",
        examples=["token"],
    )

    @model_validator(mode="after")
    def _one_place(self) -> "TokenScheme":
        if (self.header is None) == (self.query is None):
            raise invalid("must have exactly one of: header, query")
        return self


class NoScheme(Strict):
    """Anybody may send. Only for a network where nobody else can."""

    scheme: Literal["none"] = Field(description="This scheme.")


SCHEMES = ("stripe", "hmac", "standard-webhooks", "basic", "token", "none")


def _scheme(verify: Any) -> Any:
    """Say which schemes there are, in the words of other fields."""
    if isinstance(verify, dict) and verify.get("scheme") not in SCHEMES:
        raise invalid("should be one of {allowed}", allowed=", ".join(SCHEMES), at="scheme")
    return verify


Verify = Annotated[
    StripeScheme | HmacScheme | StandardWebhooksScheme | BasicScheme | TokenScheme | NoScheme,
    Field(discriminator="scheme"),
    BeforeValidator(_scheme),
]


class AccountWay(Strict):
    """One way to find the account of an event."""

    external_id: Expression | None = Field(
        None,
        description="The id of the account in the other system, as in the account's `external_ids`.",
        examples=["data.object.customer"],
    )
    system: Name | None = Field(
        None, description="The name in `external_ids` under which it stands. Default: the source's name."
    )
    id: Expression | None = Field(
        None, description="The account's own id. Only an account that is known counts."
    )
    create: bool = Field(False, strict=True, description="With `id`: an unknown account is made.")
    email: Expression | None = Field(None, description="The address of a contact of the account.")
    domain: Expression | None = Field(
        None, description="An address, or its domain, in one of the account's `domains`."
    )

    @model_validator(mode="after")
    def _one_way(self) -> "AccountWay":
        ways = [one for one in (self.external_id, self.id, self.email, self.domain) if one is not None]
        if len(ways) != 1:
            raise invalid("must have exactly one of: external_id, id, email, domain")
        if self.system is not None and self.external_id is None:
            raise invalid("may have system only with external_id")
        if self.create and self.id is None:
            raise invalid("may have create only with id")
        return self


class ContactWay(Strict):
    """The contact of an event: by its id, or by its address among those of the account."""

    id: Expression | None = Field(None, description="The id of the contact.", examples=["data.object.user"])
    email: Expression | None = Field(
        None, description="The address of the contact.", examples=["data.object.customer_email"]
    )

    @model_validator(mode="after")
    def _any(self) -> "ContactWay":
        if self.id is None and self.email is None:
            raise invalid("must have id or email")
        return self


Key = Annotated[str, Field(min_length=1, max_length=256)]
DataFields = TypeAliasType("DataFields", "dict[Key, Expression | DataFields]")


class EventMapping(Strict):
    """How an element of a body becomes an event."""

    when: Expression | None = Field(
        None,
        description="Which elements it is for: those for which this is true, in the sense of JMESPath. Default: all.",
        examples=["type == 'invoice.payment_failed'"],
    )
    type: Annotated[str, Field(strict=True), AfterValidator(_type)] = Field(
        description="The event type, as it stands. Of the reserved types `account.updated` and `contact.updated`.",
        examples=["payment.failed"],
    )
    id: Expression | None = Field(
        None,
        description="The id of the event, a text or number. Default: one that follows from the body, so that the "
        "same body sent again counts once.",
        examples=["id"],
    )
    time: Expression | None = Field(
        None,
        description="When it happened: RFC 3339, or seconds, milliseconds or microseconds since 1970, also as text. "
        "Default: the time of receipt.",
        examples=["created"],
    )
    account: AccountWay | Annotated[list[AccountWay], Field(min_length=1, max_length=10)] = Field(
        description="How the account is found. Of a list, the first way that finds one."
    )
    contact: ContactWay | None = Field(None, description="The person it is about.")
    data: Expression | DataFields | None = Field(
        None,
        description="The event's data: an expression for each field, or one for all of them. What gives null is left "
        "out.",
        examples=[{"invoice": "data.object.id"}],
    )

    def ways(self) -> Sequence[AccountWay]:
        """The ways to find the account, in order."""
        return self.account if isinstance(self.account, list) else [self.account]


class HookAnswer(Strict):
    """What the other system wants as an answer."""

    status: int = Field(200, strict=True, ge=200, le=299, description="The status.")
    content_type: Annotated[str, AfterValidator(_printable)] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The content type. Default: `text/plain; charset=utf-8`, or `application/json` for an object.",
    )
    body: Annotated[str, Field(max_length=MAX_ANSWER)] | DataFields = Field(
        "",
        description="The body: a text, as it stands; or an expression over the hook's body for each field of it.",
        examples=[{"action": "action", "status": "'success'"}],
    )

    @model_validator(mode="after")
    def _json(self) -> "HookAnswer":
        if not isinstance(self.body, str) and self.content_type not in (None, "application/json"):
            raise invalid("must have the content type application/json where the body is an object")
        return self


class SourceIn(Strict):
    """A source to save: how another system's webhook is recognised and becomes events."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    name: Name = Field(description="The name, which is the last part of its address.", examples=["stripe"])
    description: str | None = Field(None, max_length=10_000, description="For people.")
    verify: Verify = Field(
        description="How it is known who sends. Secrets are shown as `***`.",
        examples=[{"scheme": "stripe", "secret": "${STRIPE_SECRET}"}],
    )
    each: Expression = Field(
        "@",
        description="Where the elements stand in the body: a list of them, or one. Default: the body itself.",
        examples=["events"],
    )
    events: Annotated[list[EventMapping], Field(min_length=1, max_length=100)] = Field(
        description="What becomes of an element: the first whose `when` holds. Where none does, it is ignored."
    )
    answer: HookAnswer | None = Field(
        None, description="The answer, where it is to be another than the counts."
    )
    challenge: Expression | None = Field(
        None,
        description="Where this gives a value for the body, it is answered as text, and nothing else happens.",
        examples=["challenge"],
    )

    @model_validator(mode="after")
    def _bounded(self) -> "SourceIn":
        if len(self.model_dump_json(exclude_unset=True)) > MAX_SOURCE:
            raise invalid("may have {most} characters in all", most=f"{MAX_SOURCE:,}")
        return self


SOURCE_EXAMPLE: dict[str, Any] = {
    "name": "billing",
    "verify": {"scheme": "stripe", "secret": "whsec_example"},
    "events": [
        {
            "when": "type == 'invoice.payment_failed'",
            "type": "payment.failed",
            "id": "id",
            "time": "created",
            "account": {"external_id": "data.object.customer"},
            "contact": {"email": "data.object.customer_email"},
            "data": {
                "invoice": "data.object.id",
                "amount": "minor_units(data.object.amount_due, data.object.currency)",
            },
        }
    ],
}
SECRET_FIELDS = ("secret", "secrets", "password")


def secrets_of(verify: Mapping[str, Any]) -> list[str]:
    """The secrets in a `verify`, however they are written."""
    found: list[str] = []
    for name in SECRET_FIELDS:
        value = verify.get(name)
        found += [value] if isinstance(value, str) else value or []
    return found


def without_secrets(verify: Mapping[str, Any]) -> dict[str, Any]:
    """A `verify` without its secrets."""
    return {name: value for name, value in verify.items() if name not in SECRET_FIELDS}


def masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a source with its secrets masked."""
    if "verify" not in fields:  # of a version that is a deletion
        return dict(fields)
    verify = {
        name: _mask(value) if name in SECRET_FIELDS else value for name, value in fields["verify"].items()
    }
    return {**fields, "verify": verify}


def _mask(value: Any) -> Any:
    return [MASKED] * len(value) if isinstance(value, list) else value and MASKED
