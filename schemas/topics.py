"""Descriptions of what travels on the log: the fields of its records, and Touchline's own
events. See `schemas.asyncapi`."""

from typing import Any, NamedTuple

from schemas.event import OWN_PREFIX
from schemas.playbook import CHANNEL_STEPS

FIELDS: dict[str, dict[str, str]] = {
    "Event": {
        "specversion": "Of CloudEvents.",
        "id": "Together with account and source it names the event: sent again, it counts once. Left out: "
        "`topic/partition/offset`.",
        "source": "Where it comes from.",
        "type": "What happened. Types under `touchline.` come from Touchline alone.",
        "time": "When it happened, RFC 3339 with an offset. Left out: the record's timestamp.",
        "account": "The customer; the record's key is the same.",
        "subject": "As CloudEvents have it. Kept, and it means nothing here.",
        "contact": "The person at the account, if it was one.",
        "data": "What is known of it: rules and templates read it.",
        "historical": "A backfill: it is counted and fires nothing.",
        "originaltime": "The time that was sent, where it lay more than five minutes ahead of receipt.",
        "unvouched": "It came with a key of scope `track` alone, so anybody may have sent it.",
        "undated": "An update of a backfill that was given no time of its own: `time` is its receipt.",
        "mergedfrom": "The merged account that the event was given first; Touchline's own.",
        "mergedhops": "How many merged accounts have sent it on; Touchline's own.",
    },
    "TriggerRecord": {
        "trigger": "A rule fired.",
        "progress": "How far the rules have come.",
        "moved": "Accounts were merged.",
    },
    "Trigger": {
        "id": "Follows from the rule, the subject and what caused it: the same history gives the same id.",
        "rule": "Which rule fired.",
        "rule_version": "Which version of it.",
        "account": "The customer; the record's key is the same.",
        "contact": "That of the event.",
        "key": "The value of the rule's `by`.",
        "tier": "That of the account when it fired.",
        "at": "When it fired: the event's time, or the moment.",
        "event_id": "The event that it fired at.",
        "event": "The event that it fired at; for an absence, the one that armed it.",
        "value": "What was measured.",
        "value_exact": "False: the value is at least this one.",
        "window": "What the value was measured over.",
        "threshold": "What was asked for.",
        "reason": "Why it fired.",
        "playbook": "What to do; null: the trigger is only recorded.",
        "evidence": "Ids of events, at most 20, the newest last.",
        "position": "The record of `touchline.events` at which it was decided.",
        "figures": "Of a trend: `recent` and `baseline`.",
        "shadow": "The rule is in shadow: no play starts.",
        "depth": "How often Touchline had answered itself before the event.",
        "scope": "`account` or `contact`: what the rule counts for.",
    },
    "TriggerEvent": {
        "id": "Its id.",
        "source": "Its source.",
        "type": "Its type.",
        "time": "RFC 3339, in UTC.",
        "data": "Its data; null too where the record would be too large with it.",
    },
    "Window": {"from": "RFC 3339, not included.", "to": "RFC 3339, included."},
    "Position": {"partition": "Of `touchline.events`.", "offset": "In that partition."},
    "Progress": {
        "partition": "Of both topics.",
        "offset": "Every trigger at a place of `touchline.events` before this one has been written.",
        "clock": "The partition's clock there, microseconds since 1970 UTC.",
    },
    "Moved": {
        "account": "Whose it is; the record's key is the same.",
        "position": "The record of `touchline.events` at which it was decided.",
        "closed": "The account is closed; null beside a null `absorbed`: it is open anew.",
        "absorbed": "The account has taken in another one.",
    },
    "Closing": {
        "into": "The account that goes on.",
        "contact": "Of an account that stood for one user alone: who that user is there.",
        "unvouched": "A stranger may have said so.",
    },
    "Absorbed": {
        "account": "The account that was closed.",
        "names": "It and the accounts merged into it before, each with the ids of its contacts.",
        "contacts": "The contacts that go along.",
        "source": "Where its first event came from.",
        "lone": "1: one Segment user's calls alone made it; 2: all of them unvouched.",
        "unvouched": "A stranger may have said so.",
    },
    "Erased": {"into": "The account where it was erased.", "contact": "The person; left out: all of it."},
    "Seen": {
        "event": "Event types, or `*` alone: every type that is not reserved.",
        "within": "Seconds that may pass between two such events.",
        "runs": "Stretches of time, from the first event to the last, in which no two are further apart.",
    },
    "Contact": {
        "id": "Unique at the account.",
        "email": "Where mails go.",
        "name": "What mails call them.",
        "roles": "Such as `admin`.",
        "active": "Inactive contacts get no mail.",
        "timezone": "An IANA name.",
        "locale": "A BCP 47 tag.",
        "attributes": "What else is known.",
        "unvouched": "Known from what anybody may have sent.",
    },
}  # fmt: skip
TIMES = {("Event", "time"), ("Trigger", "at"), ("TriggerEvent", "time"), ("Window", "from"), ("Window", "to")}
NAMES = {
    ("Event", "mergedfrom"),
    ("Event", "id"),
    ("Event", "source"),
    ("Event", "type"),
    ("Event", "account"),
    ("Event", "contact"),
}

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_ACTION = {"play": _TEXT, "playbook": _TEXT, "step": _TEXT, "action": _TEXT, "depth": {"type": "integer"}}
_PLAY = {
    **dict.fromkeys(("play", "playbook", "tier"), _TEXT),
    **dict.fromkeys(("rule", "trigger", "key", "step", "reason"), _MAYBE),
    "depth": {"type": "integer"},
}


class OwnEventType(NamedTuple):
    """A type of Touchline's own events: its description, the fields of its data, and which of them it always has."""

    tells: str
    data: dict[str, Any]
    always: tuple[str, ...] = ("play", "playbook", "step", "action", "depth")


_TASK = {**_ACTION, "key": _TEXT}
OWN: dict[str, OwnEventType] = {
    **{
        OWN_PREFIX + kind: OwnEventType(text, _ACTION)
        for step in CHANNEL_STEPS.values()
        for kind, text in step.events.items()
    },
    "touchline.email.unsubscribed": OwnEventType(
        "A recipient unsubscribed; `topic` null: from everything.", {**_ACTION, "topic": _MAYBE}
    ),
    "touchline.task.created": OwnEventType("A task was made.", _TASK, ("action", "depth", "key")),
    "touchline.task.completed": OwnEventType(
        "Somebody completed a task; `completed_by` names the API key.",
        {**_TASK, **dict.fromkeys(("note", "outcome", "completed_by"), _MAYBE)},
        ("action", "depth", "key", "completed_by"),
    ),
    "touchline.play.started": OwnEventType("A play began.", _PLAY, ("play", "playbook", "tier", "depth")),
    "touchline.play.finished": OwnEventType(
        "A play came to its end.", _PLAY, ("play", "playbook", "tier", "depth")
    ),
    "touchline.play.exited": OwnEventType(
        "A play was ended early.", _PLAY, ("play", "playbook", "tier", "depth")
    ),
}
