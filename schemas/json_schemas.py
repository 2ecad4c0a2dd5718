"""The kinds of documents in files, and their JSON Schemas: for editors, from the same models as the OpenAPI page."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.aliases import AliasesDoc
from schemas.brand import BrandIn
from schemas.endpoint import EndpointIn
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.rule import RuleIn, TiersDoc
from schemas.scenario import Scenario
from schemas.source import SourceIn
from schemas.source_scenario import SourceScenario
from schemas.task_mails import TaskMailsDoc
from schemas.template import TemplateIn

# In the order in which they can be applied: a document comes before those that refer to it.
KINDS: dict[str, type[BaseModel]] = {
    "aliases": AliasesDoc,
    "tiers": TiersDoc,
    "policy": PolicyDoc,
    "brand": BrandIn,
    "task-mails": TaskMailsDoc,
    "source": SourceIn,
    "endpoint": EndpointIn,
    "template": TemplateIn,
    "playbook": PlaybookIn,
    "rule": RuleIn,
}
TEST = "test"  # *.test.yaml
DOCUMENT = "document"  # any kind: for editors, in a file of several documents
FOLDER = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a kind, of `test`, or of any `document`. Raises `KeyError`."""
    if name == TEST:
        return _test()
    if name == DOCUMENT:
        return _any()
    schema = KINDS[name].model_json_schema(by_alias=True)
    properties = {
        "kind": {"const": name, "description": f"The kind of this document: {name}."},
        **schema["properties"],
    }
    return {
        "$schema": DIALECT,
        **schema,
        "properties": properties,
        "required": ["kind", *schema.get("required", [])],
    }


def _test() -> dict[str, Any]:
    """A test with `source` is one of a source."""
    kinds: dict[str, type[BaseModel]] = {"scenario": Scenario, "source-scenario": SourceScenario}
    definitions: dict[str, Any] = {}
    for name, model in kinds.items():
        schema = model.model_json_schema(by_alias=True)
        definitions |= schema.pop("$defs", {})
        definitions[name] = schema
    return {
        "$schema": DIALECT,
        "type": "object",
        "if": {"required": ["source"]},
        "then": {"$ref": "#/$defs/source-scenario"},
        "else": {"$ref": "#/$defs/scenario"},
        "$defs": definitions,
    }


def _any() -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        schema = schema_of(kind)
        schema.pop("$schema")
        definitions |= schema.pop("$defs", {})
        definitions[f"{kind}-document"] = schema
    choices = [
        {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}-document"}}
        for kind in KINDS
    ]
    kinds = {"enum": list(KINDS), "description": "The kind of this document."}
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {"kind": kinds},
        "required": ["kind"],
        "allOf": choices,
        "$defs": definitions,
    }


def bundle(folder: Path = FOLDER) -> None:
    """Write all of them: `python -m schemas.json_schemas`."""
    folder.mkdir(exist_ok=True)
    for name in (*KINDS, TEST, DOCUMENT):
        (folder / f"{name}.schema.json").write_text(text_of(name), encoding="utf-8")


def text_of(name: str) -> str:
    """A schema as it is bundled."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    bundle()
