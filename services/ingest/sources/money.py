"""Amounts in a currency's minor unit, as payment systems count them."""

import re
from decimal import Decimal
from typing import Any

# ISO 4217; all others have two decimals. xxx is "no currency": with it a text becomes the number that it is.
_NO_DECIMALS = "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf xxx"
_DECIMALS = {
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
    **dict.fromkeys(("clf", "uyw"), 4),
}
MAX_DIGITS = 30
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def minor_units(amount: Any, currency: Any) -> int | float | None:
    """The amount in the currency's main unit: 119900 of USD is 1199. None for what is no amount or no currency."""
    exact = _exact(amount)
    if exact is None or not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    value = exact.scaleb(-_DECIMALS.get(currency.lower(), 2))
    return int(value) if value == value.to_integral_value() else float(value)


def _exact(amount: Any) -> Decimal | None:
    if isinstance(amount, str):
        return Decimal(amount) if len(amount) <= MAX_DIGITS and _NUMBER.fullmatch(amount) else None
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return None
    return Decimal(repr(amount)) if abs(amount) < 10**MAX_DIGITS else None  # no NaN is either
