"""Reads and checks files of documents (rules, playbooks, templates, …); each error names its file and line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from backbone.errors import Invalid
from backbone.web.validation import validate
from backbone.yaml.reading import Located, YamlError, read_yaml
from schemas.json_schemas import KINDS
from services.cli.file_variables import FILLED, filled, unfilled
from services.cli.server_documents import SINGLE, label

TEST_SUFFIX = ".test.yaml"
_LINE = re.compile(r"line ([0-9]{1,6}): ")  # how a message about a template begins


@dataclass(frozen=True)
class FileProblem:
    """Something wrong, and where."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class FileProblems(Exception):
    """All that is wrong with the files."""

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


@dataclass(frozen=True)
class Document:
    """One valid document: `body` is what the API takes, `model` the same, checked."""

    kind: str
    name: str
    body: dict[str, Any]
    model: BaseModel
    source: Located

    def problem(self, field: str, message: str) -> FileProblem:
        """A problem with one of the document's fields, at that field's line, or at the line of its text
        that is named."""
        what = label(self.kind, self.name)
        text = f"{what}: {field}: {message}" if field else f"{what}: {message}"
        inside = _LINE.match(message)
        line = self.source.line_in(field, int(inside[1])) if inside else self.source.line(field)
        return FileProblem(self.source.path, line, text)


def find(paths: Iterable[Path], *, tests: bool = False) -> list[Path]:
    """The YAML files under these paths: scenarios, or everything else. A path named itself is always taken."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")]):
                if file.name.endswith(TEST_SUFFIX) == tests:
                    found[file] = None
        else:
            found[path] = None
    return list(found)


def load(
    files: Iterable[Path],
    variables: Mapping[str, str | None] | None = None,
    *,
    beside: Iterable[Located] = (),
) -> list[Document]:
    """Every document of the files, and those `beside`, in an order that can be applied.

    `variables` fill in `${NAME}`; None: nothing is filled in, and nothing has to be. Raises `FileProblems` with all
    that is wrong.
    """
    problems: list[FileProblem] = []
    documents: list[Document] = []
    found: list[Located] = []
    for file in files:
        try:
            found += read_yaml(file)
        except YamlError as error:
            problems.append(FileProblem(error.path, error.line, error.message))
    for item in (*found, *beside):
        result = _document(item, variables)
        if isinstance(result, Document):
            documents.append(result)
        else:
            problems += result
    problems += _doubles(documents)
    if problems:
        raise FileProblems(problems)
    order = list(KINDS)
    return sorted(documents, key=lambda document: order.index(document.kind))


def _document(item: Located, variables: Mapping[str, str | None] | None) -> Document | list[FileProblem]:
    if not isinstance(item.value, dict) or item.value.get("kind") not in KINDS:
        kinds = ", ".join(KINDS)
        return [FileProblem(item.path, item.line("kind"), f"kind: should be one of {kinds}")]
    kind = item.value["kind"]
    body = {key: value for key, value in item.value.items() if key != "kind"}
    name = kind if kind in SINGLE else str(body.get("name", ""))
    what = label(kind, name).strip()
    if variables is not None and kind in FILLED:
        body = filled(body, variables)
        if left := list(unfilled(body)):
            return [
                FileProblem(item.path, item.line(field), f"{what}: {field}: the variable {name} is not set")
                for field, name in left
            ]
    try:
        model = validate(KINDS[kind], body)
    except Invalid as error:
        return [
            FileProblem(item.path, item.line(wrong["field"]), f"{what}: {wrong['field']}: {wrong['message']}")
            for wrong in error.errors
        ]
    return Document(kind, name, body, model, item)


def _doubles(documents: Sequence[Document]) -> list[FileProblem]:
    first: dict[tuple[str, str], Document] = {}
    problems = []
    for document in documents:
        other = first.setdefault((document.kind, document.name), document)
        if other is not document:
            where = f"{other.source.path}:{other.source.line()}"
            problems.append(document.problem("", f"stands also in {where}"))
    return problems
