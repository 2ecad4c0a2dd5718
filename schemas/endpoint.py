"""A webhook endpoint as it is written (contract, sections 7 and 12)."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from schemas.channels.webhook import strings
from schemas.fields import OF_VERSIONS, Name, Strict, invalid

SECRET_PREFIX = "whsec_"  # noqa: S105  (the prefix of Standard Webhooks, not a secret)
MIN_SECRET, MAX_SECRET = 24, 64  # bytes, by Standard Webhooks
MASKED = "***"  # what is shown in place of a secret; whoever gives it back keeps what is stored
MAX_HEADERS, MAX_VALUE = 20, 4_096
AT_ONCE, MOST_AT_ONCE = 10, 100  # webhooks to one endpoint: by default, and at most
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)  # the name of a header (RFC 9110)
_OURS = ("content-", "webhook-")
# what frames a request, and what speaks about the connection
_FRAMING = frozenset(
    {"host", "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for a port that is none)
    except ValueError as error:
        raise ValueError("is no address") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold spaces or control characters")
    return text


def _secret(text: str) -> str:
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64, optionally with the prefix whsec_") from error
    if not MIN_SECRET <= len(raw) <= MAX_SECRET:
        raise ValueError(f"must hold {MIN_SECRET} to {MAX_SECRET} bytes")
    return text if text.startswith(SECRET_PREFIX) else SECRET_PREFIX + text


def _visible(text: str) -> str:
    if any(not 32 <= ord(char) < 127 for char in text):
        raise ValueError("must hold nothing but visible ASCII characters and spaces")
    if text != text.strip():
        raise ValueError("must not begin or end with a space")
    return text


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


HeaderValue = Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_visible)]


class BasicAuth(Strict):
    """A user name and a password, which go out as HTTP Basic authentication."""

    username: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_user)] = Field(
        description="The user name, which is shown.", examples=["touchline"]
    )
    password: Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_password)] | None = Field(
        None,
        description="The password, which is shown as `***`. Left out or `***`: it stays as it is stored.",
    )


class EndpointAuth(Strict):
    """How Touchline authenticates itself to an endpoint: in one of these ways."""

    bearer: Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_token)] | None = Field(
        None, description="A token, which is shown as `***`. `***` given back keeps what is stored."
    )
    basic: BasicAuth | None = Field(None, description="A user name and a password.")

    @model_validator(mode="after")
    def _one_way(self) -> "EndpointAuth":
        if (self.bearer is None) == (self.basic is None):
            raise invalid("must have exactly one of: bearer, basic")
        return self


class EndpointIn(Strict):
    """An endpoint to save: where webhooks go, and the secret that signs them."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    name: Name = Field(description="The name that playbooks refer to.", examples=["crm"])
    description: str | None = Field(None, max_length=10_000, description="For people.")
    url: Annotated[str, Field(max_length=2_048), AfterValidator(_url)] = Field(
        description="The URL, with http or https.", examples=["https://crm.example.com/hooks/touchline"]
    )
    secret: Annotated[str, Field(max_length=200), AfterValidator(_secret)] | None = Field(
        None,
        description="The signing secret: 24 to 64 bytes in Base64, with or without `whsec_`. If you give "
        "none, one is made and shown once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="The method of its requests.")
    headers: (
        Annotated[dict[str, HeaderValue | None], Field(max_length=MAX_HEADERS), AfterValidator(_headers)]
        | None
    ) = Field(
        None,
        description=(
            "More headers of its requests, all of them. Their values are shown as `***`, and `***` given back keeps "
            "what is stored. Left out: all stay; `null`: none is left. Not `Host`, `Content-*` or `webhook-*`."
        ),
        examples=[{"X-Api-Key": "a key of the receiver's"}],
    )
    auth: EndpointAuth | None = Field(
        None,
        description="How requests authenticate themselves. Left out: as it is stored; `null`: not at all.",
    )
    sign: bool = Field(True, description="Whether requests are signed as Standard Webhooks 1.0.0.")
    format: Literal["json", "form"] = Field(
        "json",
        description=(
            "How the body is written: as JSON, or as the fields of a form. A form needs an object; in it, a list is a "
            "field several times, an object is written as JSON, and null is left out."
        ),
    )
    concurrency: Annotated[int, Field(strict=True)] = Field(
        AT_ONCE,
        ge=1,
        le=MOST_AT_ONCE,
        description=(
            "How many of its requests each process may have on the wire at once. An endpoint that has not answered for "
            "5 s gets one until it does."
        ),
    )
    body: Any = Field(
        None,
        description=(
            "The body of steps that give none; every string is a template. By default: play, account, contact, trigger."
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
        """Every string in the body, which is a template, by its path."""
        yield from strings(self.body, "body")


def masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an endpoint with its secrets masked, its signing secret left out."""
    shown = {name: value for name, value in fields.items() if name != "secret"}
    if headers := shown.get("headers"):
        shown["headers"] = {name: MASKED for name, value in headers.items() if value is not None}
    if auth := shown.get("auth"):
        basic = auth.get("basic")
        shown["auth"] = {"bearer": MASKED} if basic is None else {"basic": {**basic, "password": MASKED}}
    return shown
