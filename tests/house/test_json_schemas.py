"""The bundled JSON Schemas are those of the models, and the library's files satisfy them."""

import json

import pytest
from jsonschema import Draft202012Validator

from schemas.files import DOCUMENT, FOLDER, KINDS, TEST, text_of
from services.cli.documents import find
from services.cli.yamlfile import read_yaml
from tests.house.tree import ROOT

NAMES = (*KINDS, TEST, DOCUMENT)


@pytest.mark.parametrize("name", NAMES)
def test_bundled_as_generated(name: str) -> None:
    bundled = (FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")
    assert bundled == text_of(name), "run: .venv/bin/python -m schemas.files"
    Draft202012Validator.check_schema(json.loads(bundled))


def test_library_fits_and_mistakes_do_not() -> None:
    check = Draft202012Validator(json.loads(text_of(DOCUMENT)))
    scenario = Draft202012Validator(json.loads(text_of(TEST)))
    documents = [one.value for path in find([ROOT / "playbooks"]) for one in read_yaml(path)]
    assert len(documents) > 100
    for document in documents:
        check.validate(document)
        assert not check.is_valid({**document, "unheard_of": 1})
    for path in find([ROOT / "playbooks"], tests=True):
        scenario.validate(read_yaml(path)[0].value)


@pytest.mark.parametrize("name", KINDS)
def test_every_field_is_described(name: str) -> None:
    properties = json.loads(text_of(name))["properties"]
    assert [field for field, schema in properties.items() if not schema.get("description")] == []
