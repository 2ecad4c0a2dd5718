"""Exact arithmetic: amounts are whole millionths, values are fractions of integers, comparisons cross-multiply."""

from fractions import Fraction
from typing import Any, NamedTuple

MILLION = 1_000_000
_EDGE = 9_000_000_000_000  # amounts beyond it are set to it: their millionths must fit into 64 bits


class Value(NamedTuple):
    """The value of a window: `num / den`, `den` above zero."""

    num: int
    den: int

    def over(self, divisor: int) -> "Value":
        """This value divided by `divisor` millionths (above zero)."""
        return Value(self.num * MILLION, self.den * divisor)


def micro(value: Any) -> int | None:
    """A JSON number in millionths, finer digits rounded half to even; None if it is not a number."""
    if type(value) is int:
        return value * MILLION if -_EDGE <= value <= _EDGE else _clamped(value)
    if type(value) is float:
        if not -_EDGE <= value <= _EDGE:
            return _clamped(value)
        scaled = value * MILLION
        whole = int(scaled)
        return whole if whole == scaled else round(scaled)  # `round` is slow and hardly ever needed
    return None


def _clamped(value: float) -> int | None:
    if value != value:  # NaN
        return None
    return _EDGE * MILLION if value > 0 else -_EDGE * MILLION


def holds(operator: str, value: Value, limit: Fraction) -> bool:
    """Whether `value operator limit` is true, for at_least, above, at_most and below."""
    left, right = value.num * limit.denominator, limit.numerator * value.den
    match operator:
        case "at_least":
            return left >= right
        case "above":
            return left > right
        case "at_most":
            return left <= right
    return left < right


def ratio(value: Value, limit: Fraction, *, rising: bool) -> float:
    """How near a value is to its limit: `value / limit`, or falling `limit / value`, rounded once.

    Where one is not above zero the quotient says nothing: then it is 1 more than what it is beyond the limit, and 0 on
    this side of it.
    """
    left, right = value.num * limit.denominator, limit.numerator * value.den
    if not rising:
        left, right = right, left
    if right > 0 and (rising or left >= 0):
        return left / right
    return 1 + (left - right) / (value.den * limit.denominator) if left >= right else 0.0


def as_json(value: Value | None) -> int | float | None:
    """The number to show, as an int if it is whole."""
    if value is None:
        return None
    return value.num // value.den if value.num % value.den == 0 else value.num / value.den
