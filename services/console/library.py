"""The canned playbooks that come with Touchline, as documents: read once, from the folder `playbooks/`.

for play in library().values(): play.name, play.rules, play.playbooks, play.templates
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from backbone.yaml.reading import read_yaml
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.sentences import of_playbooks, of_rules

FOLDER = Path(__file__).parents[2] / "playbooks"
ORDER = ("template", "playbook", "rule")  # so that each finds what it names
APIS = {"template": "/v1/templates", "playbook": "/v1/playbooks", "rule": "/v1/rules"}


class Document(NamedTuple):
    """One document of a play: `body` is what the API takes, `sentence` the same in words (empty for a template)."""

    kind: str
    name: str
    body: Mapping[str, Any]
    sentence: str

    @property
    def api(self) -> str:
        """Where the API makes it."""
        return APIS[self.kind]


class CannedPlay(NamedTuple):
    """A folder of the library. `documents`: in the order to make them in; `endpoints`: what they need besides."""

    name: str
    description: str
    documents: Sequence[Document]
    endpoints: Sequence[str]

    def of(self, kind: str) -> list[Document]:
        """Its documents of one kind."""
        return [document for document in self.documents if document.kind == kind]


@cache
def library() -> Mapping[str, CannedPlay]:
    """All of it, by the name of the folder."""
    return {folder.name: _play(folder) for folder in sorted(FOLDER.iterdir()) if any(folder.glob("*.yaml"))}


def _play(folder: Path) -> CannedPlay:
    files = [file for file in sorted(folder.glob("*.yaml")) if not file.name.endswith(".test.yaml")]
    documents = [_document(located.value) for file in files for located in read_yaml(file)]
    documents.sort(key=lambda document: ORDER.index(document.kind))
    playbooks = [PlaybookIn.model_validate(each.body) for each in documents if each.kind == "playbook"]
    needed = {name for each in playbooks for kind, name, _ in each.references() if kind == "endpoint"}
    rules = [document for document in documents if document.kind == "rule"]
    said = str((rules or documents)[0].body.get("description") or "")
    return CannedPlay(folder.name, said, documents, sorted(needed))


def _document(value: Mapping[str, Any]) -> Document:
    body = {name: each for name, each in value.items() if name != "kind"}
    return Document(str(value["kind"]), str(value["name"]), body, _in_words(str(value["kind"]), body))


def _in_words(kind: str, body: Mapping[str, Any]) -> str:
    if kind == "rule":
        return of_rules.sentence(RuleIn.model_validate(body))
    if kind == "playbook":
        return of_playbooks.sentence(PlaybookIn.model_validate(body))
    return ""
