"""The AsyncAPI document: valid by AsyncAPI's own schema, complete, and its examples are what it says."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from backbone.log import TOPICS
from schemas.asyncapi import FILE, STRUCTS, document, text
from schemas.event import BY_PEOPLE, CONTROL, OWN_PREFIX, RESERVED, decode
from schemas.topic_messages import name_of, of_events
from schemas.topics import FIELDS, OWN
from schemas.trigger import TriggerRecord
from tests.house.tree import ROOT

DOCUMENT = document()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
OFFICIAL = ROOT / "tests/vendor/asyncapi/3.0.0-without-$id.json"


def fits(message: str, payload: Any) -> bool:
    """Whether a payload is what a message of the document says."""
    schema = {**DOCUMENT, "$ref": f"#/components/messages/{message}/payload"}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(payload)


def test_bundled_as_generated() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run: .venv/bin/python -m schemas.asyncapi"


def test_it_is_asyncapi() -> None:
    official = Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))
    official.validate(DOCUMENT)
    assert not official.is_valid({**DOCUMENT, "channels": {"events": {"address": 1}}}), "the schema looks"


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from refs(each)


def test_every_reference_leads_somewhere() -> None:
    for ref in set(refs(DOCUMENT)):
        here: Any = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            here = here[part]


def test_it_names_the_topics_and_every_type_of_ours() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == set(TOPICS)
    assert {name_of(type_) for type_ in RESERVED} <= set(of_events())
    control = {"clock", *map(name_of, CONTROL)}
    assert len([name for name in of_events() if name in control]) == len(CONTROL)
    assert all(type_.startswith(OWN_PREFIX) for type_ in OWN)
    assert OWN.keys() >= BY_PEOPLE


def test_every_field_has_words_and_all_words_a_field() -> None:
    _, found = msgspec.json.schema_components(STRUCTS)
    assert {name: set(schema["properties"]) for name, schema in found.items()} == {
        name: set(words) for name, words in FIELDS.items()
    }, "say in schemas/topics.py what it is, then run: .venv/bin/python -m schemas.asyncapi"


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_are_what_they_are_said_to_be(name: str) -> None:
    (example,) = MESSAGES[name]["examples"]
    assert fits(name, example["payload"])
    payload = example["payload"]
    if name in of_events():
        event = decode(json.dumps(payload).encode(), place="t/0/1", timestamp=0)
        assert event.type == payload["type"]
        assert not fits(
            name, {**payload, "account": ""} if "account" in payload else {**payload, "type": "other"}
        )
        assert not fits(name, {**payload, "time": 5})
    elif name != "deadLetter":
        assert msgspec.json.decode(json.dumps(payload), type=TriggerRecord)
        assert not fits(name, {})


def test_what_is_no_event_of_ours_is_none_here() -> None:
    started = MESSAGES["playStarted"]["examples"][0]["payload"]
    assert not fits("playStarted", {**started, "data": {}})
    assert not fits("playFinished", started)
    assert not fits("event", {"type": "a"}), "an event needs an account"
    assert not fits("progress", {"trigger": {}})
