"""date: the moments before or after a date in an attribute of the account or contact."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.oracle import rule_strategies
from tests.oracle.conditions import lookup
from tests.oracle.kinds.base import Hold, Kind, Part, Standing, Step, Story
from tests.oracle.profile import contact_view
from tests.oracle.times import attribute_moment, shifted, span
from tests.oracle.windows import Scene, Subject, tiered

JSON = dict[str, Any]


class Date(Kind):
    """A date that is near or has passed."""

    fires = Story(
        {"attribute": "account.attributes.d", "before": "1d"},
        (("01-01T09:00", "account.updated", {"attributes": {"d": "2026-01-10"}}),),
        "01-09T01:00",
    )
    does_not_fire = fires._replace(until="01-08T23:59")
    split = False

    def rules(self) -> st.SearchStrategy[JSON]:
        return rule_strategies.date()

    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        return "0s"

    def moments(self, part: Part, step: Step, *, silent: bool) -> Iterator[tuple[Subject, Hold]]:
        body, index = part.body, part.index
        late = span(body.get("late", "1d"))
        contacts: list[str | None] = [None]
        if part.per_contact:
            contacts = list(part.account.profile.get("contacts", {}))
        for contact in contacts:
            scene, memory = part.scene((contact, None)), part.memory((contact, None))
            for value, at in date_moments(scene, step[0] - late, step[1]):
                if (index, value) in memory.been or (index, value, at) in memory.been:
                    continue
                memory.been.add((index, value, at))
                if at <= step[0] and silent:
                    continue
                if not body.get("repeat"):
                    memory.been.add((index, value))
                yield (contact, None), Hold(at, None, True, None, date_span(scene))

    def stands(self, scene: Scene, now: int) -> Standing | None:
        body, duration = scene.body, date_span(scene)
        base = _date(scene)
        if duration is None or base is None:
            return None
        sign, far = (-1, 400) if "before" in body else (1, 400)
        places = range(1, far) if body.get("repeat") else range(1, 2)
        spans = [
            (shifted(base, duration, sign * n), shifted(base, duration, n + 1 if sign > 0 else 0))
            for n in places
        ]
        held = [at for at, end in spans if at <= now <= end]
        if held:
            return Standing(True, Fraction(1), None, duration, max(held))
        ahead = min((at for at, _ in spans if at > now), default=None)
        return Standing(False, Fraction(0), None, duration, ahead)


def date_span(scene: Scene) -> str | None:
    """How long before or after its date a date rule fires in the account's tier; None if the tier is left out."""
    body = scene.body
    duration: str | None = tiered(body["before" if "before" in body else "after"], scene.tier)
    return duration


def date_moments(scene: Scene, floor: int, until: int) -> list[tuple[str, int]]:
    """Every moment of a date rule from `floor` to `until` (us, both included), as (value, moment)."""
    body = scene.body
    duration = date_span(scene)
    value, base = _value(scene), _date(scene)
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


def _value(scene: Scene) -> Any:
    subject_view = contact_view(scene.view, scene.subject[0])
    return lookup(scene.body["attribute"], {"account": scene.view, "contact": subject_view})


def _date(scene: Scene) -> datetime | None:
    return attribute_moment(_value(scene), scene.view.get("timezone"))
