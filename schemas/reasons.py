"""The closed set of reasons: why a rule fired or did not. Plays and actions have theirs beside it."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a rule fired or did not fire, as triggers and `explain` give it."""

    THRESHOLD_REACHED = "threshold_reached"
    ABSENT = "absent"
    RETURNED = "returned"
    TREND_FELL = "trend_fell"
    TREND_ROSE = "trend_rose"
    DATE_REACHED = "date_reached"
    BECAME_TRUE = "became_true"
    ALL_HELD = "all_held"
    BY_HAND = "by_hand"
    TIER_NOT_COVERED = "tier_not_covered"
    BELOW_THRESHOLD = "below_threshold"
    ABOVE_THRESHOLD = "above_threshold"
    NO_VALUE = "no_value"
    NOT_SINCE = "not_since"
    PER_MISSING = "per_missing"
    NOT_KNOWN_LONG_ENOUGH = "not_known_long_enough"
    BASELINE_TOO_SMALL = "baseline_too_small"
    CHANGE_TOO_SMALL = "change_too_small"
    NOT_ARMED = "not_armed"
    DEADLINE_AHEAD = "deadline_ahead"
    NOT_AWAY_LONG_ENOUGH = "not_away_long_enough"
    NO_DATE = "no_date"
    DATE_AHEAD = "date_ahead"
    DATE_PAST = "date_past"
    CONDITION_FALSE = "condition_false"
    ALREADY_TRUE = "already_true"
    MEMBER_NOT_HELD = "member_not_held"
    NOT_MATCHING = "not_matching"
    ALREADY_FIRED = "already_fired"
    LOOP = "loop"
    SOURCE_SILENT = "source_silent"
    COOLDOWN = "cooldown"
    WHERE_FALSE = "where_false"
    UNLESS_HOLDS = "unless_holds"
    NO_CONTACT = "no_contact"
    NO_KEY = "no_key"
    HISTORICAL = "historical"
    LATE = "late"
    DUPLICATE = "duplicate"
    ERASED = "erased"
    UNKNOWN_CONTACT = "unknown_contact"
    UNKNOWN_ACCOUNT = "unknown_account"
    ACCOUNT_MERGED = "account_merged"
    RULE_DRAFT = "rule_draft"
    RULE_PAUSED = "rule_paused"
    RULE_UNKNOWN = "rule_unknown"


EXPLAINED: dict[Reason, str] = {
    Reason.THRESHOLD_REACHED: "The value of the window satisfies the threshold of the account's tier.",
    Reason.ABSENT: "No matching event came within the time allowed.",
    Reason.RETURNED: "A matching event came after at least that long without one.",
    Reason.TREND_FELL: "The recent rate lies below the baseline's by at least the given share.",
    Reason.TREND_ROSE: "The recent rate lies above the baseline's by at least the given share.",
    Reason.DATE_REACHED: "The moment reckoned from the date has come.",
    Reason.BECAME_TRUE: "An update turned the condition true.",
    Reason.ALL_HELD: "Every member held within the given time.",
    Reason.BY_HAND: "Somebody started it; the subject need not have matched.",
    Reason.TIER_NOT_COVERED: "The rule gives no value for the account's tier.",
    Reason.BELOW_THRESHOLD: "The value of the window is too small.",
    Reason.ABOVE_THRESHOLD: "The value of the window is too large.",
    Reason.NO_VALUE: "The window is empty, so that there is no average, minimum or maximum.",
    Reason.NOT_SINCE: "The event that counting starts from has not come yet.",
    Reason.PER_MISSING: "The account attribute to divide by is missing or not above zero.",
    Reason.NOT_KNOWN_LONG_ENOUGH: "The account is not known for as long as the window needs.",
    Reason.BASELINE_TOO_SMALL: "Too few events (or a value of zero) in the baseline.",
    Reason.CHANGE_TOO_SMALL: "The rate changed by less than the given share.",
    Reason.NOT_ARMED: "Nothing to wait for: no event has armed the absence, or it has been decided already.",
    Reason.DEADLINE_AHEAD: "The deadline has not come yet.",
    Reason.NOT_AWAY_LONG_ENOUGH: "The event before came less than that long ago.",
    Reason.NO_DATE: "The attribute holds no date.",
    Reason.DATE_AHEAD: "The moment reckoned from the date has not come yet.",
    Reason.DATE_PAST: "The moment reckoned from the date is over: decided already, or known too late.",
    Reason.CONDITION_FALSE: "The condition is not true.",
    Reason.ALREADY_TRUE: "The condition is true, and was before the newest update.",
    Reason.MEMBER_NOT_HELD: "At least one member has not held within the given time.",
    Reason.NOT_MATCHING: "It was to be started for those that match, and this subject did not any more.",
    Reason.ALREADY_FIRED: "This event has fired this rule before.",
    Reason.LOOP: "It would answer what Touchline itself had done, for the third time in a row; it stops there.",
    Reason.SOURCE_SILENT: "The source of its events is silent, or was, so that nobody knows what did not happen.",
    Reason.COOLDOWN: "The last trigger for this subject is too recent (or the rule fires once).",
    Reason.WHERE_FALSE: "The rule's own condition does not hold.",
    Reason.UNLESS_HOLDS: "What `unless` names holds the rule back.",
    Reason.NO_CONTACT: "The rule counts per contact and the event names none.",
    Reason.NO_KEY: "The rule counts by a value that the event does not carry.",
    Reason.HISTORICAL: "A backfilled event fires nothing.",
    Reason.LATE: "The event is more than seven days behind the newest of its account.",
    Reason.DUPLICATE: "The event has been counted before.",
    Reason.ERASED: "Touchline tells of somebody who was erased meanwhile; nothing is made of it.",
    Reason.UNKNOWN_CONTACT: "Nothing has been heard of this contact of the account.",
    Reason.UNKNOWN_ACCOUNT: "Nothing has been heard of this account.",
    Reason.ACCOUNT_MERGED: "The account was merged into another one, for which its later events count.",
    Reason.RULE_DRAFT: "The rule is a draft.",
    Reason.RULE_PAUSED: "The rule is paused.",
    Reason.RULE_UNKNOWN: "There is no such rule in force.",
}
if missing := set(Reason) - EXPLAINED.keys():
    raise LookupError(f"reasons without an explanation: {', '.join(sorted(missing))}")
