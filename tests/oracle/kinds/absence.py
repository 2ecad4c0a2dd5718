"""absence: a deadline after each arm, before which no event came, or the event that ends an absence."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.oracle import rule_strategies, windows
from tests.oracle.alive import Source
from tests.oracle.history import Arrived
from tests.oracle.kinds.base import Hold, Kind, Part, Standing, Step, Story
from tests.oracle.times import SECOND, span
from tests.oracle.windows import Scene, Subject, tiered

JSON = dict[str, Any]


class Absence(Kind):
    """An event that did not happen for a while."""

    restarts_on = ("event", "where", "since")
    fires = Story({"event": "tick", "for": "2d"}, (("01-01T09:00", "tick", {}),), "01-04T00:00")
    does_not_fire = fires._replace(events=(*fires.events, ("01-03T08:59", "tick", {})))
    has_evidence = True

    def rules(self) -> st.SearchStrategy[JSON]:
        return rule_strategies.absence()

    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        return "0s"

    def at_event(self, part: Part, event: Arrived, before: JSON | None) -> Iterator[tuple[Subject, Hold]]:
        if part.body.get("fire", "at_deadline") == "on_return" and windows.selected(part.body, event):
            for subject in windows.subjects_of(part.rule, event):
                hold = on_return(part.scene(subject), event, part.source)
                if hold is not None:
                    yield subject, hold

    def moments(self, part: Part, step: Step, *, silent: bool) -> Iterator[tuple[Subject, Hold]]:
        body = part.body
        if body.get("fire", "at_deadline") != "at_deadline":
            return
        for subject in _arm_subjects(part):
            scene, memory = part.scene(subject), part.memory(subject)
            length = tiered(body["for"], scene.tier)
            for arm, event in arms(scene).items():
                if length is None or (part.index, arm) in memory.been:
                    continue
                at, known = arm + span(length), (part.index, arm, scene.tier) in memory.known
                memory.known.add((part.index, arm, scene.tier))
                if part.source is not None:
                    at = part.source.moved(arm, span(length))
                if at > step[1]:
                    continue
                past = at <= step[0] if part.source is None else part.overdue
                if part.source is not None and not part.source.decides_deadline(at, step[1]):
                    memory.late |= {(part.index, arm)} if past and not known else set()
                    memory.been |= {(part.index, arm)} if silent and not known else set()
                    continue
                memory.been.add((part.index, arm))
                past = past or (part.index, arm) in memory.late
                hold = absence(scene, arm, event, at, past=past)
                if hold is not None and not silent:
                    yield subject, hold

    def stands(self, scene: Scene, now: int) -> Standing | None:
        body, length = scene.body, tiered(scene.body["for"], scene.tier)
        armed = arms(scene)
        if length is None or not armed:
            return None
        newest = max(armed)
        if "since" in body and any(event.time >= newest for event in windows.counted(scene, body)):
            return None
        waited, returns = now - newest, body.get("fire") == "on_return"
        due = None if returns else newest + span(length)
        holds = due is not None and due <= now
        share = Fraction(waited, span(length))
        event = None if returns else armed[newest]
        return Standing(holds, share, Fraction(waited, SECOND), length, due, event)


def _arm_subjects(part: Part) -> list[Subject]:
    selector, since = (part.body["since"], True) if "since" in part.body else (part.body, False)
    found = {
        subject: None
        for event in part.account.events
        if windows.selected(selector, event)
        for subject in windows.subjects_of(part.rule, event, since=since)
    }
    return list(found)


def arms(scene: Scene) -> dict[int, Arrived]:
    """Every time at which the subject's absence was armed, with the event that arrived first with that time."""
    body = scene.body
    selector, since = (body["since"], True) if "since" in body else (body, False)
    found: dict[int, Arrived] = {}
    for event in windows.counted(scene, selector, since=since):
        found.setdefault(event.time, event)
    return found


def absence(scene: Scene, arm: int, event: Arrived, at: int, *, past: bool) -> Hold | None:
    """The hold at an absence's deadline `at`; `past`: it has passed already, so any event after the arm ends it."""
    body = scene.body
    matching = [e.time for e in windows.counted(scene, body)]
    ended = [time for time in matching if time > arm or ("since" in body and time == arm)]
    ended += [time for time in arms(scene) if time > arm]
    if any(past or time < at for time in ended):
        return None
    return Hold(at, event, True, None, tiered(body["for"], scene.tier), [event.id])


def on_return(scene: Scene, event: Arrived, source: Source | None) -> Hold | None:
    """The hold at an event that is the subject's newest, and at least `for` later than the one before it."""
    gap = tiered(scene.body["for"], scene.tier)
    if gap is None:
        return None
    others = [e for e in windows.counted(scene, scene.body) if e is not event]
    if not others or event.time < others[-1].time:
        return None
    last = others[-1].time
    away = event.time - last if source is None else source.away(last, event.time)
    if away < span(gap):
        return None
    return Hold(event.time, event, False, None, gap, [event.id])
