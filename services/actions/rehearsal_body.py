"""The body of `POST /v1/rehearsals`, which is larger than others, and of the job that it becomes."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from backbone.errors import FieldError, Invalid
from backbone.web.bodies import MAX_DEPTH, NotJson, deeper_than, has_nul, parse_json
from schemas.blanks import EndpointTemplates
from schemas.event import instant, rfc3339
from schemas.names import is_name
from schemas.rehearsal import MAX_TRIGGERS
from schemas.tiered import TIERS
from schemas.trigger import Trigger

MAX_BYTES = 32 << 20  # of the body
MAX_WRONG = 100  # fields that are named
MAX_ID = 64
MAX_OFFSET = 1 << 63
DIGEST = 20  # bytes of a suppressed address's hash
_TRIGGERS = "triggers"
_encode = msgspec.msgpack.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class GivenTrigger(Trigger, kw_only=True, forbid_unknown_fields=True):
    """A trigger as the API shows it: beside its own fields there are some that only answers have."""

    sentence: Any = None
    variant: Any = None
    change: Any = None


_decode_trigger = msgspec.json.Decoder(GivenTrigger).decode


class RehearsalJob(msgspec.Struct):
    """What the process of a rehearsal is given; `suppressed` holds one hash after the other, of `DIGEST` bytes."""

    playbook: dict[str, Any]
    templates: list[dict[str, Any]]
    triggers: list[Trigger]
    until: int | None
    suppressed: bytes
    endpoints: dict[str, EndpointTemplates] = {}  # by name
    brand: dict[str, str | None] = {}
    policy: dict[str, Any] | None = None  # the sending policy
    accounts: int = 0  # how many are known


def read_rehearsal(body: bytes) -> Any:
    """The body as JSON, its triggers undecoded: 10,000 of them would take ten times their bytes. Raises `NotJson`."""
    if deeper_than(body, MAX_DEPTH):
        raise NotJson(f"JSON may nest {MAX_DEPTH} deep", code="too_deep")
    if has_nul(body):
        raise NotJson("text may not contain NUL", code="nul")
    try:
        found = _decode_object(body)
        triggers: Any = found.pop(_TRIGGERS, None)
        if triggers is not None and bytes(triggers).lstrip()[:1] == b"[":
            triggers = _decode_list(triggers)
        elif triggers is not None:
            triggers = parse_json(bytes(triggers))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return parse_json(body)  # no object, or no JSON at all: it says which
    given = {name: parse_json(bytes(value)) for name, value in found.items()}
    return given if triggers is None else given | {_TRIGGERS: triggers}


def triggers_of(given: Sequence[Any], partition_of: Callable[[str], int]) -> list[Trigger]:
    """The triggers, checked. Raises `Invalid` with every wrong field of the first hundred."""
    found: list[Trigger] = []
    wrong: list[FieldError] = []
    for place, raw in enumerate(given[:MAX_TRIGGERS]):
        if len(wrong) >= MAX_WRONG:
            break
        path = f"{_TRIGGERS}.{place}"
        try:
            trigger = _decode_trigger(bytes(raw))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong.append(_flaw(path, str(error)))
            continue
        flaws = [
            FieldError(field=f"{path}.{field}".rstrip("."), message=why)
            for field, why in _flaws(trigger, partition_of)
        ]
        wrong += flaws
        if not flaws:
            found.append(_plain(trigger))
    if wrong:
        raise Invalid(wrong[:MAX_WRONG])
    return found


def _plain(trigger: GivenTrigger) -> Trigger:
    return Trigger(**{name: getattr(trigger, name) for name in Trigger.__struct_fields__})


def _flaw(path: str, message: str) -> FieldError:
    """msgspec's error as ours: "Expected `str`, got `int` - at `$.account`"."""
    what, _, where = message.partition(" - at `$")
    path += where.rstrip("`").replace("[", ".").replace("]", "")
    for beginning, said in (("Object missing required field `", "is required"),
                            ("Object contains unknown field `", "is not a known field")):  # fmt: skip
        if what.startswith(beginning):
            return FieldError(field=f"{path}.{what[len(beginning) : -1]}", message=said)
    return FieldError(field=path, message=what.replace("Expected `", "should be `").replace("`", ""))


def _flaws(trigger: GivenTrigger, partition_of: Callable[[str], int]) -> list[tuple[str, str]]:
    found = [
        (field, "should have 1 to 256 characters, and no NUL")
        for field in ("account", "rule")
        if not is_name(getattr(trigger, field))
    ]
    if trigger.contact is not None and not is_name(trigger.contact):
        found.append(("contact", "should have 1 to 256 characters, and no NUL"))
    if not 1 <= len(trigger.id) <= MAX_ID:
        found.append(("id", f"should have 1 to {MAX_ID} characters"))
    if trigger.tier not in TIERS:
        found.append(("tier", f"should be one of {', '.join(TIERS)}"))
    if trigger.scope not in ("account", "contact"):
        found.append(("scope", "should be account or contact"))
    try:
        rfc3339(instant(trigger.at))
    except (ValueError, TypeError, OverflowError):
        found.append(("at", "should be a time in RFC 3339 with an offset"))
    if not 0 <= trigger.position.offset < MAX_OFFSET:
        found.append(("position.offset", "should be 0 or more, and a place in the log"))
    try:
        _encode(trigger)
    except OverflowError:
        found.append(("", "should hold no whole number beyond 64 bits"))
    if not found and trigger.position.partition != (wanted := partition_of(trigger.account)):
        found.append(("position.partition", f"should be {wanted}, where this account's events are"))
    return found
