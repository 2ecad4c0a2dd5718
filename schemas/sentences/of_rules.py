"""What a rule says, in words, made from the document: the API, the command line and the console show the same. Pure.

sentence(rule)
Fires for an account when the number of ticket.opened events in 30 days is at least 10 for the high tier and 20 for the
low tier. It does not fire for the tech tier. Its cooldown is 30 days for the same account. …
"""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.rule import RuleIn
from schemas.sentences.conditions import in_words
from schemas.sentences.events import an_event, events, types_of
from schemas.sentences.wording import capital, exact, listed, span
from schemas.tiered import TIERS, TierMap
from schemas.trigger_kinds.absence import Absence
from schemas.trigger_kinds.becomes import Becomes
from schemas.trigger_kinds.date import Date
from schemas.trigger_kinds.threshold import Threshold
from schemas.trigger_kinds.trend import Trend
from schemas.when import KINDS, When

COMPARED = {"at_least": "at least", "above": "more than", "at_most": "at most", "below": "less than"}
MEASURED = {
    "count": "the number of",
    "sum": "the sum of {of} in",
    "avg": "the average of {of} in",
    "min": "the smallest {of} in",
    "max": "the largest {of} in",
    "distinct": "the number of different values of {of} in",
    "days": "the number of different days with",
}


def sentence(rule: RuleIn) -> str:
    """The rule in words: when it fires, for whom, what holds it back, its cooldown, and what it starts."""
    return " ".join(
        [
            f"Fires for {_subject(rule)} when {_when(rule.when)}.",
            *_left_out(rule),
            *_held_back(rule),
            _cooldown(rule),
            "It starts no playbook." if rule.playbook is None else f"It starts the playbook {rule.playbook}.",
        ]
    )


def tiered(value: Any, word: Callable[[Any], str]) -> str:
    """A tiered value: `10 for the high tier and 20 for the low tier`; `word` says each."""
    if not isinstance(value, TierMap):
        return word(value)
    given = {tier: one for tier in TIERS if (one := getattr(value, tier)) is not None}
    return listed(f"{word(one)} for the {tier} tier" for tier, one in given.items())


def _subject(rule: RuleIn) -> str:
    who = "a contact of an account" if rule.scope == "contact" else "an account"
    return who if rule.by is None else f"{who}, separately for each value of {rule.by},"


def _same(rule: RuleIn) -> str:
    who = "contact" if rule.scope == "contact" else "account"
    return f"the same {who}" if rule.by is None else f"the same {who} and value of {rule.by}"


# -- when it fires


def _when(when: When) -> str:
    if when.all_of is None:
        return CLAUSES[when.kind](when.body)
    members = [f"({n}) {CLAUSES[one.kind](one.body)}" for n, one in enumerate(when.all_of.of, 1)]
    within = span(when.all_of.within)
    if len(members) == 1:
        return f"this has held within {within}: {members[0]}"
    return f"all of these have held within {within}: {'; '.join(members[:-1])}; and {members[-1]}"


def _threshold(body: Threshold) -> str:
    parts = [
        f"{MEASURED[body.aggregate].format(of=body.of)} {types_of(body.event, '', 'events')}{_during(body)}"
    ]
    if body.where is not None:
        parts.append(f"counting only those where {in_words(body.where)}")
    if body.per is not None:
        parts.append(f"divided by {body.per}")
    apart = len(parts) > 1 or (body.since is not None and body.since.where is not None)
    measure = f"{', '.join(parts)}{',' if apart else ''}"
    return f"{measure} is {COMPARED[body.operator]} {tiered(getattr(body, body.operator), exact)}"


def _during(body: Threshold) -> str:
    parts = [f"in {span(body.within)}"] if body.within is not None else []
    if body.since is not None:
        until = f"within {span(body.since.for_)} after" if body.since.for_ is not None else "since"
        parts.append(f"{until} the last {events(body.since, one=True)}")
    return f" {' and '.join(parts) or 'in all'}"


def _absence(body: Absence) -> str:
    if body.fire == "on_return":
        return f"{an_event(body)} comes after a pause of at least {tiered(body.for_, span)}"
    if body.since is None:
        return f"{an_event(body)} is not followed by another within {tiered(body.for_, span)}"
    return f"{an_event(body.since)} is not followed by {an_event(body)} within {tiered(body.for_, span)}"


def _trend(body: Trend) -> str:
    what = "the number" if body.aggregate == "count" else f"the sum of {body.of}"
    of = "of" if body.aggregate == "count" else "in"
    by, side = (body.falls_by, "below") if body.falls_by is not None else (body.rises_by, "above")
    least = tiered(by, lambda share: f"{exact(share)}%")
    enough = f"{exact(body.min_baseline)} event{'' if body.min_baseline == 1 else 's'}"
    return (
        f"{what} {of} {events(body)} per day in the last {span(body.over)} is {side} that of the "
        f"{span(body.baseline)} before by at least {least}, provided that the time before holds at least {enough}"
    )


def _date(body: Date) -> str:
    side, away = ("before", body.before) if body.before is not None else ("after", body.after)
    again = ", and again at every further multiple of that time" if body.repeat else ""
    given = "late" in body.model_fields_set
    late = f", but not if that becomes known more than {span(body.late)} later" if given else ""
    if isinstance(away, TierMap):
        return f"the date in {body.attribute} is {tiered(away, lambda it: f'{span(it)} {_away(side)}')}{again}{late}"
    return f"it is {span(str(away))} {side} the date in {body.attribute}{again}{late}"


def _away(side: str) -> str:
    return "ahead" if side == "before" else "past"


def _becomes(body: Becomes) -> str:
    return f"an update makes it true that {in_words(body.is_)}"


CLAUSES: Mapping[str, Callable[[Any], str]] = {
    "threshold": _threshold,
    "absence": _absence,
    "trend": _trend,
    "date": _date,
    "becomes": _becomes,
}
if missing := KINDS.keys() - CLAUSES.keys():
    raise LookupError(f"trigger kinds without words: {', '.join(sorted(missing))}")


# -- what holds it back


def _left_out(rule: RuleIn) -> list[str]:
    """The tiers that a member says nothing for."""
    out = [tier for tier in TIERS if not all(one.body.covers(tier) for one in rule.when.members)]
    if not out:
        return []
    return [f"It does not fire for the {listed(out, 'or')} tier{'s' if len(out) > 1 else ''}."]


def _held_back(rule: RuleIn) -> list[str]:
    said = []
    if rule.where is not None:
        said.append(f"It fires only if {in_words(rule.where)}.")
    if rule.unless is not None:
        said.append(f"It does not fire if {_threshold(rule.unless.threshold)}.")
    if rule.alive is not None:
        said.append(
            f"While {types_of(rule.alive.event, 'no', 'event')} of any account has come for {span(rule.alive.within)}, "
            "it decides nothing."
        )
    return said


def _cooldown(rule: RuleIn) -> str:
    if rule.cooldown is not None:
        return f"{_rests(rule.cooldown, rule)}."
    spans: dict[str, list[str]] = {}
    for tier in TIERS:
        if all(one.body.covers(tier) for one in rule.when.members):
            spans.setdefault(rule.when.default_cooldown(tier), []).append(tier)
    if len(spans) < 2:
        return f"{_rests(next(iter(spans), '0s'), rule)}."
    parts = [
        f"for the {listed(tiers)} tier{'s' if len(tiers) > 1 else ''}, {capital(_rests(one, rule), small=True)}"
        for one, tiers in spans.items()
    ]
    return f"{capital('; '.join(parts))}."


def _rests(cooldown: str, rule: RuleIn) -> str:
    if cooldown == "once":
        return f"It fires once and never again for {_same(rule)}"
    if cooldown[:-1].strip("0") == "":
        return "It has no cooldown"
    return f"Its cooldown is {span(cooldown)} for {_same(rule)}"
