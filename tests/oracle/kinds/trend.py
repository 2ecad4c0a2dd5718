"""trend: the rates of two successive spans, compared at the daily tick."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.oracle import rule_strategies, windows
from tests.oracle.conditions import exact
from tests.oracle.kinds.base import Hold, Kind, Story
from tests.oracle.times import span
from tests.oracle.windows import Scene, tiered

JSON = dict[str, Any]
MIN_BASELINE = 10


class Trend(Kind):
    """A rate that fell or rose."""

    restarts_on = ("event", "where", "aggregate", "of")
    restarts_if_longer = ("over", "baseline")
    split = False
    fires = Story(
        {"event": "tick", "over": "1d", "baseline": "2d", "falls_by": 50, "min_baseline": 1},
        (("01-01T09:00", "tick", {}), ("01-02T09:00", "tick", {}), ("01-03T09:00", "tick", {})),
        "01-05T01:00",
    )
    does_not_fire = fires._replace(events=(*fires.events, ("01-04T09:00", "tick", {})))
    has_value = True

    def rules(self) -> st.SearchStrategy[JSON]:
        return rule_strategies.trend()

    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        return str(body["over"])

    def ticks(self, body: JSON) -> bool:
        return True

    def at_tick(self, scene: Scene, at: int) -> Hold | None:
        return trend(scene, at)


def trend(scene: Scene, at: int) -> Hold | None:
    """The hold if the rate in (at - over, at) has changed enough from the rate in the baseline just before it."""
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
