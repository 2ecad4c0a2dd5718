"""A webhook endpoint as it is written (contract, sections 7 and 12)."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from schemas.blanks import blanks, check_url, without_blanks
from schemas.channels.webhook import strings
from schemas.fields import OF_VERSIONS, Name, Strict, invalid
from schemas.timestamps import Moment
from schemas.web_addresses import web_address

SECRET_PREFIX = "whsec_"  # noqa: S105  (the prefix of Standard Webhooks, not a secret)
MIN_SECRET, MAX_SECRET = 24, 64  # bytes, by Standard Webhooks
MOST_SECRETS = 2  # while one is replaced
MASKED = "***"  # what is shown in place of a secret; whoever gives it back keeps what is stored
MAX_HEADERS, MAX_VALUE = 20, 4_096
AT_ONCE, MOST_AT_ONCE = 10, 100  # webhooks to one endpoint: by default, and at most
LEAST_RATE, MOST_RATE = 0.001, 1_000  # a second
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)  # the name of a header (RFC 9110)
_OURS = ("content-", "webhook-")
# what frames a request, and what speaks about the connection
_FRAMING = frozenset(
    {"host", "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


def _url(text: str) -> str:
    parts = web_address(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold spaces or control characters")
    return text


def _endpoint_url(text: str) -> str:
    _url(check_url(text))
    return text


def _secret(text: str) -> str:
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64, optionally with the prefix whsec_") from error
    if not MIN_SECRET <= len(raw) <= MAX_SECRET:
        raise ValueError(f"must hold {MIN_SECRET} to {MAX_SECRET} bytes")
    return text if text.startswith(SECRET_PREFIX) else SECRET_PREFIX + text


def _masked_secret(text: str) -> str:
    return text if text == MASKED else _secret(text)


def _visible(text: str) -> str:
    if any(not 32 <= ord(char) < 127 for char in text):
        raise ValueError("must hold nothing but visible ASCII characters and spaces")
    if text != text.strip():
        raise ValueError("must not begin or end with a space")
    return text


def _header_value(text: str) -> str:
    without_blanks(text)
    return _visible(text)


def _token(text: str) -> str:
    if " " in _visible(text):
        raise ValueError("must not hold spaces")
    return text


def _user(text: str) -> str:
    if ":" in text or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold colons or control characters")
    return text


def _password(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold control characters")
    return text


def _headers(headers: dict[str, str | None]) -> dict[str, str | None]:
    names = [name.lower() for name in headers]
    for name in headers:
        if _TOKEN.fullmatch(name) is None:
            raise invalid("{name} is no name of a header", name=repr(name[:100]))
        if name.lower() in _FRAMING or name.lower().startswith(_OURS):
            raise invalid("{name} is a header that Touchline sets itself", name=name)
        if names.count(name.lower()) > 1:
            raise invalid("{name} stands there twice", name=name)
    return headers


def _rate(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("must be a number")
    if not LEAST_RATE <= value <= MOST_RATE:
        raise invalid("must be {least} to {most}", least=LEAST_RATE, most=MOST_RATE)
    return value


Rate = Annotated[
    int | float,
    PlainValidator(_rate),
    WithJsonSchema({"type": "number", "minimum": LEAST_RATE, "maximum": MOST_RATE}),
]
HeaderValue = Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_header_value)]


class BasicAuth(Strict):
    """A user name and a password, sent as HTTP Basic authentication."""

    username: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_user)] = Field(
        description="The user name, which is shown.", examples=["touchline"]
    )
    password: Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_password)] | None = Field(
        None,
        description="The password, which is shown as `***`. If it is left out or `***`, the stored password "
        "is kept.",
    )


class OAuth2(Strict):
    """Client credentials (RFC 6749, section 4.4), for which a token server gives access tokens."""

    token_url: Annotated[str, Field(max_length=2_048), AfterValidator(_url)] = Field(
        description="The URL of the token server, with http or https. It may be private only if webhooks "
        "may reach its network.",
        examples=["https://login.example.com/oauth2/token"],
    )
    client_id: Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_visible)] = Field(
        description="The client's id, which is shown.", examples=["touchline"]
    )
    client_secret: (
        Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_password)] | None
    ) = Field(
        None,
        description="The client's secret, which is shown as `***`. If it is left out or `***`, the stored "
        "secret is kept.",
    )
    scope: Annotated[str, Field(min_length=1, max_length=2_048), AfterValidator(_visible)] | None = Field(
        None, description="The scopes to ask for, separated by spaces.", examples=["records.write"]
    )


class EndpointAuth(Strict):
    """How Touchline authenticates itself to an endpoint, in one of these ways."""

    bearer: Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_token)] | None = Field(
        None,
        description="A bearer token, which is shown as `***`. Sending back `***` keeps the stored token.",
    )
    basic: BasicAuth | None = Field(None, description="A user name and a password.")
    oauth2: OAuth2 | None = Field(
        None,
        description="Client credentials of OAuth 2.0. Touchline asks for a token, keeps it until it runs "
        "out, and asks for another one when the endpoint answers 401.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "EndpointAuth":
        if sum(one is not None for one in (self.bearer, self.basic, self.oauth2)) != 1:
            raise invalid("must have exactly one of: bearer, basic, oauth2")
        return self


class EndpointIn(Strict):
    """An endpoint to save: where webhooks go, and the secret that signs them."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS | {"status", "failing_since"}

    name: Name = Field(description="The name that playbooks refer to.", examples=["crm"])
    description: str | None = Field(None, max_length=10_000, description="For people.")
    url: Annotated[str, Field(max_length=2_048), AfterValidator(_endpoint_url)] = Field(
        description=(
            "The URL, with http or https. Its path and query can hold `{{ expression }}`, filled in when the "
            "step runs and percent-encoded. If there is no value, nothing is sent."
        ),
        examples=["https://crm.example.com/hooks/touchline"],
    )
    secret: Annotated[str, Field(max_length=200), AfterValidator(_secret)] | None = Field(
        None,
        description="The signing secret: 24 to 64 bytes in Base64, with or without `whsec_`. If you give "
        "none, one is made and shown once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    secrets: (
        Annotated[
            list[Annotated[str, Field(max_length=200), AfterValidator(_masked_secret)] | None],
            Field(max_length=2 * MOST_SECRETS),
        ]
        | None
    ) = Field(
        None,
        description="All signing secrets: one, or two while one replaces the other. Each of them signs. They are "
        "shown as `***`; sending back `***` keeps a stored secret, `null` in its place removes it. If the "
        "field is left out, all are kept; `null` removes them, and an endpoint that signs gets a new one.",
        examples=[["***", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]],
    )
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="The HTTP method of the requests.")
    headers: (
        Annotated[dict[str, HeaderValue | None], Field(max_length=MAX_HEADERS), AfterValidator(_headers)]
        | None
    ) = Field(
        None,
        description=(
            "All additional headers of the requests. Their values are shown as `***`, and sending "
            "back `***` keeps the stored value. If the field is left out, all headers are kept; "
            "`null` removes them. A value can hold `{{ expression }}`, filled in when the step runs. "
            "`Host`, `Content-*` and `webhook-*` are not allowed."
        ),
        examples=[{"X-Api-Key": "a key of the receiver's"}],
    )
    auth: EndpointAuth | None = Field(
        None,
        description="How requests are authenticated. If the field is left out, the stored setting is kept; "
        "`null` removes it.",
    )
    sign: bool = Field(
        True, strict=True, description="Whether requests are signed as Standard Webhooks 1.0.0."
    )
    format: Literal["json", "form"] = Field(
        "json",
        description=(
            "The format of the body: JSON, or the fields of a form. A form needs an object as its "
            "body; a list becomes a repeated field, an object is written as JSON, and null is left "
            "out."
        ),
    )
    concurrency: Annotated[int, Field(strict=True)] = Field(
        AT_ONCE,
        ge=1,
        le=MOST_AT_ONCE,
        description=(
            "How many requests to the endpoint each process may have under way at once. An endpoint "
            "that has not answered for 5 s gets one at a time until it does."
        ),
    )
    rate: Rate | None = Field(
        None,
        description="How many requests to the endpoint may begin in a second, over all processes. Default: "
        "any number.",
        examples=[20],
    )
    body: Any = Field(
        None,
        description=(
            "The body for steps that give none, in which every string is a template. Default: play, "
            "account, contact and trigger."
        ),
        examples=[{"text": "{{ account.name }} needs a call"}],
    )

    @field_validator("body")
    @classmethod
    def _fits_a_form(cls, body: Any, info: ValidationInfo) -> Any:
        if body is not None and info.data.get("format") == "form" and not isinstance(body, dict):
            raise invalid("must be an object: it is written as a form")
        return body

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every template by its path: the strings in the body, and the URL and headers that have blanks."""
        yield from strings(self.body, "body")
        for path, text in (("url", self.url), *strings(self.headers, "headers")):
            if blanks(text):
                yield path, text


class EndpointRetryIn(Strict):
    """Which webhooks of an endpoint to send again."""

    after: Moment = Field(
        description="Only webhooks that were due after this time.", examples=["2026-12-01T08:00:00Z"]
    )
    status: Literal["failed", "skipped", "uncertain"] = Field(
        "failed", description="Only webhooks with this status."
    )


def secrets_of(fields: Mapping[str, Any]) -> Sequence[str]:
    """The signing secrets in a stored endpoint. One that was stored before there could be two has `secret`."""
    return fields.get("secrets") or ([fields["secret"]] if fields.get("secret") else [])


def masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an endpoint with its secrets masked."""
    shown = {name: value for name, value in fields.items() if name != "secret"}
    if secrets := secrets_of(fields):
        shown["secrets"] = [MASKED] * len(secrets)
    if headers := shown.get("headers"):
        shown["headers"] = {name: MASKED for name, value in headers.items() if value is not None}
    if auth := shown.get("auth"):
        shown["auth"] = _masked_auth(auth)
    return shown


def _masked_auth(auth: Mapping[str, Any]) -> dict[str, Any]:
    if auth.get("basic") is not None:
        return {"basic": {**auth["basic"], "password": MASKED}}
    if auth.get("oauth2") is not None:
        return {"oauth2": {**auth["oauth2"], "client_secret": MASKED}}
    return {"bearer": MASKED}
