"""What docs/writing-playbooks.md tells editors: the schemas are where it says, and fit the files that it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from backbone.yaml.reading import read_yaml
from schemas.json_schemas import DOCUMENT, KINDS, TEST, text_of
from services.cli.documents import find
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "writing-playbooks.md").read_text(encoding="utf-8")
LIBRARY = ROOT / "playbooks"


def test_the_comment_names_a_schema_that_its_file_satisfies() -> None:
    [place] = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", PAGE, re.MULTILINE)
    file = LIBRARY / "outages" / "rule.yaml"
    [document] = read_yaml(file)
    check = Draft7Validator(json.loads((file.parent / place).read_text(encoding="utf-8")))
    check.validate(document.value)
    assert not check.is_valid({**document.value, "cooldwon": "1d"})


def test_the_settings_give_every_file_of_the_library_one_schema() -> None:
    """By draft 7 too, which is all that many an editor knows."""
    [block] = re.findall(r"```json\n(\{\n  \"yaml\.schemas\".*?)```", PAGE, re.DOTALL)
    seen: list[Path] = []
    for place, patterns in json.loads(block)["yaml.schemas"].items():
        check = Draft7Validator(json.loads((ROOT / place).read_text(encoding="utf-8")))
        for file in [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]:
            seen.append(file)
            for document in read_yaml(file):
                check.validate(document.value)
                assert not check.is_valid({**document.value, "unheard_of": 1})
    assert sorted(seen) == sorted([*find([LIBRARY]), *find([LIBRARY], tests=True)])


def test_references_are_uris_within_the_file() -> None:
    for name in (*KINDS, TEST, DOCUMENT):
        schema = json.loads(text_of(name))
        for reference in _references(schema):
            assert re.fullmatch(r"#/\$defs/[A-Za-z0-9._~-]+", reference), reference
            assert reference.rpartition("/")[2] in schema["$defs"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
