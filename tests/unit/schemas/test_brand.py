"""Whose mail it is: what a brand may hold, and that a refusal names the field."""

from typing import Any

import pytest

from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.brand import FIELDS, BrandIn, in_scope

LEAST = {"name": "Acme", "postal_address": "1 Main Street"}


def refused(**fields: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        validate(BrandIn, {**LEAST, **fields})
    return [error["field"] for error in caught.value.errors]


def test_what_it_holds_is_tidied() -> None:
    brand = validate(
        BrandIn,
        {
            "name": " Acme ",
            "postal_address": "  Acme Inc.\r\n 1 Main Street ",
            "colour": "#0BF",
            "support_url": "mailto:help@us.test?subject=Help",
            "logo_url": "https://us.test/logo.png",
        },
    )
    assert (brand.name, brand.postal_address, brand.colour) == (
        "Acme",
        "Acme Inc.\n1 Main Street",
        "#00bbff",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "a\ue000b"),
        ("postal_address", " \n "),
        ("postal_address", "a\x00b"),
        ("colour", "blue"),
        ("colour", "#12345"),
        ("colour", "#fff;background:url(x)"),
        ("logo_url", "javascript:alert(1)"),
        ("logo_url", "//us.test/logo.png"),
        ("logo_url", "https://user@us.test/logo.png"),
        ("logo_url", 'https://us.test/"onload=x'),
        ("logo_url", "https://us.test/a; script-src *"),
        ("logo_url", "mailto:a@us.test"),
        ("product_url", "https://us.test:99999/"),
        ("support_url", "mailto:nobody"),
        ("support_url", "tel:123"),
        ("footer", "\x1b[2J"),
        ("logo", "https://us.test/logo.png"),
    ],
)
def test_a_refusal_names_the_field(field: str, value: str) -> None:
    assert refused(**{field: value}) == [field]


def test_name_and_postal_address_are_required() -> None:
    with pytest.raises(Invalid) as caught:
        validate(BrandIn, {})
    assert [error["field"] for error in caught.value.errors] == ["name", "postal_address"]


def test_in_scope_every_field_is_there() -> None:
    assert in_scope(None) == dict.fromkeys(FIELDS)
    assert in_scope({"name": "Acme"}) == {**dict.fromkeys(FIELDS), "name": "Acme"}
