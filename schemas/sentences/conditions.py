"""Conditions in words: `data.severity is high or urgent and data.amount is at least 100`. Pure.

Paths stand as they are written, and so do texts. A text that is no plain word, or looks like a number, is quoted.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.conditions.model import Condition, plain
from schemas.sentences.wording import exact, listed

MOST_NAMED = 20  # values of a list; of more, the number of the others
_WORD = re.compile(r"[^\W\d][\w.@/+:-]*")
_SAID = ("true", "false", "set", "not", "and", "or", "one", "none")  # texts that would read as our own words


def in_words(condition: Condition | Mapping[str, Any]) -> str:
    """The condition as a clause."""
    return _all(_entries(plain(condition)))


def value(of: Any) -> str:
    """A value in a condition."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, int | float):
        return exact(of)
    text = str(of)
    return text if _WORD.fullmatch(text) and text not in _SAID else f'"{text}"'


def values(several: list[Any], last: str) -> str:
    """Values of a list, in words."""
    named = [value(one) for one in several[:MOST_NAMED]]
    if len(several) > MOST_NAMED:
        named.append(f"{len(several) - MOST_NAMED} others")
    return listed(named, last)


def _entries(condition: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    for name, wanted in condition.items():
        if name == "all":
            said += [_group(one, "and") for one in wanted]
        elif name == "any":
            said.append(_either(wanted))
        elif name == "not":
            said.append(f"it is not so that {_group(wanted, 'or')}")
        elif isinstance(wanted, dict):
            said += [f"{name} {OPERATORS[op](operand)}" for op, operand in wanted.items()]
        else:
            said.append(f"{name} is {value(wanted)}")
    return said


def _either(several: list[Mapping[str, Any]]) -> str:
    parts = [_group(one, "or") for one in several]
    return parts[0] if len(parts) == 1 else f"either {' or '.join(parts)}"


def _group(condition: Mapping[str, Any], within: str) -> str:
    """A condition inside another; in brackets where it would be read wrongly."""
    entries = _entries(condition)
    text = _all(entries)
    loose = len(entries) > 1 or _is_open(text)
    return f"({text})" if loose and within == "or" else text


def _all(entries: Sequence[str]) -> str:
    if len(entries) == 1:
        return entries[0]
    return " and ".join(f"({one})" if _is_open(one) else one for one in entries)


def _is_open(text: str) -> bool:
    """Whether what stands behind the clause would be read as a part of it."""
    return text.startswith(("either ", "it is not so that "))


OPERATORS: dict[str, Callable[[Any], str]] = {
    "eq": lambda operand: f"is {value(operand)}",
    "ne": lambda operand: f"is not {value(operand)}",
    "gt": lambda operand: f"is more than {value(operand)}",
    "gte": lambda operand: f"is at least {value(operand)}",
    "lt": lambda operand: f"is less than {value(operand)}",
    "lte": lambda operand: f"is at most {value(operand)}",
    "in": lambda operand: f"is {values(operand, 'or')}",
    "not_in": lambda operand: f"is not {values(operand, 'or')}",
    "exists": lambda operand: "is set" if operand else "is not set",
    "contains": lambda operand: f"contains {value(operand)}",
    "starts_with": lambda operand: f"starts with {value(operand)}",
    "matches": lambda operand: f"matches {value(operand)}",
}
