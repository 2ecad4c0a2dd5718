"""A webhook endpoint as it is written (contract, section 7)."""

import base64
import binascii
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from schemas.fields import OF_VERSIONS, Name, Strict

SECRET_PREFIX = "whsec_"  # noqa: S105  (the prefix of Standard Webhooks, not a secret)
MIN_SECRET, MAX_SECRET = 24, 64  # bytes, by Standard Webhooks


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
