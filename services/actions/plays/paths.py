"""Values by path: what a condition, a `by` or an `until_date` refers to. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.conditions import Scope


def value_at(path: str, scope: Scope) -> Any:
    """The value at a path such as data.invoice or account.attributes.renewal_date; None where there is none."""
    root, *rest = path.split(".")
    return _into(_root(root, rest, scope), rest)


def key_text(value: Any) -> str | None:
    """A value as a trigger's `key`: a string as it is, a number's or truth value's JSON text; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None


def _root(root: str, rest: list[str], scope: Scope) -> Any:
    match root:
        case "data":
            return None if scope.event is None else scope.event.data
        case "type" | "source":
            return None if scope.event is None else getattr(scope.event, root)
        case "trigger":
            return scope.trigger
        case "account":
            return scope.tier if rest == ["tier"] else scope.profile
        case "contact":
            return scope.contact
    return None


def _into(value: Any, names: list[str]) -> Any:
    for place, name in enumerate(names):
        if isinstance(value, Mapping):
            if (joined := ".".join(names[place:])) in value:
                return value[joined]
            value = value.get(name)
        elif isinstance(value, str | int | float | list) or value is None:
            return value if names == ["tier"] and isinstance(value, str) else None
        else:
            value = getattr(value, name, None)
    return value
