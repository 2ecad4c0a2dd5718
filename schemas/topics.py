"""Descriptions of what travels on the log: the fields of its records, and Touchline's own
events. See `schemas.asyncapi`."""

from typing import Any, NamedTuple

from schemas.event import OWN_PREFIX
from schemas.playbook import CHANNEL_STEPS

FIELDS: dict[str, dict[str, str]] = {
    "Event": {
        "specversion": "The version of CloudEvents.",
        "id": ("Identifies the event together with account and source; an event that is sent again "
               "counts once. Default: `topic/partition/offset`."),
        "source": "Where the event comes from.",
        "type": "What happened. Only Touchline writes types that start with `touchline.`.",
        "time": "When it happened, in RFC 3339 with an offset. Default: the timestamp of the record.",
        "account": "The customer. The key of the record is the same.",
        "subject": "The CloudEvents subject. It is kept, and has no meaning here.",
        "contact": "The person at the account, if a person did it.",
        "data": "The data of the event, for rules and templates.",
        "historical": "Whether the event is a backfill, which is counted but fires no rules.",
        "originaltime": "The time that was sent, if it was more than five minutes ahead of receipt.",
        "unvouched": ("Whether the event came with a key with only the scope `track`, so that anybody may have "
                      "sent it."),
        "undated": ("Whether this is a backfilled update without a time of its own, so that `time` is the "
                    "time of receipt."),
        "mergedfrom": "The merged account for which the event was first sent. Set by Touchline.",
        "mergedhops": "How many merged accounts have forwarded the event. Set by Touchline.",
    },
    "TriggerRecord": {
        "trigger": "A rule fired.",
        "progress": "How far the rules have come.",
        "moved": "Accounts were merged.",
    },
    "Trigger": {
        "id": ("The id of the trigger. It is derived from the rule, the subject and the cause, so the "
               "same history gives the same id."),
        "rule": "The rule that fired.",
        "rule_version": "The version of the rule.",
        "account": "The customer. The key of the record is the same.",
        "contact": "The contact of the event.",
        "key": "The value of the rule's `by`.",
        "tier": "The tier of the account when the rule fired.",
        "at": "When the rule fired: the time of the event, or the moment.",
        "event_id": "The event at which the rule fired.",
        "event": ("The id of the event at which the rule fired. For an absence, the event that started the "
                  "wait."),
        "value": "The value that was measured.",
        "value_exact": "Whether the value is exact. If not, the true value is at least this.",
        "window": "The window over which the value was measured.",
        "threshold": "The threshold of the rule.",
        "reason": "Why the rule fired.",
        "playbook": "The playbook to start. Null if the trigger is only recorded.",
        "evidence": "The ids of events, at most 20, newest last.",
        "position": "The record of `touchline.events` at which this was decided.",
        "figures": "For a trend, `recent` and `baseline`.",
        "shadow": "Whether the rule is in shadow, so that no play starts.",
        "depth": "How many of Touchline's own triggers led to the event.",
        "scope": "What the rule counts for: `account` or `contact`.",
    },
    "TriggerEvent": {
        "id": "The id of the event.",
        "source": "The source of the event.",
        "type": "The type of the event.",
        "time": "The time of the event in RFC 3339, UTC.",
        "data": "The data of the event. Also null if the record would be too large with it.",
    },
    "Window": {"from": "The start in RFC 3339, not included.", "to": "The end in RFC 3339, included."},
    "Position": {"partition": "The partition of `touchline.events`.", "offset": "The offset in that partition."},
    "Progress": {
        "partition": "The partition, in both topics.",
        "offset": "Every trigger at a position in `touchline.events` before this offset has been written.",
        "clock": "The clock of the partition at that offset, in microseconds since 1970 UTC.",
    },
    "Moved": {
        "account": "The account that the record is about. The key of the record is the same.",
        "position": "The record of `touchline.events` at which this was decided.",
        "closed": "Set if the account is closed. If `absorbed` is null too, the account is open again.",
        "absorbed": "Set if the account has absorbed another one.",
    },
    "Closing": {
        "into": "The account that replaces the closed one.",
        "contact": "For an account that stood for one user alone, the id of that user there.",
        "unvouched": "Whether this may come from a stranger.",
    },
    "Absorbed": {
        "account": "The account that was closed.",
        "names": "The closed account and the accounts merged into it before, each with its contacts' ids.",
        "contacts": "The contacts that move along.",
        "source": "The source of its first event.",
        "lone": "1 if only one Segment user's calls made the account, 2 if all of these were unvouched.",
        "unvouched": "Whether this may come from a stranger.",
    },
    "Erased": {
        "into": "The account in which data was erased.",
        "contact": "The person who was erased. Left out if the whole account was.",
    },
    "Seen": {
        "event": "Event types, or `*` alone for every type that is not reserved.",
        "within": "How many seconds may pass between two such events.",
        "runs": "Periods, from first event to last, in which no two events are further apart.",
    },
    "Contact": {
        "id": "Unique at the account.",
        "email": "The address that mails go to.",
        "phone": "The phone number, in E.164.",
        "name": "The name of the person in mails.",
        "roles": "The roles of the contact, such as `admin`.",
        "active": "Whether the contact is active. Inactive contacts get no mail.",
        "timezone": "The time zone, as an IANA name.",
        "locale": "The locale, as a BCP 47 tag.",
        "attributes": "Other attributes.",
        "unvouched": "Whether the contact is known only from calls that anybody may have made.",
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
    "touchline.email.bounced": OwnEventType(
        "A mail bounced. `kind`: what a provider or mail server reported (`hard_bounce`, `soft_bounce`, `not_sent`); "
        "without it, the server refused the recipient when the mail was sent.",
        {**_ACTION, "reason": _MAYBE, "kind": _TEXT},
    ),
    "touchline.email.complained": OwnEventType(
        "The reader of a mail marked it as spam.", {**_ACTION, "reason": _MAYBE, "kind": _TEXT}
    ),
    "touchline.email.unsubscribed": OwnEventType(
        "A recipient unsubscribed. `topic` is null if from everything.", {**_ACTION, "topic": _MAYBE}
    ),
    "touchline.task.created": OwnEventType("A task was created.", _TASK, ("action", "depth", "key")),
    "touchline.task.completed": OwnEventType(
        "Somebody completed a task. `completed_by` names the API key.",
        {**_TASK, **dict.fromkeys(("note", "outcome", "completed_by"), _MAYBE)},
        ("action", "depth", "key", "completed_by"),
    ),
    "touchline.play.started": OwnEventType("A play began.", _PLAY, ("play", "playbook", "tier", "depth")),
    "touchline.play.finished": OwnEventType("A play finished.", _PLAY, ("play", "playbook", "tier", "depth")),
    "touchline.play.exited": OwnEventType(
        "A play was ended early.", _PLAY, ("play", "playbook", "tier", "depth")
    ),
}
