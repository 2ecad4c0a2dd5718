"""threshold: the value of a window at each event that may complete it, or at the daily tick."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.oracle import rule_strategies, windows
from tests.oracle.conditions import exact
from tests.oracle.history import Arrived
from tests.oracle.kinds.base import Hold, Kind, Part, Standing, Story
from tests.oracle.times import span
from tests.oracle.windows import Scene, Subject, tiered

JSON = dict[str, Any]


class Threshold(Kind):
    """An aggregate that is compared with a number."""

    restarts_on = ("event", "where", "aggregate", "of", "since")
    restarts_if_longer = ("within",)
    fires = Story(
        {"event": "tick", "within": "1d", "at_least": 2},
        (("01-01T09:00", "tick", {}), ("01-02T08:59", "tick", {})),
        "01-05T00:00",
    )
    does_not_fire = fires._replace(events=(("01-01T09:00", "tick", {}), ("01-02T09:00", "tick", {})))
    has_value = True
    has_evidence = True

    def rules(self) -> st.SearchStrategy[JSON]:
        return rule_strategies.rising()

    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        if body.get("within"):
            return str(body["within"])
        if body.get("aggregate", "count") == "count" and not body.get("per"):
            operator = windows.operator_of(body)
            limit = tiered(body[operator], tier)
            if (operator, limit) in {("at_least", 1), ("above", 0)}:
                return "0s"
        return "once"

    def ticks(self, body: JSON) -> bool:
        return windows.operator_of(body) in ("at_most", "below")

    def looks_at(self, body: JSON, at: int) -> list[tuple[int, int]]:
        return [(at - span(body["within"]), at)]

    def may_hold(self, scene: Scene, at: int) -> bool:
        covered = tiered(scene.body[windows.operator_of(scene.body)], scene.tier) is not None
        return covered and scene.known_for(at, span(scene.body["within"]))

    def at_event(self, part: Part, event: Arrived, before: JSON | None) -> Iterator[tuple[Subject, Hold]]:
        if self.ticks(part.body) or not windows.selected(part.body, event):
            return
        for subject in windows.subjects_of(part.rule, event):
            scene = part.scene(subject)
            for one in rechecked(scene, event):
                hold = threshold(scene, one.time, one)
                if hold is not None:
                    yield subject, hold

    def at_tick(self, scene: Scene, at: int) -> Hold | None:
        return threshold(scene, at, None)

    def stands(self, scene: Scene, now: int) -> Standing | None:
        body = scene.body
        operator = windows.operator_of(body)
        limit = tiered(body[operator], scene.tier)
        young = operator in ("at_most", "below") and not scene.known_for(now, span(body["within"]))
        _, value = measure(scene, body, now, moment=False)
        if limit is None or young or value is None:
            return None
        return Standing(
            windows.compare(operator, value, limit), share_of(operator, value, limit), value, limit
        )


def share_of(operator: str, value: Fraction, threshold: float) -> Fraction:
    """How near a value is to a threshold."""
    limit = exact(threshold)
    if operator in ("at_least", "above"):
        if limit > 0:
            return value / limit
        return 1 + value - limit if value >= limit else Fraction(0)
    if value > 0 and limit >= 0:
        return limit / value
    return 1 + limit - value if limit >= value else Fraction(0)


def measure(scene: Scene, body: JSON, at: int, *, moment: bool) -> tuple[list[Arrived], Fraction | None]:
    """The window that ends at `at` (open there for a moment) and its value, `per` included."""
    end = at - 1 if moment else at
    events = windows.window(scene, body, end)
    if body.get("within"):
        events = windows.newer_than(events, at - span(body["within"]))
    return events, windows.divided(body, windows.aggregate(body, events), scene.view)


def threshold(scene: Scene, at: int, event: Arrived | None) -> Hold | None:
    """The hold of a threshold, checked at an event or (`event` None) at a daily tick."""
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


def rechecked(scene: Scene, event: Arrived) -> list[Arrived]:
    """The event itself, and the later events whose windows it is in, by time and then by arrival."""
    body = scene.body
    later = [
        e
        for e in windows.counted(scene, body)
        if e.time > event.time and not e.historical and e.seq >= scene.built
    ]
    if body.get("within"):
        later = [e for e in later if e.time < event.time + span(body["within"])]
    return [event, *later]
