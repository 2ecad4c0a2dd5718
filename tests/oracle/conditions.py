"""Conditions, word for word as in section 5 of the contract."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

JSON = dict[str, Any]


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; `true` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(value: float) -> Fraction:
    """The exact value of a JSON number as it is written."""
    return Fraction(Decimal(repr(value)))


def to_millionths(value: float) -> int:
    """A number in whole millionths; further digits are rounded, half to even."""
    return int(Decimal(repr(value)).scaleb(6).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def lookup(path: str, view: JSON) -> Any:
    """The value at a dotted path, or None."""
    here: Any = view
    for part in path.split("."):
        if not isinstance(here, dict):
            return None
        here = here.get(part)
    return here


def same(left: Any, right: Any) -> bool:
    """Equality that keeps types apart: true is not 1, "1" is not 1, 1 is 1.0."""
    if is_number(left) and is_number(right):
        return exact(left) == exact(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def _order(left: Any, right: Any) -> int | None:
    """How two values compare: -1, 0 or 1; None if they cannot be put in order."""
    if is_number(left) and is_number(right):
        a: Any = exact(left)
        b: Any = exact(right)
    elif isinstance(left, str) and isinstance(right, str):
        a, b = left, right
    else:
        return None
    return int(a > b) - int(a < b)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(same(item, wanted) for item in value)


def _operator(name: str, value: Any, wanted: Any) -> bool:
    if name == "exists":
        return bool((value is not None) == wanted)
    if name == "ne":
        return not same(value, wanted)
    if name == "not_in":
        return not any(same(value, item) for item in wanted)
    if value is None:
        return False
    if name == "eq":
        return same(value, wanted)
    if name == "in":
        return any(same(value, item) for item in wanted)
    if name == "contains":
        return _contains(value, wanted)
    if name == "starts_with":
        return isinstance(value, str) and value.startswith(wanted)
    if name == "matches":
        return isinstance(value, str) and re.search(wanted, value) is not None
    order = _order(value, wanted)
    if order is None:
        return False
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[name]


def _entry(path: str, wanted: Any, view: JSON) -> bool:
    value = lookup(path, view)
    if not isinstance(wanted, dict):
        return _operator("eq", value, wanted)
    return all(_operator(name, value, operand) for name, operand in wanted.items())


def holds(condition: JSON | None, view: JSON) -> bool:
    """Whether every entry of a condition holds for a view `{data, contact, account, type, source}`."""
    for path, wanted in (condition or {}).items():
        if path == "all":
            ok = all(holds(one, view) for one in wanted)
        elif path == "any":
            ok = any(holds(one, view) for one in wanted)
        elif path == "not":
            ok = not holds(wanted, view)
        else:
            ok = _entry(path, wanted, view)
        if not ok:
            return False
    return True
