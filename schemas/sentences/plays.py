"""Says in a sentence why a play, a step, an action or a task is where it is. Pure; every reason has one.

sentence(ActionReason.ATTEMPTS_EXHAUSTED, Case(channel="webhook", recipient="crm", attempts=9))
All 9 attempts to reach crm failed.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from schemas.channels.base import ChannelStep
from schemas.play_reasons import EXPLAINED, ActionReason, HistoryReason, PlayReason, StepReason, TaskReason
from schemas.playbook import CHANNEL_STEPS
from schemas.sentences.wording import moment, number


class PlayCase(msgspec.Struct, kw_only=True, frozen=True):
    """What a reason is about, as the API shows it."""

    playbook: str | None = None
    contact: str | None = None
    tier: str | None = None
    step: str | None = None
    channel: str | None = None
    recipient: str | None = None  # an address; of a webhook, the endpoint's name
    topic: str | None = None
    attempts: int = 0
    # moments in microseconds
    since: int | None = None  # of a play: since when it was held
    until: int | None = None  # when its time is over: to be approved, to begin, or of being held
    looked_at: int | None = None  # when a mail that waits is looked at next
    again_at: int | None = None  # of the next attempt

    @property
    def to(self) -> str:
        """The person or endpoint that an action was for."""
        return self.recipient or "the other side"

    @property
    def person(self) -> str:
        """The contact."""
        return f"the contact {self.contact}" if self.contact else "the contact"


def sentence(reason: StrEnum, case: PlayCase) -> str:
    """What the reason means here."""
    text = SENTENCES[type(reason)][reason](case)
    return f"{text[0].upper()}{text[1:]}."


def said(kind: type[StrEnum], reason: str | None, case: PlayCase) -> str | None:
    """The sentence of a stored reason; None where there is none, or one that this release does not know."""
    return sentence(kind(reason), case) if reason in set(kind) else None


def _plain(reason: StrEnum) -> Callable[[PlayCase], str]:
    text = EXPLAINED[reason].removesuffix(".")  # now: one that lacks its explanation fails here
    return lambda _: text


def _exhausted(case: PlayCase) -> str:
    if case.attempts < 2:
        return f"the attempt to reach {case.to} failed, and no other was left"
    return f"all {number(case.attempts)} attempts to reach {case.to} failed"


def _suppressed(case: PlayCase) -> str:
    topic = f"mails about {case.topic}" if case.topic else "mails"
    return (
        f"the address {case.to} gets no {topic}: it was unsubscribed or suppressed"
        if case.recipient
        else (f"{case.person} gets no {topic}: the address was unsubscribed or suppressed")
    )


_PLAYS: dict[StrEnum, Callable[[PlayCase], str]] = {
    PlayReason.COMPLETED: _plain(PlayReason.COMPLETED),
    PlayReason.EXIT_EVENT: _plain(PlayReason.EXIT_EVENT),
    PlayReason.UNTIL_EVENT: _plain(PlayReason.UNTIL_EVENT),
    PlayReason.BY_HAND: _plain(PlayReason.BY_HAND),
    PlayReason.PLAY_OPEN: lambda case: f"a play of the playbook {case.playbook} was open or held already",
    PlayReason.PLAYBOOK_UNKNOWN: lambda case: (
        f"there was no playbook {case.playbook} when the rule triggered"
    ),
    PlayReason.PLAYBOOK_UNHEALTHY: lambda case: (
        f"the playbook {case.playbook} cannot be read: no play of it starts, an open one stands still"
    ),
    PlayReason.TIER_NOT_COVERED: lambda case: (
        f"the playbook {case.playbook} has no steps for the {case.tier} tier"
    ),
    PlayReason.ACCOUNT_MERGED: _plain(PlayReason.ACCOUNT_MERGED),
    PlayReason.PAUSED: lambda case: (
        f"the playbook {case.playbook} was paused when the play was to begin{_since(case)}"
    ),
    PlayReason.BREAKER: lambda case: (
        f"the playbook {case.playbook} had begun as many plays as its limit allows, and the breaker paused it"
        f"{_since(case)}"
    ),
    PlayReason.RULE_PAUSED: _plain(PlayReason.RULE_PAUSED),
    PlayReason.DISCARDED: _plain(PlayReason.DISCARDED),
    PlayReason.HELD_TOO_LONG: lambda case: (
        f"the play was held{_from_to(case)} for longer than the playbook {case.playbook} allows (held_for)"
    ),
    PlayReason.HELD_OUT: lambda case: (
        f"the account belongs to the holdout of the playbook {case.playbook}: nobody is touched"
    ),
}
_STEPS: dict[StrEnum, Callable[[PlayCase], str]] = {reason: _plain(reason) for reason in StepReason}
_HISTORY: dict[StrEnum, Callable[[PlayCase], str]] = {
    HistoryReason.HELD: _plain(HistoryReason.HELD),
    HistoryReason.STARTED: lambda case: f"the play began, for the {case.tier} tier",
    HistoryReason.ACTION_MADE: lambda case: f"the step produced {_thing(case)}",
    HistoryReason.ACTION_DONE: lambda case: _done(case),
    HistoryReason.GOAL_REACHED: _plain(HistoryReason.GOAL_REACHED),
    HistoryReason.APPROVED: lambda case: f"somebody approved {_thing(case)}",
    HistoryReason.RETRIED: lambda case: f"somebody had {_thing(case)} sent again",
}
_TASKS: dict[StrEnum, Callable[[PlayCase], str]] = {reason: _plain(reason) for reason in TaskReason}
_ACTIONS: dict[StrEnum, Callable[[PlayCase], str]] = {
    ActionReason.TASK_UPDATED: _plain(ActionReason.TASK_UPDATED),
    ActionReason.NO_RECIPIENT: _plain(ActionReason.NO_RECIPIENT),
    ActionReason.NO_OWNER: _plain(ActionReason.NO_OWNER),
    ActionReason.NO_ADDRESS: lambda case: f"{case.person} has no email address",
    ActionReason.INVALID_ADDRESS: _plain(ActionReason.INVALID_ADDRESS),
    ActionReason.CONTACT_UNKNOWN: lambda case: (
        f"{case.person} whom the trigger names is not known at the account"
    ),
    ActionReason.CONTACT_INACTIVE: lambda case: f"{case.person} is marked as not active",
    ActionReason.UNVOUCHED: _plain(ActionReason.UNVOUCHED),
    ActionReason.DUPLICATE_RECIPIENT: lambda case: (
        f"another contact with the address {case.to} got this email"
    ),
    ActionReason.SUPPRESSED: _suppressed,
    ActionReason.NOT_ON_LIST: lambda case: (
        f"mails go only to what TOUCHLINE_MAIL_ONLY_TO names, and {case.to} is not among it"
    ),
    ActionReason.SENDING_OFF: _plain(ActionReason.SENDING_OFF),
    ActionReason.QUIET_HOURS: lambda case: (
        f"the sending policy's hours and holidays do not let a mail to {case.to} begin{_looked(case)}"
    ),
    ActionReason.CAPPED: lambda case: (
        f"as many mails have begun as a cap of the sending policy allows for {case.to} in its time"
        f"{_looked(case)}"
    ),
    ActionReason.BEHIND: lambda case: f"{EXPLAINED[ActionReason.BEHIND].removesuffix('.')}{_looked(case)}",
    ActionReason.TOO_LATE: lambda case: (
        f"the mail to {case.to} did not begin within the time that its step allows, or in time at all"
        f"{_by(case, 'which ended on')}"
    ),
    ActionReason.AWAITING_APPROVAL: lambda case: (
        f"{_thing(case)} waits until somebody approves it{_by(case, 'at the latest by')}"
    ),
    ActionReason.NOT_APPROVED: _plain(ActionReason.NOT_APPROVED),
    ActionReason.PLAY_EXITED: lambda case: f"the play ended before this {case.channel or 'action'} went out",
    ActionReason.TEMPLATE_UNKNOWN: _plain(ActionReason.TEMPLATE_UNKNOWN),
    ActionReason.TEMPLATE_ERROR: _plain(ActionReason.TEMPLATE_ERROR),
    ActionReason.TEMPLATE_LIMITS: _plain(ActionReason.TEMPLATE_LIMITS),
    ActionReason.ENDPOINT_UNKNOWN: lambda case: f"the endpoint {case.to} does not exist any more",
    ActionReason.ENDPOINT_DISABLED: lambda case: (
        f"the endpoint {case.to} has failed for days and is disabled; its webhooks wait for 30 days until it is enabled"
    ),
    ActionReason.NO_TOKEN: lambda case: f"the token server of the endpoint {case.to} gave no access token",
    ActionReason.ADDRESS_REFUSED: lambda case: (
        f"the endpoint {case.to} leads to an address that webhooks may not reach"
    ),
    ActionReason.REJECTED: lambda case: f"{_other(case)} refused it for good",
    ActionReason.BOUNCED: lambda case: f"the mail to {case.to} bounced: it was refused, or came back",
    ActionReason.COMPLAINED: lambda case: (
        f"the reader at {case.to} marked the mail as spam, and gets no more mail"
    ),
    ActionReason.UNREACHABLE: lambda case: f"{_other(case)} could not be reached{_tried(case)}",
    ActionReason.TIMEOUT: lambda case: f"{_other(case)} did not answer in time{_tried(case)}",
    ActionReason.DEFERRED: lambda case: f"{_other(case)} asked to try again later{_tried(case)}",
    ActionReason.MAYBE_DELIVERED: lambda case: (
        f"the connection broke at a moment when {_other(case)} may have taken it; it is not sent twice"
    ),
    ActionReason.INTERRUPTED: _plain(ActionReason.INTERRUPTED),
    ActionReason.ATTEMPTS_EXHAUSTED: _exhausted,
}
SENTENCES: Mapping[type[StrEnum], Mapping[StrEnum, Callable[[PlayCase], str]]] = {
    PlayReason: _PLAYS,
    StepReason: _STEPS,
    HistoryReason: _HISTORY,
    ActionReason: _ACTIONS,
    TaskReason: _TASKS,
}


def _since(case: PlayCase) -> str:
    return "" if case.since is None else f"; it has been held since {moment(case.since)}"


def _from_to(case: PlayCase) -> str:
    if case.since is None or case.until is None:
        return ""
    return f" from {moment(case.since)} to {moment(case.until)},"


def _looked(case: PlayCase) -> str:
    return "" if case.looked_at is None else f"; it is looked at again on {moment(case.looked_at)}"


def _by(case: PlayCase, how: str) -> str:
    return "" if case.until is None else f", {how} {moment(case.until)}"


def _tried(case: PlayCase) -> str:
    """How often it was tried, and when it is tried again."""
    if case.again_at is None:
        return ""
    times = "once" if case.attempts == 1 else f"{number(case.attempts)} times"
    return f"; it was tried {times}, and is tried again on {moment(case.again_at)}"


def _words(case: PlayCase) -> type[ChannelStep] | None:
    """The words of the case's channel; None: it has none, or one that this release does not know."""
    return CHANNEL_STEPS.get(case.channel or "")


def _done(case: PlayCase) -> str:
    words = _words(case)
    return "it was done" if words is None else words.done.format(to=case.to)


def _thing(case: PlayCase) -> str:
    words = _words(case)
    if words is None:
        thing = f"a {case.channel or 'action'}"
        return f"{thing} to {case.recipient}" if case.recipient else thing
    return words.thing_for.format(to=case.recipient) if case.recipient else words.thing


def _other(case: PlayCase) -> str:
    """The other side that did not accept it."""
    words = _words(case)
    if words is not None:
        return words.peer.format(to=case.to) if case.recipient else words.nobody
    return f"the endpoint {case.to}" if case.recipient else "the other side"


for _kind, _sentences in SENTENCES.items():
    if _missing := set(_kind) - _sentences.keys():
        raise LookupError(f"reasons without a sentence: {', '.join(sorted(_missing))}")
