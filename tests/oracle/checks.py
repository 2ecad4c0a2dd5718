"""Whether one member of a rule holds at one moment, worked out from all that has arrived."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle import windows
from tests.oracle.conditions import exact, lookup
from tests.oracle.history import Arrived
from tests.oracle.profile import contact_view
from tests.oracle.times import attribute_moment, shifted, span
from tests.oracle.windows import Scene, tiered

JSON = dict[str, Any]
MIN_BASELINE = 10


@dataclass
class Hold:
    """A member held at `at`: of an event, or of a moment (`event` is then the one that armed it)."""

    at: int
    event: Arrived | None
    moment: bool
    value: Fraction | None = None
    threshold: Any = None
    evidence: list[str] = field(default_factory=list)
    figures: dict[str, Fraction] | None = None


def measure(scene: Scene, body: JSON, at: int, *, moment: bool) -> tuple[list[Arrived], Fraction | None]:
    """The window that ends at `at` (open there for a moment) and its value, `per` included."""
    end = at - 1 if moment else at
    events = windows.window(scene, body, end)
    if body.get("within"):
        events = windows.newer_than(events, at - span(body["within"]))
    return events, windows.divided(body, windows.aggregate(body, events), scene.view)


def threshold(scene: Scene, at: int, event: Arrived | None) -> Hold | None:
    """A threshold, checked at an event or (event None) at a daily tick."""
    body = scene.body
    operator = windows.operator_of(body)
    limit = tiered(body[operator], scene.tier)
    if limit is None:
        return None
    if operator in ("at_most", "below") and not scene.known_for(at, span(body["within"])):
        return None
    events, value = measure(scene, body, at, moment=event is None)
    if value is None or not windows.compare(operator, value, limit):
        return None
    return Hold(at, event, event is None, value, limit, [e.id for e in events[-20:]])


def held_back(scene: Scene, at: int, *, moment: bool) -> bool:
    """Whether the rule's `unless` holds, counted for the same account or contact."""
    if not scene.rule.get("unless"):
        return False
    body = scene.rule["unless"]["threshold"]
    limit = tiered(body[windows.operator_of(body)], scene.tier)
    if limit is None:
        return False
    without_by = {**scene.rule, "by": None}
    subject = (scene.subject[0], None)
    start = scene.unless_start
    plain = Scene(scene.account, scene.view, without_by, {}, subject, start, start, scene.built)
    _, value = measure(plain, body, at, moment=moment)
    return value is not None and windows.compare(windows.operator_of(body), value, limit)


def trend(scene: Scene, at: int) -> Hold | None:
    """The rate of (at - over, at) against that of the baseline just before it."""
    body = scene.body
    over, baseline = span(body["over"]), span(body["baseline"])
    operator = "falls_by" if "falls_by" in body else "rises_by"
    limit = tiered(body[operator], scene.tier)
    if limit is None or not scene.known_for(at, over + baseline):
        return None
    events = windows.window(scene, body, at - 1)
    recent_events = windows.newer_than(events, at - over)
    old_events = [e for e in windows.newer_than(events, at - over - baseline) if e.time <= at - over]
    recent, old = windows.aggregate(body, recent_events), windows.aggregate(body, old_events)
    assert recent is not None
    assert old is not None
    if len(old_events) < body.get("min_baseline", MIN_BASELINE) or old <= 0:
        return None
    share = exact(limit) / 100
    bound = (old / baseline) * (1 - share if operator == "falls_by" else 1 + share)
    holds = recent / over <= bound if operator == "falls_by" else recent / over >= bound
    if not holds:
        return None
    figures = {"recent": recent, "baseline": old}
    change = (recent / over) / (old / baseline) * 100 - 100
    value = -change if operator == "falls_by" else change
    return Hold(at, None, True, value, limit, [e.id for e in recent_events[-20:]], figures)


def arms(scene: Scene) -> dict[int, Arrived]:
    """Every time at which the subject's absence was armed, with the event that came first at it."""
    body = scene.body
    selector, since = (body["since"], True) if "since" in body else (body, False)
    found: dict[int, Arrived] = {}
    for event in windows.counted(scene, selector, since=since):
        found.setdefault(event.time, event)
    return found


def absence(scene: Scene, arm: int, event: Arrived, at: int, *, past: bool) -> Hold | None:
    """An absence deadline `at`; `past`: it was past already, so anything later than the arm ends it."""
    body = scene.body
    matching = [e.time for e in windows.counted(scene, body)]
    ended = [time for time in matching if time > arm or ("since" in body and time == arm)]
    ended += [time for time in arms(scene) if time > arm]
    if any(past or time < at for time in ended):
        return None
    return Hold(at, event, True, None, tiered(body["for"], scene.tier), [event.id])


def on_return(scene: Scene, event: Arrived) -> Hold | None:
    """An event that is the subject's newest and at least `for` later than the one before it."""
    gap = tiered(scene.body["for"], scene.tier)
    if gap is None:
        return None
    others = [e for e in windows.counted(scene, scene.body) if e is not event]
    if not others or event.time - others[-1].time < span(gap):
        return None
    return Hold(event.time, event, False, None, gap, [event.id])


def date_span(scene: Scene) -> str | None:
    """How long before or after its date a date rule fires in the account's tier."""
    body = scene.body
    duration: str | None = tiered(body["before" if "before" in body else "after"], scene.tier)
    return duration


def date_moments(scene: Scene, floor: int, until: int) -> list[tuple[str, int]]:
    """(value, moment) of every moment of a date rule from `floor` to `until`."""
    body = scene.body
    duration = date_span(scene)
    subject_view = contact_view(scene.view, scene.subject[0])
    value = lookup(body["attribute"], {"account": scene.view, "contact": subject_view})
    base = attribute_moment(value, scene.view.get("timezone"))
    if duration is None or base is None:
        return []
    sign = -1 if "before" in body else 1
    found = []
    for n in itertools.count(1):
        at = shifted(base, duration, sign * n)
        if floor <= at <= until:
            found.append((str(value), at))
        beyond = at > until if sign > 0 else at < floor
        if beyond or not body.get("repeat"):
            break
    return found


def ticks(member: JSON) -> bool:
    """Whether the member is decided at the daily tick."""
    kind, body = windows.kind_of(member)
    return kind == "trend" or (kind == "threshold" and windows.operator_of(body) in ("at_most", "below"))


def rechecked(scene: Scene, event: Arrived) -> list[Arrived]:
    """The event itself and the later ones whose window it is in, in time order (then of arrival)."""
    body = scene.body
    later = [
        e
        for e in windows.counted(scene, body)
        if e.time > event.time and not e.historical and e.seq >= scene.built
    ]
    if body.get("within"):
        later = [e for e in later if e.time < event.time + span(body["within"])]
    return [event, *later]
