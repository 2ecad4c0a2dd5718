"""A condition as rows of a form: path, operator, value, and how it counts. What rows cannot say stays YAML. Pure.

rows_of({"data.severity": {"in": ["high", "urgent"]}})     [Row("data.severity", "in", "high, urgent")]
rows_of({"any": [{"data.a": 1}, {"data.b": 2}]})           [Row("data.a", "eq", "1", "any"), …]
rows_of({"not": {"data.a": 1}})                            [Row("data.a", "eq", "1", "not")]
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.console.api import FieldProblem

OPERATORS: Mapping[str, str] = {
    "eq": "is",
    "ne": "is not",
    "gte": "is at least",
    "gt": "is more than",
    "lte": "is at most",
    "lt": "is less than",
    "in": "is one of",
    "not_in": "is none of",
    "exists": "exists (true or false)",
    "contains": "contains",
    "starts_with": "starts with",
    "matches": "matches the pattern",
}
GROUPS: Mapping[str, str] = {"": "must", "any": "one of these", "not": "must not"}
LISTS = {"in", "not_in"}
TEXTS = {"starts_with", "matches"}
COMBINED = {"all", "any", "not"}
_JSON = re.compile(
    r'-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][-+]?[0-9]{1,3})?|true|false|"(?:[^"\\]|\\.)*"', re.ASCII
)
_ITEM = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|$)')


class Row(NamedTuple):
    """One line: `value` as somebody types it, lists with commas."""

    path: str = ""
    operator: str = "eq"
    value: str = ""
    group: str = ""


def rows_of(condition: Any) -> list[Row] | None:
    """The rows of a condition; None if rows cannot say it. No condition is no row."""
    if condition is None:
        return []
    if not isinstance(condition, Mapping):
        return None
    plain = {path: given for path, given in condition.items() if path not in COMBINED}
    rows = _rows(plain)
    for group, parts in _grouped(condition).items():
        for part in parts:
            if not isinstance(part, Mapping):
                return None
            rows += _rows(part, group)
    if not all(text.isprintable() for row in rows for text in row):
        return None
    back, problems = condition_of(rows, "")
    return rows if not problems and _same(_spelled(back or {}), _spelled(condition)) else None


def _rows(plain: Mapping[str, Any], group: str = "") -> list[Row]:
    return [
        Row(path, operator, _shown(value, operator), group)
        for path, given in plain.items()
        for operator, value in _operators(given).items()
    ]


def _grouped(condition: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Conditions of which one must hold, and those that must not."""
    found: dict[str, Sequence[Any]] = {}
    if isinstance(any_of := condition.get("any"), list):
        found["any"] = any_of
    if isinstance(not_ := condition.get("not"), Mapping):
        none_of = not_.get("any") if not_.keys() == {"any"} else None
        found["not"] = none_of if isinstance(none_of, list) else [not_]
    return found


def _spelled(condition: Any) -> Any:
    """The same with every operator in full where rows say it: a plain value means `eq`."""
    if isinstance(condition, list):
        return [_spelled(one) for one in condition]
    if not isinstance(condition, Mapping):
        return condition
    return {
        name: _spelled(given) if name in COMBINED else dict(_operators(given))
        for name, given in condition.items()
    }


def condition_of(rows: Iterable[Row], field: str) -> tuple[dict[str, Any] | None, list[FieldProblem]]:
    """The condition that rows say, and what is wrong with them, as problems of `field`; without rows none."""
    found: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[dict[str, Any]]] = {"any": [], "not": []}
    problems = []
    for row in rows:
        path = row.path.strip()
        if not path and not row.value.strip():
            continue
        if not path or path in COMBINED or row.operator not in OPERATORS or row.group not in GROUPS:
            problems.append(FieldProblem(field, f"{row.value or path}: needs a path, such as data.severity"))
        elif row.group:
            groups[row.group].append({path: _plain({row.operator: _read(row.value, row.operator)})})
        elif row.operator in found.setdefault(path, {}):
            problems.append(FieldProblem(field, f"says twice what {path} {OPERATORS[row.operator]}"))
        else:
            found[path][row.operator] = _read(row.value, row.operator)
    condition: dict[str, Any] = {path: _plain(given) for path, given in found.items()}
    if groups["any"]:
        condition["any"] = groups["any"]
    if groups["not"]:
        condition["not"] = groups["not"][0] if len(groups["not"]) == 1 else {"any": groups["not"]}
    return condition or None, problems


def _operators(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {"eq": given}


def _plain(given: Mapping[str, Any]) -> Any:
    return given["eq"] if given.keys() == {"eq"} else dict(given)


def _same(one: Any, other: Any) -> bool:
    """Equal in types too: 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(value: Any, operator: str) -> str:
    if operator in LISTS and isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_scalar_shown(one, listed=True) for one in value)
    if operator in TEXTS and isinstance(value, str):
        return value
    return _scalar_shown(value, listed=False)


def _scalar_shown(value: Any, *, listed: bool) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    unlike = value != value.strip() or not value or (listed and ("," in value or '"' in value))
    return json.dumps(value, ensure_ascii=False) if unlike or _scalar(value) != value else value


def _read(text: str, operator: str) -> Any:
    if operator in LISTS:
        return [_scalar(item) for item in _ITEM.findall(text.strip()) if item.strip()]
    return text.strip() if operator in TEXTS else _scalar(text)


def _scalar(text: str) -> Any:
    """A number, a truth value or a quoted text where it looks like one, else the text itself."""
    text = text.strip()
    if _JSON.fullmatch(text):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
