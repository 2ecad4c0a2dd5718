"""Whether `unless` holds a rule back, worked out from every event that has arrived."""

from __future__ import annotations

from tests.oracle import windows
from tests.oracle.kinds.threshold import measure
from tests.oracle.windows import Scene, tiered


def held_back(scene: Scene, at: int, *, moment: bool) -> bool:
    """Whether the rule's `unless` holds for the same account or contact."""
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
