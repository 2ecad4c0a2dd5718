"""A rule in force: its members, its memory, and how much of its state a save leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.oracle import windows
from tests.oracle.kinds import KINDS
from tests.oracle.kinds.base import Memory
from tests.oracle.times import span
from tests.oracle.windows import Subject

JSON = dict[str, Any]

FIRING = ("active", "shadow")


@dataclass
class Rule:
    """A rule in force, and what it did since its state began, at place `start` (that of `unless`: `unless_start`)."""

    body: JSON
    start: int
    unless_start: int
    built: int  # a backfill counted the events before this place, late ones too; nothing fires at them
    memory: dict[tuple[str, Subject], Memory] = field(default_factory=dict)
    waiting: dict[str, set[int]] = field(default_factory=dict)  # by account, the ticks that wait for `alive`

    @property
    def members(self) -> list[JSON]:
        kind, body = windows.kind_of(self.body["when"])
        return list(body["of"]) if kind == "all_of" else [self.body["when"]]

    @property
    def joint(self) -> JSON | None:
        kind, body = windows.kind_of(self.body["when"])
        return body if kind == "all_of" else None

    @property
    def firing(self) -> bool:
        return self.body.get("status", "draft") in FIRING

    def of(self, account: str, subject: Subject) -> Memory:
        return self.memory.setdefault((account, subject), Memory())


def _grew(old: JSON, new: JSON, name: str) -> bool:
    if name not in old:
        return False
    return name not in new or _longest(new[name]) > _longest(old[name])


def _longest(value: Any) -> int:
    """The length in us of a span, or of the longest if there is one per tier."""
    return max(map(span, value.values() if isinstance(value, dict) else [value]))


def _part_anew(old: JSON, new: JSON) -> bool:
    """Whether a change of this member makes its rule start anew."""
    (old_kind, before), (new_kind, after) = windows.kind_of(old), windows.kind_of(new)
    if old_kind != new_kind:
        return True
    if old_kind != "all_of":
        kind = KINDS[old_kind]
        other = any(before.get(name) != after.get(name) for name in kind.restarts_on)
        return other or any(_grew(before, after, name) for name in kind.restarts_if_longer)
    if _grew(before, after, "within") or len(before["of"]) != len(after["of"]):
        return True
    return any(_part_anew(a, b) for a, b in zip(before["of"], after["of"], strict=True))


def unless_anew(old: JSON, new: JSON) -> bool:
    """Whether the events that `unless` has counted are of no use after a save."""
    if not old.get("unless") or not new.get("unless"):
        return True
    return old.get("scope") != new.get("scope") or _part_anew(old["unless"], new["unless"])


def starts_anew(old: JSON, new: JSON) -> bool:
    """Whether a save makes the rule's state start anew (section 6, *Saving*)."""
    scoped = (old.get("scope", "account"), old.get("by")) != (new.get("scope", "account"), new.get("by"))
    return scoped or _part_anew(old["when"], new["when"])


def default_cooldown(when: JSON, tier: str | None) -> str:
    """The cooldown of a rule that names none: a duration, `0s` or `once`."""
    kind, body = windows.kind_of(when)
    return str(body["within"]) if kind == "all_of" else KINDS[kind].default_cooldown(body, tier)
