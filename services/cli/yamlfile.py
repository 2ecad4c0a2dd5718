"""YAML with the line of every value, so that an error about a field can say where it stands.

Scalars follow YAML 1.2's core schema: `on` and `yes` are texts, and times stay texts too (the bodies of the API are
JSON, where a time is one).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PathKey = tuple[str | int, ...]
MOST_DIGITS = 1_000  # of a whole number


class YamlError(Exception):
    """A file that is no YAML; `line` counts from 1."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path, self.line, self.message = path, line, message


@dataclass
class Located:
    """A YAML document as plain Python values, and the line of every one of them by its path."""

    value: Any
    path: Path
    lines: dict[PathKey, int] = field(default_factory=dict)
    blocks: dict[PathKey, int] = field(default_factory=dict)  # where the text of a `|` begins

    def line(self, where: PathKey | str = ()) -> int:
        """The line of a field, or of the nearest thing around it. A text is a dotted path such as `when.within`."""
        return self.lines.get(self._nearest(where), 1)

    def line_in(self, where: str, number: int) -> int:
        """The line of the file on which line `number` of a text begins; where that cannot be said, as `line`."""
        key = self._nearest(where)
        return self.blocks[key] + number - 1 if key in self.blocks else self.line(where)

    def _nearest(self, where: PathKey | str) -> PathKey:
        """The longest way down to `where` that is there. A key may hold dots itself: `data.severity`."""
        parts = [p for p in where.split(".") if p] if isinstance(where, str) else list(where)
        found: PathKey = ()
        at = 0
        while at < len(parts):
            for end in range(at + 1, len(parts) + 1):
                name = ".".join(map(str, parts[at:end]))
                keys = [(*found, _part(name)), (*found, name)]
                key = next((key for key in keys if key in self.lines), None)
                if key is not None:
                    found, at = key, end
                    break
            else:
                break
        return found


def read_yaml(path: Path) -> list[Located]:
    """Every document of a file; empty ones are left out. Raises `YamlError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise YamlError(path, 1, f"cannot be read: {error}") from None
    try:
        return list(_documents(text, path))
    except RecursionError:
        raise YamlError(path, 1, "is nested too deep, or holds itself") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(path, mark.line + 1 if mark else 1, error.problem or "is not YAML") from None
    except yaml.YAMLError as error:
        raise YamlError(path, 1, str(error)) from None


def _documents(text: str, path: Path) -> Iterator[Located]:
    for node in yaml.compose_all(text, Loader=_Loader):
        located = Located(None, path)
        located.value = _value(node, (), located)
        if located.value is not None:
            yield located


class _Loader(yaml.CSafeLoader):
    """The C parser with the scalars of the core schema."""


_Loader.yaml_implicit_resolvers = {}  # of its own: none of YAML 1.1's


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)",
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _value(node: yaml.Node, key: PathKey, into: Located) -> Any:
    into.lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        if node.style == "|":
            into.blocks[key] = node.start_mark.line + 2
        return _scalar(node, into.path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*key, index), into) for index, item in enumerate(node.value)]
    return _mapping(node, key, into)


def _mapping(node: yaml.Node, key: PathKey, into: Located) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name_node, value_node in node.value:
        name = name_node.value
        if not isinstance(name_node, yaml.ScalarNode):
            raise YamlError(into.path, name_node.start_mark.line + 1, "a key must be a text")
        if name in result:
            raise YamlError(into.path, name_node.start_mark.line + 1, f"{name!r} stands here twice")
        result[name] = _value(value_node, (*key, name), into)
        into.lines[(*key, name)] = name_node.start_mark.line + 1
    return result


def _scalar(node: yaml.ScalarNode, path: Path) -> Any:
    text: str = node.value
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            if len(text) > MOST_DIGITS:
                raise YamlError(path, node.start_mark.line + 1, "is too long for a number")
            return int(text)
        case "float":
            number = float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(number):
                raise YamlError(path, node.start_mark.line + 1, f"{text} is no JSON number")
            return number
        case "str":
            return text
    raise YamlError(path, node.start_mark.line + 1, f"the tag {node.tag} is not supported")


def _part(text: str) -> str | int:
    return int(text) if text.isdigit() else text
