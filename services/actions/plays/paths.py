"""Values by path: what a `by` or an `until_date` refers to. Pure."""

import json
from collections.abc import Callable
from typing import Any

from schemas.predicates import Scope, getter_of
from schemas.profile import contact_of

Getter = Callable[[Scope], Any]


def getter(path: str) -> Getter:
    """A function that looks a path up; None where there is nothing. `contact` alone is the event's contact
    id."""
    return _contact if path == "contact" else getter_of(path)


def _contact(scope: Scope) -> Any:
    return None if scope.event is None else contact_of(scope.event)


def key_text(value: Any) -> str | None:
    """A value as a trigger's `key`: a string as it is, a number's or truth value's JSON text; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None
