"""The topics as an AsyncAPI 3.0 document, made from the structs that are read and written:
`python -m schemas.asyncapi`.

It writes `schemas/json/asyncapi.json`. Tests compare the two, and the document with the records of a running server.
"""

import json
from collections.abc import Sequence

import msgspec
from pydantic.json_schema import models_json_schema

from schemas.account import AccountUpdate, ContactUpdate
from schemas.event import Event
from schemas.forwarding import Absorbed, Erased
from schemas.heartbeats import Seen
from schemas.json_schemas import FOLDER
from schemas.topic_messages import JSON, OF_TRIGGERS, REF, Schema, from_outside, messages, of_events, of_ours
from schemas.topics import FIELDS, NAMES, TIMES
from schemas.trigger import TriggerRecord
from schemas.version import VERSION

STRUCTS = (Event, TriggerRecord, Absorbed, Erased, Seen)
FILE = FOLDER / "asyncapi.json"

ABOUT = """\
What Touchline reads and writes on Kafka (or on the embedded log, where nobody else can). All topics have the same
number of partitions, `TOUCHLINE_PARTITIONS` when they are made. A record's key is the account, its partition the one
that Kafka's default partitioner (murmur2) gives that key, so the order of one account's events is kept; what comes on
another partition is put to the dead letters. Values are JSON in UTF-8, of up to 1 MiB.\
"""


def document() -> Schema:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Touchline: topics",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {
            "events": _channel("touchline.events", "What happened, in the order in which it counts.", of_events()),
            "triggers": _channel("touchline.triggers", "What the rules decided.", OF_TRIGGERS),
            "deadLetters": _channel("touchline.dead-letters", "What could not be read.", ["deadLetter"]),
        },
        "operations": {
            "takeEvents": _operation("receive", "events", "Events that other programs may write.", from_outside()),
            "tellOfItself": _operation("send", "events", "Events that only Touchline writes.", of_ours()),
            "tellTriggers": _operation("send", "triggers", "What rules write for actions.", OF_TRIGGERS),
            "putAside": _operation("send", "deadLetters", "Records that a service could not read.", ["deadLetter"]),
        },
        "components": {"messages": messages(), "schemas": _schemas()},
    }  # fmt: skip


def _channel(address: str, about: str, messages: Sequence[str]) -> Schema:
    return {
        "address": address,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _operation(action: str, channel: str, about: str, messages: Sequence[str]) -> Schema:
    place = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": place},
        "summary": about,
        "messages": [{"$ref": f"{place}/messages/{name}"} for name in messages],
    }


def _schemas() -> Schema:
    _, found = msgspec.json.schema_components(STRUCTS, ref_template=REF)
    for name, schema in found.items():
        _tell(name, schema)
    event = found["Event"]
    found["ControlRecord"] = {
        **event, "title": "ControlRecord", "description": "An event without an account, written to partitions.",
        "properties": {name: field for name, field in event["properties"].items() if name != "account"},
    }  # fmt: skip
    event["required"] = ["type", "account"]
    found["Merged"] = {
        "type": "object",
        "required": ["into"],
        "properties": {
            "into": {**_text(), "description": "The account that replaces the closed one."},
            "lone": {
                "type": "boolean",
                "description": "Set by ingest: the merge happens only if one Segment user alone made the account.",
            },
            "contact": {**_text(), "description": "For an account of one user, the id of that user there."},
        },
    }  # fmt: skip
    _, models = models_json_schema([(AccountUpdate, "validation"), (ContactUpdate, "validation")],
                                   ref_template=REF.replace("{name}", "{model}"))  # fmt: skip
    return dict(sorted((found | models["$defs"]).items()))


def _tell(name: str, schema: Schema) -> None:
    """Add the descriptions of the fields, and what msgspec cannot know of them."""
    for field, said in schema["properties"].items():
        if (name, field) in TIMES:
            _narrow(said, {"format": "date-time"})
        if (name, field) in NAMES:
            _narrow(said, {"minLength": 1, "maxLength": 256})
        if said.get("default", ...) in (None, ""):
            del said["default"]  # a field that is left out has no default
        schema["properties"][field] = {"description": FIELDS.get(name, {}).get(field, ""), **said}
    schema["description"] = " ".join(schema.get("description", "").split())


def _narrow(said: Schema, more: Schema) -> None:
    for part in said.get("anyOf", [said]):
        if part.get("type") == "string":
            part.update(more)


def _text() -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 256}


def text() -> str:
    """The text of the bundled document."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
