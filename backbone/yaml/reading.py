"""YAML with the line of every value, so that an error about a field can say where it stands.

Scalars follow YAML 1.2's core schema: `on` and `yes` are texts. Times are texts too, as in the JSON
bodies of the API.

A file is read within limits, whoever wrote it. They are checked in one pass over the parser's events, before
anything is built. Without them a file of 359 bytes with nested anchors took 1.5 GiB.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

PathKey = tuple[str | int, ...]
MOST_DIGITS = 1_000  # of a whole number
MOST_BYTES = 4_194_304
MOST_VALUES = 100_000  # values in a file, keys included; an alias counts as all its values, each time
DEEPEST = 100  # collections inside collections; the deepest playbook that is valid has about 60
MOST_PARTS = 40  # names joined by dots in one key, as far as a field is looked for
SHOWN = 60  # characters of a value in a message


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

    def inner(self, *key: str | int) -> "Located":
        """The value at a path as a document of its own."""
        value, size = self.value, len(key)
        for part in key:
            value = value[part]
        lines = {at[size:]: line for at, line in self.lines.items() if at[:size] == key}
        blocks = {at[size:]: line for at, line in self.blocks.items() if at[:size] == key}
        return Located(value, self.path, lines, blocks)

    def line(self, where: PathKey | str = ()) -> int:
        """The line of a field, or of the nearest thing around it. A text is a dotted path such as `when.within`."""
        return self.lines.get(self._nearest(where), 1)

    def line_in(self, where: str, number: int) -> int:
        """The line of the file on which line `number` of a text begins; where that cannot be said, as `line`."""
        key = self._nearest(where)
        return self.blocks[key] + number - 1 if key in self.blocks else self.line(where)

    def _nearest(self, where: PathKey | str) -> PathKey:
        """The longest part of the path `where` that exists. A key may itself hold dots: `data.severity`."""
        parts = [p for p in where.split(".") if p] if isinstance(where, str) else list(where)
        found: PathKey = ()
        at = 0
        while at < len(parts):
            for end in range(at + 1, min(at + MOST_PARTS, len(parts)) + 1):
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
    """Every document of a file; empty ones are left out. Raises `YamlError`, also beyond the limits above."""
    return parse_yaml(_text(path), path)


def parse_yaml(text: str, path: Path) -> list[Located]:
    """Every document of a text; empty ones are left out. `path`: what errors call it.

    Raises `YamlError`, also beyond the limits above, but for `MOST_BYTES`, which is the caller's.
    """
    try:
        _hold_to_limits(text, path)
        return list(_documents(text, path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(path, mark.line + 1 if mark else 1, error.problem or "is not YAML") from None
    except ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        raise YamlError(path, line, f"holds the character {character}, which YAML does not allow") from None
    except yaml.YAMLError as error:
        raise YamlError(path, 1, str(error)) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise YamlError(path, 1, f"cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise YamlError(path, 1, f"is larger than {MOST_BYTES // 1_048_576} MiB: make it several files")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(path, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None


def _hold_to_limits(text: str, path: Path) -> None:
    """Raises `YamlError` if the file is nested too deep or stands for too many values."""
    values = 0
    begun: list[_Begun] = []
    known: dict[str | None, tuple[int, int] | None] = {}  # an anchor's values and height; None: not complete
    for event in yaml.parse(text, Loader=_Loader):
        line, height = event.start_mark.line + 1 if event.start_mark else 1, 0
        if isinstance(event, yaml.CollectionStartEvent):
            begun.append(_Begun(event.anchor, values))
            known[event.anchor] = None
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = begun.pop()
            height = ended.height + 1
            known[ended.anchor] = values - ended.before, height
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            known[event.anchor] = 1, 0
        elif isinstance(event, yaml.AliasEvent):
            # one that is not known is refused when documents are built
            found = known.get(event.anchor, (1, 0))
            if found is None:
                raise YamlError(path, line, f"*{str(event.anchor)[:SHOWN]} stands inside what it stands for")
            values, height = values + found[0], found[1]
        if begun:
            begun[-1].height = max(begun[-1].height, height)
        if len(begun) + height > DEEPEST:
            raise YamlError(path, line, f"is nested more than {DEEPEST} deep")
        if values > MOST_VALUES:
            raise YamlError(path, line, f"has more than {MOST_VALUES:,} values, those of aliases included")


@dataclass
class _Begun:
    """A collection that is not complete."""

    anchor: str | None
    before: int  # values of the file before it
    height: int = 0  # collections inside collections inside it


def _documents(text: str, path: Path) -> Iterator[Located]:
    for node in yaml.compose_all(text, Loader=_Loader):
        located = Located(None, path)
        located.value = _value(node, (), located)
        if located.value is not None:
            yield located


class _Loader(yaml.CSafeLoader):
    """The C parser with the scalars of the core schema."""


# YAML 1.2's core schema: tag, pattern, first characters.
CORE = tuple(
    (f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))
    for tag, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("int", r"[-+]?[0-9]+", "-+0123456789"),
        (
            "float",
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)",
            "-+0123456789.",
        ),
    )
)
_Loader.yaml_implicit_resolvers = {}  # of its own: none of YAML 1.1's
for _tag, _pattern, _first in CORE:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)


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
            raise YamlError(into.path, name_node.start_mark.line + 1, f"{name[:SHOWN]!r} stands here twice")
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
                raise YamlError(path, node.start_mark.line + 1, f"{text[:SHOWN]} is no JSON number")
            return number
        case "str":
            return text
    raise YamlError(path, node.start_mark.line + 1, f"the tag {node.tag[:SHOWN]} is not supported")


def _part(text: str) -> str | int:
    return int(text) if text.isdigit() else text
