"""Whose mail it is: what mails and the unsubscribe page show of those who send them (contract, section 12)."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from schemas.addresses import BadAddress, valid_address
from schemas.fields import OF_VERSIONS, Strict
from schemas.web_addresses import web_address

KIND = "brand"
_COLOUR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")


def _lines(text: str) -> str:
    bare = "\n".join(line.strip() for line in text.strip().splitlines())
    if any(not mark.isprintable() and mark != "\n" for mark in bare):
        raise ValueError("must hold no control characters")
    if not bare:
        raise ValueError("must not be empty")
    return bare


def _line(text: str) -> str:
    if "\n" in _lines(text):
        raise ValueError("must be one line")
    return _lines(text)


def _colour(text: str) -> str:
    if _COLOUR.fullmatch(text) is None:
        raise ValueError("must be a colour such as #0b5cad")
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return f"#{digits.lower()}"


def _web(text: str) -> str:
    parts = web_address(text)
    if parts.username is not None or not _printed(text):
        raise ValueError("must hold no user name, spaces or control characters")
    return text


def _web_or_mail(text: str) -> str:
    if not text.startswith("mailto:"):
        return _web(text)
    try:
        valid_address(text.removeprefix("mailto:").partition("?")[0])
    except BadAddress as error:
        raise ValueError(f"must be an http, https or mailto address: {error}") from None
    if not _printed(text):
        raise ValueError("must hold no spaces or control characters")
    return text


def _printed(text: str) -> bool:
    return all(mark.isprintable() and mark not in " \"'<>\\;" for mark in text)


Web = Annotated[str, Field(max_length=2_000), AfterValidator(_web)]


class BrandIn(Strict):
    """Whose mails they are. The mail layout and the unsubscribe page show it, and templates know it as `brand`."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    name: Annotated[str, Field(max_length=200), AfterValidator(_line)] = Field(
        description="The name that readers know you by.", examples=["Acme"]
    )
    postal_address: Annotated[str, Field(max_length=1_000), AfterValidator(_lines)] = Field(
        description="The postal address, which the law of many countries wants in such mails. It may have "
        "several lines.",
        examples=["Acme Inc.\n1 Main Street\nSpringfield, IL 62701"],
    )
    logo_url: Web | None = Field(
        None,
        description="The address of a picture, shown at most 40 pixels high in place of the name.",
        examples=["https://acme.test/logo.png"],
    )
    colour: Annotated[str, Field(max_length=7), AfterValidator(_colour)] | None = Field(
        None,
        description="The colour of buttons, and of links where it can be read on white.",
        examples=["#0b5cad"],
    )
    product_url: Web | None = Field(
        None, description="Where the logo or name leads.", examples=["https://app.acme.test"]
    )
    support_url: Annotated[str, Field(max_length=2_000), AfterValidator(_web_or_mail)] | None = Field(
        None,
        description="Where readers get help: a page, or `mailto:` and an address.",
        examples=["https://acme.test/help"],
    )
    footer: Annotated[str, Field(max_length=2_000), AfterValidator(_lines)] | None = Field(
        None,
        description="More text for the foot of each mail, such as the company's register number.",
        examples=["Registered in Springfield, no. 12345"],
    )


FIELDS = tuple(BrandIn.model_fields)
BRAND_EXAMPLE: dict[str, Any] = {
    "name": "Acme",
    "postal_address": "Acme Inc.\n1 Main Street\nSpringfield, IL 62701",
    "colour": "#0b5cad",
    "product_url": "https://app.acme.test",
}


def in_scope(doc: Mapping[str, Any] | None) -> dict[str, str | None]:
    """The brand as templates see it: every field, null where unset."""
    return {name: None if doc is None else doc.get(name) for name in FIELDS}
