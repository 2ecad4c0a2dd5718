"""What the people who run Touchline are told of: a closed set of kinds, each with its sentences."""

from enum import StrEnum
from typing import NamedTuple


class NoticeKind(StrEnum):
    """What is wrong. A notice is about one object of that kind: a playbook, an endpoint, a rule, a source."""

    BREAKER = "breaker"
    SENDING_OFF = "sending_off"
    ENDPOINT_DISABLED = "endpoint_disabled"
    MAIL_SERVER_REFUSES = "mail_server_refuses"
    SOURCE_SILENT = "source_silent"
    RULE_UNHEALTHY = "rule_unhealthy"


class NoticeWords(NamedTuple):
    """The sentences of a kind; `{object}` is the notice's object. `look`: where to look, and what to do."""

    raised: str
    over: str
    look: str
    # How long it must have been over before that is told; what begins again meanwhile goes on.
    settle_s: int = 0


WORDS: dict[NoticeKind, NoticeWords] = {
    NoticeKind.BREAKER: NoticeWords(
        "The playbook {object} began more plays than its limit allows, and is paused",
        "The playbook {object} goes on",
        "Held plays wait: look at GET /v1/plays?playbook={object}&status=held, then resume the playbook.",
    ),
    NoticeKind.SENDING_OFF: NoticeWords(
        "Sending is off: no mail and no webhook goes out",
        "Sending is on again",
        "GET /v1/sending says who switched it off and why; `touchline sending on` goes on.",
    ),
    NoticeKind.ENDPOINT_DISABLED: NoticeWords(
        "The endpoint {object} has failed for days, and is disabled: its webhooks wait",
        "The endpoint {object} is enabled again",
        "See that it answers, then POST /v1/endpoints/{object}/enable.",
    ),
    NoticeKind.MAIL_SERVER_REFUSES: NoticeWords(
        "The mail server lets us send nothing",
        "The mail server takes mails again",
        "GET /v1/status says under actions.trouble what it answered; look at TOUCHLINE_SMTP_URL.",
        settle_s=15,
    ),
    NoticeKind.SOURCE_SILENT: NoticeWords(
        "The source {object} has fallen silent: the rules that listen to it decide nothing meanwhile",
        "The source {object} is heard again, or no rule in force listens to it any more",
        "See whether what sends these events still runs.",
    ),
    NoticeKind.RULE_UNHEALTHY: NoticeWords(
        "The rule {object} failed and was set aside; the other rules go on",
        "The rule {object} is set aside no longer: another version of it is in force, or none",
        "GET /v1/rules/{object} shows the error; saving a mended version brings it back.",
    ),
}


def sentence(kind: NoticeKind, object_: str, *, over: bool) -> str:
    """What a notice says, without a full stop."""
    words = WORDS[kind]
    return (words.over if over else words.raised).format(object=object_)


def advice(kind: NoticeKind, object_: str) -> str:
    """Where to look, and what to do."""
    return WORDS[kind].look.format(object=object_)
