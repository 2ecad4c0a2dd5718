"""The messages of the topics, for `schemas.asyncapi`: a description, the payload, and an example that fits it."""

from typing import Any

from schemas.account import ACCOUNT_EXAMPLE
from schemas.event import (
    CLOCK,
    FORGOTTEN,
    MERGED,
    RULES_CONCERNED,
    RULES_PAUSED,
    RULES_SAVED,
    RULES_START,
    SOURCE_SEEN,
)
from schemas.forwarding import ABSORBED, ERASED
from schemas.topics import OWN

CLOUD_EVENT, JSON, BYTES = "application/cloudevents+json", "application/json", "application/octet-stream"
REF = "#/components/schemas/{name}"
_AT = "2026-11-22T09:00:00Z"

Schema = dict[str, Any]

# The names of their messages.
CONTROL = (
    "clock",
    "rulesSaved",
    "historyForgotten",
    "rulesStart",
    "rulesPaused",
    "rulesConcerned",
    "sourceSeen",
)
OF_TRIGGERS = ("trigger", "moved", "progress")
UPDATES = {
    "account.updated": ("Merged into the account. Null deletes.", "AccountUpdate", ACCOUNT_EXAMPLE),
    "contact.updated": (
        "Merged into the contact. Null deletes.",
        "ContactUpdate",
        {"email": "ann@acme.test"},
    ),
    "account.deleted": ("The account is erased.", None, None),
    "contact.deleted": ("The contact is erased.", None, None),
    MERGED: ("The account is closed, and another account replaces it.", "Merged", {"into": "acme-group"}),
}
BETWEEN = {
    ABSORBED: (
        "The account absorbs another one.",
        "Absorbed",
        {"account": "old", "names": {"old": ["ann"]}},
    ),
    ERASED: (
        "Tells a closed account that the account that replaced it was erased, or a person there.",
        "Erased",
        {"into": "acme-group"},
    ),
}  # what accounts send one another, whichever partitions they are in


def from_outside() -> list[str]:
    """The messages that others may write to `touchline.events`."""
    return ["event", *map(name_of, UPDATES)]


def of_events() -> list[str]:
    """All messages of `touchline.events`."""
    return [*from_outside(), *of_ours()]


def of_ours() -> list[str]:
    """The messages of `touchline.events` that only Touchline writes."""
    return [*map(name_of, OWN), *map(name_of, BETWEEN), *CONTROL]


def name_of(type_: str) -> str:
    """`touchline.play.started` as `playStarted`."""
    first, *rest = type_.removeprefix("touchline.").split(".")
    return first + "".join(part.capitalize() for part in rest)


def messages() -> Schema:
    """All messages, by name."""
    event = {
        "id": "inv-88",
        "source": "billing",
        "type": "invoice.overdue",
        "data": {"invoice": "88", "amount": 1200},
    }
    found = {"event": _message("Something that happened.", _ref("Event"), {**_event(""), **event})}
    for type_, (about, data, example) in (UPDATES | BETWEEN).items():
        told = {"data": example} if example else {}
        who = {} if "account" in type_ else {"contact": "ann"}
        payload = _of_type(type_, None if data is None else _ref(data), () if data is None else ("data",))
        found[name_of(type_)] = _message(about, payload, {**_event(type_), **who, **told})
    for type_, own in OWN.items():
        schema = {"type": "object", "properties": own.data, "required": list(own.always)}
        example = {
            **_event(type_),
            "source": "touchline",
            "data": {name: _sample(own.data[name]) for name in own.always},
        }
        found[name_of(type_)] = _message(own.tells, _of_type(type_, schema, ("data",)), example)
    return found | _control() | _triggers() | _dead()


def _control() -> Schema:
    key = {"type": "null"}
    clock = {"specversion": "1.0", "id": "c1", "source": "touchline", "type": CLOCK, "time": _AT}
    saved = {**clock, "id": "revision-7", "type": RULES_SAVED,
             "data": {"revision": 7, "rule": "invoice-overdue", "holds": False}}  # fmt: skip
    revision = {"type": "object", "properties": {"revision": {"type": "integer"}, "rule": {"type": "string"},
                "holds": {"type": "boolean"}, "deleted": {"type": "boolean"}}, "required": ["revision"]}  # fmt: skip
    gone = {**clock, "id": "evt_1", "type": FORGOTTEN, "data": {"triggers": ["tr_1"]}}
    ids = {"type": "array", "items": {"type": "string"}}
    triggers = {"type": "object", "properties": {"triggers": ids}, "required": ["triggers"]}
    start = {**clock, "id": "start_1", "type": RULES_START, "data": {"start": "start_1"}}
    request = {"type": "object", "properties": {"start": {"type": "string"}}, "required": ["start"]}
    starts = "The position at which the partition decides a start by hand. The request itself is in a table."
    text, number = {"type": "string"}, {"type": "integer"}
    paused = {**clock, "id": "pause_1", "type": RULES_PAUSED,
              "data": {"pause": "pause_1", "rule": "invoice-overdue", "plays": "exit"}}  # fmt: skip
    what = {"enum": ["go_on", "hold", "exit"]}
    pausing = _fields({"pause": text, "rule": text, "plays": what})
    pauses = (
        "A rule was paused: here its open plays go on, are held, or exit, and each partition counts them."
    )
    concerned = {**clock, "id": "evt_2", "type": RULES_CONCERNED,
                 "data": {"pause": "pause_1", "plays": 3, "mails": 2, "done": True}}  # fmt: skip
    counts = _fields({"pause": text, "plays": number, "mails": number, "done": {"type": "boolean"}})
    counted = (
        "So many open plays, with so many waiting mails, the pause of a rule met here, or in a part of them."
    )
    forgets = (
        "The plays of these triggers ended long ago and are no longer kept, so the triggers are dropped too."
    )
    heard = {"event": ["login"], "within": 43_200, "runs": [["2026-11-21T07:00:00Z", _AT]]}
    seen = {**clock, "id": "seen-2-1288-9f2c-0", "type": SOURCE_SEEN, "data": heard}
    tells = (
        "Another partition has received events that a rule's `alive` asks for. Written to every "
        "other partition, at most once in a tenth of `within`. A repeated record changes nothing."
    )
    about = (
        "Moves the partition's clock to this time (log clock). A record without an account goes "
        "to every partition."
    )
    takes = (
        "From this record on, these rules and tiers are in force. A record without an account "
        "goes to every partition. `holds`: whether the plays of the rule that was saved are held. "
        "`deleted`: it is gone, and those of its open plays that stand still end."
    )
    return {
        "clock": _message(about, _of_type(CLOCK, None, ("time",), account=False), clock, key=key),
        "rulesSaved": _message(
            takes, _of_type(RULES_SAVED, revision, ("data",), account=False), saved, key=key
        ),
        "historyForgotten": _message(
            forgets, _of_type(FORGOTTEN, triggers, ("data",), account=False), gone, key=key
        ),
        "rulesPaused": _message(
            pauses, _of_type(RULES_PAUSED, pausing, ("data",), account=False), paused, key=key
        ),
        "rulesConcerned": _message(
            counted, _of_type(RULES_CONCERNED, counts, ("data",), account=False), concerned, key=key
        ),
        "rulesStart": _message(
            starts, _of_type(RULES_START, request, ("data",), account=False), start, key=key
        ),
        "sourceSeen": _message(
            tells, _of_type(SOURCE_SEEN, _ref("Seen"), ("data",), account=False), seen, key=key
        ),
    }


def _fields(fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _triggers() -> Schema:
    place = {"partition": 3, "offset": 1288}
    fired = {
        "id": "tr_1", "rule": "invoice-overdue", "rule_version": 2, "account": "acme", "tier": "high", "at": _AT,
        "reason": "fired", "position": place,
    }  # fmt: skip
    came = {"progress": {**place, "clock": 1_795_338_000_000_000}}

    def only(field: str) -> Schema:
        return {"allOf": [_ref("TriggerRecord"), {"type": "object", "required": [field]}]}

    about = (
        "Every trigger before a position has been written. The record has no key, and goes to "
        "the partition that it is about."
    )
    moved = {"moved": {"account": "acme", "position": place, "closed": {"into": "acme-group"}}}
    return {
        "trigger": _message("A rule fired for a subject.", only("trigger"), {"trigger": fired}, kind=JSON),
        "moved": _message(
            "An account was closed or reopened, or absorbed another one.", only("moved"), moved, kind=JSON
        ),
        "progress": _message(about, only("progress"), came, kind=JSON, key={"type": "null"}),
    }


def _dead() -> Schema:
    headers = {
        "type": "object",
        "required": ["origin", "error"],
        "properties": {
            "origin": {
                "type": "string", "pattern": r"^touchline\.(events|triggers)/[0-9]+/[0-9]+$",
                "description": "`topic/partition/offset` of the record.",
            },
            "error": {"type": "string", "description": "What is wrong with the record, in up to 1,000 bytes."},
            "truncated": {
                "type": "string", "pattern": "^[0-9]+$",
                "description": "The size of the record in bytes, if only its first MiB is kept.",
            },
        },
    }  # fmt: skip
    told = {"origin": "touchline.events/3/1288", "error": "account: is required"}
    about = "The record as it arrived (key, value and headers), with two or three headers added by Touchline."
    return {
        "deadLetter": {
            **_message(about, {}, {"type": "invoice.overdue"}, kind=BYTES, key={"type": ["string", "null"]}),
            "headers": headers,
            "examples": [{"headers": told, "payload": {"type": "invoice.overdue"}}],
        }
    }


def _message(
    about: str, payload: Schema, example: Schema, *, kind: str = CLOUD_EVENT, key: Schema | None = None
) -> Schema:
    account = {"type": "string", "description": "The account."}
    return {
        "summary": about,
        "contentType": kind,
        "payload": payload,
        "examples": [{"payload": example}],
        "bindings": {"kafka": {"key": key or account, "bindingVersion": "0.5.0"}},
    }


def _event(type_: str) -> Schema:
    return {"specversion": "1.0", "id": "e1", "source": "crm", "type": type_, "time": _AT, "account": "acme"}


def _sample(schema: Schema) -> Any:
    return 1 if schema["type"] == "integer" else "x"


def _ref(name: str) -> Schema:
    return {"$ref": REF.format(name=name)}


def _of_type(type_: str, data: Schema | None, required: tuple[str, ...], *, account: bool = True) -> Schema:
    """An event of this type, with data of this kind."""
    said: Schema = {"type": {"const": type_}} | ({} if data is None else {"data": data})
    base = _ref("Event" if account else "ControlRecord")
    return {"allOf": [base, {"type": "object", "properties": said, "required": ["type", *required]}]}
