"""Why a rule fires or does not, as a sentence with its numbers. Pure; every reason has one.

    sentence(Reason.BELOW_THRESHOLD, Case(rule=rule, value=7, threshold=10, tier="high"))
    7 ticket.opened events in 30 days; 10 are needed for the high tier.

Those of plays and actions stand in `play_sentences`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.conditions.model import paths_of
from schemas.reasons import EXPLAINED, Reason
from schemas.rule import cooldown_span
from schemas.sentences.measures import (
    a,
    changed,
    compared,
    during,
    events,
    for_tier,
    heartbeat,
    least,
    measured,
    needed,
)
from schemas.sentences.wording import listed, moment, number, span
from schemas.when import AllOf

Time = int | str  # microseconds, or RFC 3339
_ABOUT = ("account", "contact", "key", "tier", "value", "threshold", "figures", "at")


class RuleCase(msgspec.Struct, kw_only=True, frozen=True):
    """What a reason is about. `member`: which condition of an `all_of`. `fired`: it is of a trigger, not of now."""

    rule: Any = None  # its `RuleIn`; None: a draft, or one that another release saved
    member: int = 0
    fired: bool = False
    account: str | None = None
    contact: str | None = None
    key: str | None = None
    tier: str | None = None
    value: int | float | None = None
    value_exact: bool = True
    threshold: Any = None
    figures: dict[str, int | float] | None = None
    at: Time | None = None  # of the trigger; in an explanation the moment that is being waited for
    armed: Time | None = None  # when the wait of an absence began
    until: Time | None = None  # of the cooldown
    into: str | None = None  # the account that goes on for a merged one
    silent_since: Time | None = None  # the last heartbeat, if the source is silent now or may be
    unguarded: bool = False  # the rule has `alive`, and no such event has ever come

    @property
    def body(self) -> Any:
        """The condition in question."""
        members = self.rule.when.members
        return members[min(self.member, len(members) - 1)].body

    @property
    def whose(self) -> str:
        """The subject, where it is not the whole account."""
        contact = f" of contact {self.contact}" if self.rule.scope == "contact" and self.contact else ""
        return contact + (f" with {self.rule.by} {self.key}" if self.rule.by and self.key is not None else "")


def sentence(reason: Reason, case: RuleCase) -> str:
    """What the reason means here."""
    text = SENTENCES[reason](case) if case.rule is not None or reason in RULELESS else _explained(reason)
    return f"{text[0].upper()}{text[1:]}."


def verdict(
    reasons: Sequence[Reason],
    case: RuleCase,
    *,
    fires: bool,
    last: Time | None = None,
    tick: Time | None = None,
) -> str:
    """Why a rule fires now or does not, for people: when it last did comes first, then each reason.

    `tick`: when it is decided. Without one a threshold that fires does so at the next event that it counts.
    """
    said = [f"It last fired on {moment(last)}."] if last is not None else []
    said += [sentence(reason, case) for reason in reasons]
    if fires and tick is not None:
        said.append(f"If nothing more comes until then, it fires on {moment(tick)}.")
    elif fires and reasons[0] is Reason.THRESHOLD_REACHED:
        said.append("The next one makes the rule fire.")
    if case.unguarded:
        said.append(
            f"No {heartbeat(case.rule.alive)} has ever come, so a silent source would not hold the rule back."
        )
    return " ".join(said)


def of_trigger(trigger: dict[str, Any], rule: Any) -> str | None:
    """Why a trigger (as JSON) fired, by the version of its rule; None for a reason that this release does not know."""
    if trigger["reason"] not in set(Reason):
        return None
    event = trigger.get("event") or {}
    about: dict[str, Any] = {name: trigger.get(name) for name in _ABOUT}
    exact = trigger.get("value_exact", True)
    case = RuleCase(rule=rule, fired=True, value_exact=exact, armed=event.get("time"), **about)
    return sentence(Reason(trigger["reason"]), case)


# -- thresholds


def _reached(case: RuleCase) -> str:
    if case.value is None:
        return _explained(Reason.THRESHOLD_REACHED)
    limit = needed(case.body, case.threshold, case.tier)
    body, to = case.body, case.at if case.fired else None
    value = measured(body, case.value, case.whose, case.threshold, exact=case.value_exact, to=to)
    return f"{value}; {limit}"


def _by_hand(case: RuleCase) -> str:
    when = f" on {moment(case.at)}" if case.at is not None else ""
    return f"somebody started it by hand{when}{f' for{case.whose[3:]}' if case.whose.startswith(' of') else case.whose}"


def _no_value(case: RuleCase) -> str:
    word = {"avg": "average", "min": "smallest", "max": "largest"}.get(case.body.aggregate, "value")
    noun = events(case.body, one=True, whose=case.whose)
    return f"no {noun}{during(case.body)}, so there is no {word} of {case.body.of}"


def _not_since(case: RuleCase) -> str:
    return f"no {events(case.body.since, one=True)} has come yet, and only what comes after one counts"


def _per_missing(case: RuleCase) -> str:
    return f"there is nothing to divide by: {case.body.per} is missing or not above zero"


def _not_known(case: RuleCase) -> str:
    body = case.body
    spans = [body.within] if hasattr(body, "within") else [body.over, body.baseline]
    together = " and ".join(span(one) for one in spans if one is not None)
    return f"the account is not known for long enough yet: the rule looks back over {together}"


# -- trends


def _trend(case: RuleCase) -> str:
    body, falls = case.body, case.body.falls_by is not None
    share = f"{number(case.threshold)}%"
    tier = for_tier(body.falls_by if falls else body.rises_by, case.tier)
    if case.figures is None or case.value is None:  # a trigger of an older release
        return f"the rate {'fell' if falls else 'rose'}; {share} is needed{tier}"
    to = case.at if case.fired else None
    figures = f"{compared(body, case.figures, to)}: the rate"
    if case.value > 0:
        return f"{figures} {'fell' if falls else 'rose'} by {changed(case.value)}; {share} is needed{tier}"
    moved = f"{'rose' if falls else 'fell'} by {changed(case.value)}" if case.value else "is the same"
    return f"{figures} {moved}; it has to {'fall' if falls else 'rise'} by {share}{tier}"


def _small_baseline(case: RuleCase) -> str:
    body = case.body
    before = f"in the {span(body.baseline)} before the last {span(body.over)}"
    if body.aggregate == "count" and case.figures is not None:
        had = number(case.figures["baseline"])
        return f"only {had} {events(body)} {before}; {number(body.min_baseline)} are needed to compare with"
    above = f" with a {body.of} above zero" if body.aggregate == "sum" else ""
    return f"too little to compare with {before}: {least(body)}{above} are needed"


# -- absences


def _absent(case: RuleCase) -> str:
    since, wait = case.body.since, span(str(case.threshold))
    noun = events(case.body, one=True, whose=case.whose)
    if case.armed is None:
        return f"no {noun} came for {wait}"
    if since is None:
        return f"no {noun} came for {wait} after the one on {moment(case.armed)}"
    return f"no {noun} came within {wait} after the {events(since, one=True)} on {moment(case.armed)}"


def _returned(case: RuleCase) -> str:
    noun, away = events(case.body, one=True, whose=case.whose), span(str(case.threshold))
    if case.fired:
        return f"{a(noun)} came after {away} or more without one"
    last = f" since {moment(case.armed)}" if case.armed is not None else ""
    return f"no {noun} has come{last}, for {away} or more: the next one makes the rule fire"


def _not_armed(case: RuleCase) -> str:
    noun = events(case.body, one=True, whose=case.whose)
    if case.armed is None:
        return f"no {events(case.body.since or case.body, one=True)} has come yet, so nothing is being waited for"
    return f"the wait that began on {moment(case.armed)} is over: {a(noun)} came, or it was decided then"


def _deadline_ahead(case: RuleCase) -> str:
    noun = events(case.body, one=True, whose=case.whose)
    since = f" since {moment(case.armed)}" if case.armed is not None else ""
    return f"no {noun} has come{since}; the rule fires on {_when(case.at)} if none comes until then"


def _not_away(case: RuleCase) -> str:
    last = f"came on {moment(case.armed)}" if case.armed is not None else "has come"
    noun, away = events(case.body, one=True, whose=case.whose), span(str(case.threshold))
    return f"the last {noun} {last}; the next one makes the rule fire only after {away} or more without one"


# -- dates and conditions


def _date(case: RuleCase) -> str:
    body = case.body
    side = "before" if body.before is not None else "after"
    return f"{span(str(case.threshold))} {side} {body.attribute}"


def _date_reached(case: RuleCase) -> str:
    return f"the moment {_date(case)} came" + (f" on {moment(case.at)}" if case.at is not None else "")


def _date_ahead(case: RuleCase) -> str:
    return f"the moment {_date(case)} is {_when(case.at)}; the rule fires then"


def _no_date(case: RuleCase) -> str:
    return f"there is no date in {case.body.attribute}"


def _became(case: RuleCase) -> str:
    return f"an update made {_condition(case)} true" + _on(case)


def _condition(case: RuleCase) -> str:
    paths = sorted(paths_of(case.body.is_))
    return f"the condition on {listed(paths)}" if paths else "the condition"


def _all_held(case: RuleCase) -> str:
    joint = case.rule.when.all_of
    within = span(joint.within)
    close = f"the {within} to {moment(case.at)}" if case.at is not None else within
    return f"{_conditions(joint)} held within {close}"


def _not_all_held(case: RuleCase) -> str:
    joint = case.rule.when.all_of
    return f"it needs that {_conditions(joint)} hold within {span(joint.within)}"


def _conditions(joint: AllOf) -> str:
    many = len(joint.of)
    return "the condition" if many == 1 else "both conditions" if many == 2 else f"all {many} conditions"


# -- what holds a rule back


def _cooldown(case: RuleCase) -> str:
    if case.rule.cooldown == "once" or case.until is None:
        return "it fires only once for the same " + (
            "value" if case.rule.by else "contact" if case.rule.scope == "contact" else "account"
        )
    whole = cooldown_span(case.rule)
    return f"it cannot fire again before {moment(case.until)}" + (
        f": its cooldown is {span(whole)}" if whole is not None else ""
    )


def _silent(case: RuleCase) -> str:
    alive = case.rule.alive
    if alive is None:
        return _explained(Reason.SOURCE_SILENT)
    noun, within = heartbeat(alive), span(alive.within)
    if case.silent_since is not None:
        return f"no {noun} of any account has come since {moment(case.silent_since)}; the rule waits for the next one"
    return (
        f"no {noun} of any account came for more than {within}, so nobody knows what did not happen meanwhile"
    )


def _where(case: RuleCase) -> str:
    paths = sorted(paths_of(case.rule.where)) if case.rule.where is not None else []
    return f"the rule's own condition{f' on {listed(paths)}' if paths else ''} does not hold"


def _unless(case: RuleCase) -> str:
    unless = case.rule.unless
    if unless is None:
        return _explained(Reason.UNLESS_HOLDS)
    body = unless.threshold
    return f"what `unless` counts, {events(body)}{during(body)}, holds it back"


def _tier(case: RuleCase) -> str:
    return f"the rule gives no value for the {case.tier} tier"


def _no_contact(_: RuleCase) -> str:
    return "the rule counts for each contact, and none is named"


def _no_key(case: RuleCase) -> str:
    return f"the rule counts for each value of {case.rule.by}, and none is named"


def _unknown(case: RuleCase) -> str:
    return f"nothing has been heard of the account {case.account}"


def _on(case: RuleCase) -> str:
    return f" on {moment(case.at)}" if case.at is not None else ""


def _when(at: Time | None) -> str:
    return "a day to come" if at is None else moment(at)


def _explained(reason: Reason) -> str:
    return EXPLAINED[reason].removesuffix(".")


def _plain(reason: Reason) -> Callable[[RuleCase], str]:
    text = _explained(reason)  # now: one that lacks its explanation fails here
    return lambda _: text


SENTENCES: dict[Reason, Callable[[RuleCase], str]] = {
    Reason.THRESHOLD_REACHED: _reached,
    Reason.BELOW_THRESHOLD: _reached,
    Reason.ABOVE_THRESHOLD: _reached,
    Reason.NO_VALUE: _no_value,
    Reason.NOT_SINCE: _not_since,
    Reason.PER_MISSING: _per_missing,
    Reason.NOT_KNOWN_LONG_ENOUGH: _not_known,
    Reason.TREND_FELL: _trend,
    Reason.TREND_ROSE: _trend,
    Reason.CHANGE_TOO_SMALL: _trend,
    Reason.BASELINE_TOO_SMALL: _small_baseline,
    Reason.ABSENT: _absent,
    Reason.RETURNED: _returned,
    Reason.NOT_ARMED: _not_armed,
    Reason.DEADLINE_AHEAD: _deadline_ahead,
    Reason.NOT_AWAY_LONG_ENOUGH: _not_away,
    Reason.DATE_REACHED: _date_reached,
    Reason.DATE_AHEAD: _date_ahead,
    Reason.DATE_PAST: lambda case: (
        f"the moment {_date(case)} is over: it was decided then, or was known too late"
    ),
    Reason.NO_DATE: _no_date,
    Reason.BECAME_TRUE: _became,
    Reason.CONDITION_FALSE: lambda case: (
        f"{_condition(case)} does not hold; the rule fires when an update makes it true"
    ),
    Reason.ALREADY_TRUE: lambda case: (
        f"{_condition(case)} holds; the rule fires only when an update makes it true"
    ),
    Reason.ALL_HELD: _all_held,
    Reason.BY_HAND: _by_hand,
    Reason.NOT_MATCHING: _plain(Reason.NOT_MATCHING),
    Reason.MEMBER_NOT_HELD: _not_all_held,
    Reason.COOLDOWN: _cooldown,
    Reason.ALREADY_FIRED: _plain(Reason.ALREADY_FIRED),
    Reason.LOOP: _plain(Reason.LOOP),
    Reason.SOURCE_SILENT: _silent,
    Reason.WHERE_FALSE: _where,
    Reason.UNLESS_HOLDS: _unless,
    Reason.TIER_NOT_COVERED: _tier,
    Reason.NO_CONTACT: _no_contact,
    Reason.NO_KEY: _no_key,
    Reason.UNKNOWN_CONTACT: _plain(Reason.UNKNOWN_CONTACT),
    Reason.UNKNOWN_ACCOUNT: _unknown,
    Reason.ACCOUNT_MERGED: lambda case: (
        f"the account was merged into {case.into}, for which its later events count"
    ),
    Reason.HISTORICAL: _plain(Reason.HISTORICAL),
    Reason.LATE: _plain(Reason.LATE),
    Reason.DUPLICATE: _plain(Reason.DUPLICATE),
    Reason.ERASED: _plain(Reason.ERASED),
    Reason.RULE_DRAFT: lambda _: "the rule is a draft: it counts nothing and fires nothing",
    Reason.RULE_PAUSED: lambda _: "the rule is paused: it counts, but does not fire",
    Reason.RULE_UNKNOWN: _plain(Reason.RULE_UNKNOWN),
}
RULELESS = frozenset({  # whatever the rule says
    Reason.RULE_DRAFT, Reason.RULE_UNKNOWN, Reason.UNKNOWN_ACCOUNT, Reason.ACCOUNT_MERGED,
})  # fmt: skip
if missing := set(Reason) - SENTENCES.keys():
    raise LookupError(f"reasons without a sentence: {', '.join(sorted(missing))}")
