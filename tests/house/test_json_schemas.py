"""The bundled JSON Schemas are those of the models, and the library's files satisfy them."""

import json
from contextlib import nullcontext
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from backbone.yaml.reading import read_yaml
from schemas.json_schemas import DOCUMENT, FOLDER, KINDS, TEST, text_of
from services.cli.documents import find
from tests.house.tree import LIBRARIES, ROOT

NAMES = (*KINDS, TEST, DOCUMENT)


@pytest.mark.parametrize("name", NAMES)
def test_bundled_as_generated(name: str) -> None:
    bundled = (FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")
    assert bundled == text_of(name), "run: .venv/bin/python -m schemas.json_schemas"
    Draft202012Validator.check_schema(json.loads(bundled))


def test_library_fits_and_mistakes_do_not() -> None:
    check = Draft202012Validator(json.loads(text_of(DOCUMENT)))
    scenario = Draft202012Validator(json.loads(text_of(TEST)))
    folders = [ROOT / name for name in LIBRARIES]
    documents = [one.value for path in find(folders) for one in read_yaml(path)]
    assert len(documents) > 100
    for document in documents:
        check.validate(document)
        assert not check.is_valid({**document, "unheard_of": 1})
    for path in find(folders, tests=True):
        for one in read_yaml(path):
            scenario.validate(one.value)


COUNT = {"event": "a", "at_least": 1}
TREND = {"event": "a", "over": "7d", "baseline": "7d", "falls_by": 20}


@pytest.mark.parametrize(
    ("kind", "fields", "fits"),
    [
        ("rule", {"when": {"threshold": COUNT}}, True),
        ("rule", {"when": {"threshold": COUNT, "trend": None}}, True),
        ("rule", {"when": {"threshold": COUNT, "trend": TREND}}, False),
        ("rule", {"when": {}}, False),
        ("rule", {"when": {"threshold": {"event": "a"}}}, False),
        ("rule", {"when": {"threshold": {**COUNT, "at_most": 2}}}, False),
        ("rule", {"when": {"threshold": {**COUNT, "at_least": {}}}}, False),
        ("rule", {"when": {"threshold": {**COUNT, "where": {"data.a": {}}}}}, False),
        ("rule", {"when": {"all_of": {"of": [{"threshold": COUNT}, {}], "within": "1d"}}}, False),
        ("playbook", {"steps": [{"wait": "0s", "task": None}]}, True),
        ("playbook", {"steps": [{"wait": "3 days"}]}, False),
        ("playbook", {"steps": [{"wait": "1d", "task": {"title": "x"}}]}, False),
        ("playbook", {"steps": [{"id": "x"}]}, False),
        ("playbook", {"steps": {}}, False),
        ("template", {"subject": "s", "html": "h"}, True),
        ("template", {"subject": "s", "html": "h", "markdown": "m"}, False),
        ("template", {"subject": "s"}, False),
    ],
)
def test_exactly_what_the_models_take(kind: str, fields: dict[str, Any], fits: bool) -> None:
    schema = Draft202012Validator(json.loads(text_of(kind)))
    assert schema.is_valid({"kind": kind, "name": "x", **fields}) == fits
    with nullcontext() if fits else pytest.raises(ValidationError):
        KINDS[kind].model_validate({"name": "x", **fields})


@pytest.mark.parametrize("name", KINDS)
def test_every_field_is_described(name: str) -> None:
    schema = json.loads(text_of(name))
    silent = [
        f"{title}.{field}"
        for title, part in [(name, schema), *schema.get("$defs", {}).items()]
        for field, says in part.get("properties", {}).items()
        if not says.get("description")
    ]
    assert silent == []
