"""Why a play or an action ended as it did: a closed set, each with a sentence for people."""

from enum import StrEnum


class PlayReason(StrEnum):
    """Why a play did not begin, was held or ended, and why tasks were closed with it."""

    COMPLETED = "completed"
    EXIT_EVENT = "exit_event"
    UNTIL_EVENT = "until_event"
    BY_HAND = "by_hand"
    PLAY_OPEN = "play_open"
    PLAYBOOK_UNKNOWN = "playbook_unknown"
    PLAYBOOK_UNHEALTHY = "playbook_unhealthy"
    TIER_NOT_COVERED = "tier_not_covered"
    ACCOUNT_MERGED = "account_merged"
    PAUSED = "paused"
    BREAKER = "breaker"
    RULE_PAUSED = "rule_paused"
    DISCARDED = "discarded"
    HELD_TOO_LONG = "held_too_long"
    HELD_OUT = "held_out"


class StepReason(StrEnum):
    """In a play's history, why and where the play went on after a step without an action."""

    WAIT_OVER = "wait_over"
    EVENT_CAME = "event_came"
    NO_DATE = "no_date"
    DATE_PAST = "date_past"
    LEFT_OUT = "left_out"
    COLLECTED = "collected"
    CONDITION_TRUE = "condition_true"
    CONDITION_FALSE = "condition_false"


class HistoryReason(StrEnum):
    """What else a play's history records: it was held, it began, a step made an action, the action was
    carried out, the goal was reached.
    """

    HELD = "held"
    STARTED = "started"
    ACTION_MADE = "action_made"
    ACTION_DONE = "action_done"
    GOAL_REACHED = "goal_reached"
    APPROVED = "approved"
    RETRIED = "retried"


class TaskReason(StrEnum):
    """Why a task that asked somebody to approve a mail was closed, unless its play ended first."""

    APPROVED = "approved"
    NOT_APPROVED = "not_approved"


class ActionReason(StrEnum):
    """Why an action was not simply carried out."""

    TASK_UPDATED = "task_updated"
    NO_RECIPIENT = "no_recipient"
    NO_OWNER = "no_owner"
    NO_ADDRESS = "no_address"
    INVALID_ADDRESS = "invalid_address"
    CONTACT_UNKNOWN = "contact_unknown"
    CONTACT_INACTIVE = "contact_inactive"
    UNVOUCHED = "unvouched"
    DUPLICATE_RECIPIENT = "duplicate_recipient"
    SUPPRESSED = "suppressed"
    NOT_ON_LIST = "not_on_list"
    SENDING_OFF = "sending_off"
    QUIET_HOURS = "quiet_hours"
    CAPPED = "capped"
    BEHIND = "behind"
    TOO_LATE = "too_late"
    AWAITING_APPROVAL = "awaiting_approval"
    NOT_APPROVED = "not_approved"
    PLAY_EXITED = "play_exited"
    TEMPLATE_UNKNOWN = "template_unknown"
    TEMPLATE_ERROR = "template_error"
    TEMPLATE_LIMITS = "template_limits"
    ENDPOINT_UNKNOWN = "endpoint_unknown"
    ENDPOINT_DISABLED = "endpoint_disabled"
    ADDRESS_REFUSED = "address_refused"
    NO_TOKEN = "no_token"  # noqa: S105  (a reason)
    REJECTED = "rejected"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DEFERRED = "deferred"
    MAYBE_DELIVERED = "maybe_delivered"
    INTERRUPTED = "interrupted"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"


EXPLAINED: dict[StrEnum, str] = {
    PlayReason.COMPLETED: "All steps were gone through.",
    PlayReason.EXIT_EVENT: "An event named in exit_when came, or a value that it watches changed.",
    PlayReason.UNTIL_EVENT: "The event came for which a wait with `then: exit` was waiting.",
    PlayReason.BY_HAND: "Somebody ended the play over the API.",
    PlayReason.PLAY_OPEN: "The subject already had a play of this playbook, open or held.",
    PlayReason.PLAYBOOK_UNKNOWN: "The rule names a playbook that did not exist when it triggered.",
    PlayReason.PLAYBOOK_UNHEALTHY: "The playbook cannot be read: no play starts, and open ones stand still.",
    PlayReason.TIER_NOT_COVERED: "The playbook has no steps for the account's tier.",
    PlayReason.ACCOUNT_MERGED: "The account was merged into another one.",
    PlayReason.PAUSED: "The playbook was paused when the play would have begun.",
    PlayReason.BREAKER: "The playbook began as many plays as its limit allows, and the breaker paused it.",
    PlayReason.RULE_PAUSED: "The rule was paused, and its plays were held or ended with it.",
    PlayReason.DISCARDED: "Somebody discarded the play while it was held.",
    PlayReason.HELD_TOO_LONG: "The play was held for longer than the playbook's held_for.",
    PlayReason.HELD_OUT: "The account belongs to the playbook's holdout, so the play touches nobody.",
    StepReason.WAIT_OVER: "The time of the wait was over.",
    StepReason.EVENT_CAME: "The event came that the play was waiting for.",
    StepReason.NO_DATE: "The date to wait for is missing or cannot be read; the play went on at once.",
    StepReason.DATE_PAST: "The moment to wait for was already past; the play went on at once.",
    StepReason.LEFT_OUT: "The step was skipped: the moment to wait for was past, or the date is missing.",
    StepReason.COLLECTED: "The step put an item on a digest, which goes out at its next time.",
    StepReason.CONDITION_TRUE: "The condition of the branch held.",
    StepReason.CONDITION_FALSE: "The condition of the branch did not hold.",
    HistoryReason.HELD: "The play was held, and did not begin yet.",
    HistoryReason.STARTED: "The play began.",
    HistoryReason.ACTION_MADE: "The step created an action.",
    HistoryReason.ACTION_DONE: "The action was carried out.",
    HistoryReason.GOAL_REACHED: "The playbook's goal was reached in time.",
    HistoryReason.APPROVED: "Somebody approved the mail.",
    HistoryReason.RETRIED: "Somebody had it sent again.",
    ActionReason.TASK_UPDATED: (
        "A task with the same account and key was open, so it was updated, and no second one was created."
    ),
    ActionReason.NO_RECIPIENT: "Nobody at the account fits the step's `to`.",
    ActionReason.NO_OWNER: "The step is for the owner, and the account has none with an address.",
    ActionReason.NO_ADDRESS: "The contact has no email address.",
    ActionReason.INVALID_ADDRESS: "The address of the recipient or of the owner is not valid; the history says which.",
    ActionReason.CONTACT_UNKNOWN: "The trigger's contact is not known at the account.",
    ActionReason.CONTACT_INACTIVE: "The contact is marked as not active.",
    ActionReason.UNVOUCHED: (
        "The contact is known only from calls with a `track` key, which anybody may have made. "
        "An update by another key or source, or an address in the account's `domains`, has to "
        "vouch for them."
    ),
    ActionReason.DUPLICATE_RECIPIENT: "Another contact with the same address got this email.",
    ActionReason.SUPPRESSED: "The address is unsubscribed or suppressed for this topic.",
    ActionReason.NOT_ON_LIST: "Mails go only to the addresses and domains that TOUCHLINE_MAIL_ONLY_TO names.",
    ActionReason.SENDING_OFF: "Sending is off; this waits until it is on again.",
    ActionReason.QUIET_HOURS: "The sending policy's hours or holidays do not let the mail begin.",
    ActionReason.CAPPED: "As many mails as a cap of the sending policy allows have begun in its time.",
    ActionReason.BEHIND: (
        "Another mail goes first: one before it in its play, or one to the same address or under the same cap."
    ),
    ActionReason.TOO_LATE: "The mail did not begin within the time that its step allows, or in time at all.",
    ActionReason.AWAITING_APPROVAL: "It waits until somebody approves it.",
    ActionReason.NOT_APPROVED: "Somebody rejected it, or nobody approved it in time.",
    ActionReason.PLAY_EXITED: "The play ended before this was sent.",
    ActionReason.TEMPLATE_UNKNOWN: "The template did not exist when the play started.",
    ActionReason.TEMPLATE_ERROR: "The template could not be filled in; see the detail.",
    ActionReason.TEMPLATE_LIMITS: "Filling in the template took too much time, memory or space.",
    ActionReason.ENDPOINT_UNKNOWN: "The endpoint does not exist any more.",
    ActionReason.ENDPOINT_DISABLED: (
        "The endpoint has failed for days and is disabled; its webhooks wait for 30 days until it is enabled."
    ),
    ActionReason.NO_TOKEN: "The endpoint's token server gave no access token.",
    ActionReason.ADDRESS_REFUSED: "The endpoint leads to an address that webhooks may not reach.",
    ActionReason.REJECTED: "The other side refused it for good.",
    ActionReason.BOUNCED: "The mail bounced: it was refused, or came back.",
    ActionReason.COMPLAINED: "Its reader marked the mail as spam; the address gets no more mail.",
    ActionReason.UNREACHABLE: "The other side could not be reached.",
    ActionReason.DEFERRED: "The other side answered that it should be tried again later.",
    ActionReason.TIMEOUT: "The other side did not answer in time.",
    ActionReason.MAYBE_DELIVERED: (
        "The connection broke when the message may already have been accepted, so it is not sent again."
    ),
    ActionReason.INTERRUPTED: "The process ended during the attempt.",
    ActionReason.ATTEMPTS_EXHAUSTED: "Every attempt of the schedule failed.",
}
