"""`${NAME}` in files of endpoints and sources: filled in from the environment when they are applied."""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.source import VARIABLE

FILLED = frozenset({"endpoint", "source"})  # kinds; texts of others, such as templates, stay as they are


def filled(value: Any, variables: Mapping[str, str | None]) -> Any:
    """The value with its variables filled in. One that is not set, or empty, stays."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: variables.get(found[1]) or found[0], value)
    if isinstance(value, list):
        return [filled(one, variables) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, variables) for name, one in value.items()}
    return value


def unfilled(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The variables that are left, each with the path of its field."""
    if isinstance(value, str):
        yield from ((path, name) for name in VARIABLE.findall(value))
    elif isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for name, one in inner:
            yield from unfilled(one, f"{path}.{name}" if path else str(name))
