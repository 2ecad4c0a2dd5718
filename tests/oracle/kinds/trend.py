"""trend: the rates of two successive spans, compared at the daily tick."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.oracle import rule_strategies, windows
from tests.oracle.conditions import exact
from tests.oracle.history import Arrived
from tests.oracle.kinds.base import Hold, Kind, Standing, Story
from tests.oracle.kinds.threshold import share_of
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

    def looks_at(self, body: JSON, at: int) -> list[tuple[int, int]]:
        middle = at - span(body["over"])
        return [(middle, at), (middle - span(body["baseline"]), middle)]

    def may_hold(self, scene: Scene, at: int) -> bool:
        body, length = scene.body, span(scene.body["over"]) + span(scene.body["baseline"])
        limit = tiered(body["falls_by" if "falls_by" in body else "rises_by"], scene.tier)
        counted = windows.counted(scene, body)
        lately = bool(counted) and counted[-1].time > at - length
        return limit is not None and lately and scene.known_for(at, length)

    def at_tick(self, scene: Scene, at: int) -> Hold | None:
        return trend(scene, at)

    def stands(self, scene: Scene, now: int) -> Standing | None:
        found = change(scene, now, now)
        if found is None:
            return None
        value, limit, _, _ = found
        return Standing(value >= exact(limit), share_of("at_least", value, limit), value, limit)


def change(
    scene: Scene, at: int, last: int
) -> tuple[Fraction, Any, list[Arrived], dict[str, Fraction]] | None:
    """By how many per cent the rate in (at - over, last] has changed from that in the baseline just before it.

    With the limit, the recent events and what is compared. None: there is nothing to compare.
    """
    body = scene.body
    over, baseline = span(body["over"]), span(body["baseline"])
    operator = "falls_by" if "falls_by" in body else "rises_by"
    limit = tiered(body[operator], scene.tier)
    if limit is None or not scene.known_for(at, over + baseline):
        return None
    events = windows.window(scene, body, last)
    recent_events = windows.newer_than(events, at - over)
    old_events = [e for e in windows.newer_than(events, at - over - baseline) if e.time <= at - over]
    recent, old = windows.aggregate(body, recent_events), windows.aggregate(body, old_events)
    assert recent is not None
    assert old is not None
    if len(old_events) < body.get("min_baseline", MIN_BASELINE) or old <= 0:
        return None
    rise = (recent / over) / (old / baseline) * 100 - 100
    figures = {"recent": recent, "baseline": old}
    return -rise if operator == "falls_by" else rise, limit, recent_events, figures


def trend(scene: Scene, at: int) -> Hold | None:
    """The hold if the rate in (at - over, at) has changed enough from the rate in the baseline just before it."""
    found = change(scene, at, at - 1)
    if found is None or found[0] < exact(found[1]):
        return None
    value, limit, recent, figures = found
    return Hold(at, None, True, value, limit, [e.id for e in recent[-20:]], figures)
