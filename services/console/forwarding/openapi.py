"""One OpenAPI page of the pages of the services."""

from collections.abc import Mapping, Sequence
from typing import Any

Page = Mapping[str, Any]
TITLE = "Touchline"


class Contradiction(Exception):
    """Two services mean different things by one name: they are of different releases."""


def merged(pages: Sequence[Page]) -> dict[str, Any]:
    """The page of all: every path, method and component of each. Raises `Contradiction`.

    What belongs to no service stands in every page alike.
    """
    first = pages[0]
    page: dict[str, Any] = {**first, "info": {**first["info"], "title": TITLE}}
    page["paths"] = _united([one["paths"] for one in pages], depth=2)
    page["components"] = _united([one["components"] for one in pages], depth=2)
    return page


def _united(parts: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    """Objects joined key by key, down to this depth."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name not in found or found[name] == value:
                found[name] = value
            elif depth > 1:
                found[name] = _united([found[name], value], depth - 1)
            else:
                raise Contradiction(name)
    return found
