"""Words what a rule counts and compares: "12 ticket.opened events in 30 days; 10 are needed". Pure."""

from schemas.rule import Alive
from schemas.sentences.wording import counted, listed, moment, number, span
from schemas.tiered import TierMap
from schemas.trigger_kinds.base import Selector
from schemas.trigger_kinds.threshold import Threshold
from schemas.trigger_kinds.trend import Trend

Number = int | float
MOST_NAMED = 3  # event types
_COUNTS = ("count", "distinct", "days")


def events(selector: Selector, *, one: bool = False, whose: str = "") -> str:
    """The events that a selector takes: `ticket.opened events of contact ann`."""
    types = selector.event if isinstance(selector.event, list) else [selector.event]
    named = "" if types == ["*"] or len(types) > MOST_NAMED else f"{listed(types, 'or')} "
    matching = "matching " if selector.where is not None else ""
    return f"{matching}{named}event{'' if one else 's'}{whose}"


def heartbeat(alive: Alive) -> str:
    """An event that shows that the source of a rule works."""
    types = alive.event if isinstance(alive.event, list) else [alive.event]
    return "event" if types == ["*"] or len(types) > MOST_NAMED else f"{listed(types, 'or')} event"


def a(noun: str) -> str:
    """The word with its article."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def during(body: Threshold, to: int | str | None = None) -> str:
    """The window of a threshold: ` in 30 days`, or ` in the 30 days to 31 January 2026, 09:00 UTC`."""
    end = f"to {moment(to)}" if to is not None else ""
    parts = [f"in the {span(body.within)} {end}" if end else f"in {span(body.within)}"] if body.within else []
    if body.since is not None:
        until = f"within {span(body.since.for_)} after" if body.since.for_ is not None else "since"
        parts.append(f"{until} the last {events(body.since, one=True)}")
    return " " + (", ".join(parts) or f"in all{f' up {end}' if end else ''}")


def measured(
    body: Threshold,
    value: Number,
    whose: str,
    threshold: Number,
    *,
    exact: bool = True,
    to: int | str | None = None,
) -> str:
    """The value of a threshold as a clause: what was counted (up to `to`), and how much of it there is."""
    text = number(value, threshold) if exact else f"at least {number(value, threshold)}"
    of, over = body.of, during(body, to)
    noun = events(body, whose=whose)
    if body.per is not None:
        return f"{_what(body, noun)}{over}, divided by {body.per}, is {text}"
    if body.aggregate == "count" and value == 0:
        return f"no {events(body, one=True, whose=whose)}{over}"
    if body.aggregate == "count":
        return f"{text} {events(body, one=value == 1, whose=whose)}{over}"
    if body.aggregate == "distinct":
        return f"{text} different value{'' if value == 1 else 's'} of {of} in {noun}{over}"
    if body.aggregate == "days":
        return f"{text} different day{'' if value == 1 else 's'} with {noun}{over}"
    return f"{_what(body, noun)}{over} is {text}"


def _what(body: Threshold, noun: str) -> str:
    """What is measured, as a subject."""
    if body.aggregate == "count":
        return f"the number of {noun}"
    if body.aggregate == "days":
        return f"the number of days with {noun}"
    if body.aggregate == "distinct":
        return f"the number of different values of {body.of} in {noun}"
    word = {"sum": "sum", "avg": "average", "min": "smallest value", "max": "largest value"}[body.aggregate]
    return f"the {word} of {body.of} in {noun}"


def needed(body: Threshold, threshold: Number, tier: str | None) -> str:
    """What it is compared with: `10 are needed for the high tier`."""
    text, many = number(threshold), threshold != 1
    things = body.aggregate in _COUNTS and body.per is None
    if body.operator in ("at_least", "above"):
        more = f"more than {text}" if body.operator == "above" else text if things else f"{text} or more"
        said = f"{more} {'are' if things and many else 'is'} needed"
    else:
        less = ("fewer", "make") if things else ("less", "makes")
        limit = f"{text} or {less[0]}" if body.operator == "at_most" else f"{less[0]} than {text}"
        said = f"{limit} {less[1]} the rule fire"
    return said + for_tier(getattr(body, body.operator), tier)


def for_tier(value: object, tier: str | None) -> str:
    """` for the high tier`, where the tiers have values of their own."""
    return f" for the {tier} tier" if isinstance(value, TierMap) and tier is not None else ""


def compared(body: Trend, figures: dict[str, Number], to: int | str | None = None) -> str:
    """The two figures of a trend: `2 login events in the last 7 days against 40 in the 28 days before`.

    No clause that begins a sentence begins with a path or a type: they are written as they are.
    """
    recent, before = figures["recent"], figures["baseline"]
    recently = (
        f"in the {span(body.over)} to {moment(to)}" if to is not None else f"in the last {span(body.over)}"
    )
    spans = f"{recently} against {number(before)} in the {span(body.baseline)} before"
    if body.aggregate == "sum":
        return f"the sum of {body.of} in {events(body)} is {number(recent)} {spans}"
    return f"{number(recent)} {events(body, one=recent == 1)} {spans}"


def changed(change: Number) -> str:
    """How the rate moved, from the change in the direction that the rule looks at, in per cent."""
    return f"{number(round(abs(change), 1))}%"


def least(body: Trend) -> str:
    """How many events the baseline must hold."""
    return counted(body.min_baseline, "event")
