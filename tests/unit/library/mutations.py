"""Mutations that the library's scenarios must notice: each number of a rule, playbook or the tiers, moved by one."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]
Path = tuple[str | int, ...]

_DURATION = re.compile(r"([1-9]\d*)(s|m|h|d|w|mo|y)")
_SILENT = ("due",)  # scenarios cannot expect the time at which a task is due


@dataclass(frozen=True)
class Mutation:
    """One document with one number changed; `path` leads to it."""

    name: str
    document: JSON
    path: Path
    value: Any

    def applied(self) -> JSON:
        """A copy of the document with the number changed."""
        changed = copy.deepcopy(self.document)
        at: Any = changed
        for key in self.path[:-1]:
            at = at[key]
        at[self.path[-1]] = self.value
        return changed


def mutations(document: JSON) -> Iterator[Mutation]:
    """Both neighbours of every number and duration of a rule, a playbook or the tiers."""
    if document["kind"] not in ("rule", "playbook", "tiers"):
        return
    for path, value in _leaves(document, ()):
        for other in _neighbours(value):
            name = f"{document.get('name', 'tiers')}:{'.'.join(map(str, path))}:{value}->{other}"
            yield Mutation(name, document, path, other)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _SILENT:
                yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, (*path, at))
    else:
        yield path, value


def _neighbours(value: Any) -> list[Any]:
    """One more and one less, but never 0, which would take the threshold away."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [value + 1] + ([value - 1] if value > 1 else [])
    if isinstance(value, float):  # a share: one percentage point
        return [round(value + 0.01, 2), round(value - 0.01, 2)]
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return []
    number, unit = int(found[1]), found[2]
    return [f"{number + 1}{unit}"] + ([f"{number - 1}{unit}"] if number > 1 else [])
