"""Amounts in minor units."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.sources.money import minor_units

DECIMALS = {"USD": 2, "eur": 2, "JPY": 0, "krw": 0, "KWD": 3, "CLF": 4, "xxx": 0}


@given(st.integers(-(10**12), 10**12), st.sampled_from(sorted(DECIMALS)), st.booleans())
def test_the_amount_is_exact(amount: int, currency: str, as_text: bool) -> None:
    found = minor_units(str(amount) if as_text else amount, currency)
    assert Decimal(repr(found)) * 10 ** DECIMALS[currency] == amount


def test_a_whole_amount_is_a_whole_number() -> None:
    assert repr(minor_units(119_900, "usd")) == "1199"
    assert repr(minor_units(119_950, "USD")) == "1199.5"
    assert repr(minor_units("119950.5", "USD")) == "1199.505"


def test_without_a_currency_a_text_becomes_its_number() -> None:
    assert repr(minor_units("40", "xxx")) == "40"
    assert repr(minor_units("12000.50", "Xxx")) == "12000.5"
    assert repr(minor_units(40, "xxx")) == "40"


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (None, "USD"), (1, None), (True, "USD"), ("", "USD"), ("1_000", "USD"), ("1e9", "USD"), ("NaN", "USD"),
        (float("nan"), "USD"), (float("inf"), "USD"), (10**400, "USD"), ("9" * 31, "USD"), ([1], "USD"), (1, "US"),
        (1, "USDX"), (1, "ÜSD"), (1, 840),
    ],
)  # fmt: skip
def test_what_is_no_amount_or_no_currency_gives_nothing(amount: Any, currency: Any) -> None:
    assert minor_units(amount, currency) is None
