"""Values by path: the ones that a `by` or an `until_date` refers to. Pure."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from schemas.conditions.codegen import Scope, getter_of
from schemas.profile import contact_of

Getter = Callable[[Scope], Any]


@lru_cache(maxsize=1024)
def getter(path: str) -> Getter:
    """A function that returns the value at a path, None if there is none. `contact` alone is the event's contact id."""
    return _contact if path == "contact" else getter_of(path)


def _contact(scope: Scope) -> Any:
    return None if scope.event is None else contact_of(scope.event)
