"""Who matches a rule now: worked out anew for every account, contact and key that any event has named."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle import checks, profile, windows
from tests.oracle.conditions import holds
from tests.oracle.history import Account, History
from tests.oracle.kinds.base import Standing
from tests.oracle.merges import read
from tests.oracle.oracle import Oracle
from tests.oracle.rules import Rule, default_cooldown
from tests.oracle.times import span
from tests.oracle.windows import Subject

JSON = dict[str, Any]


class Found(NamedTuple):
    """A subject that a rule holds for, or nearly. Times in us."""

    account: str
    contact: str | None
    key: str | None
    tier: str | None
    holds: bool
    share: Fraction
    value: Fraction | None
    threshold: Any
    due: int | None
    last: int | None
    until: int | None


def matches(history: History, near: float | None) -> tuple[int, dict[str, list[Found]]]:
    """Where the clock ends, and per rule who matches then, in no order."""
    oracle = read(history)
    now = oracle.clock or 0
    return now, {
        name: [
            found
            for account in oracle.accounts.values()
            for subject in _subjects(oracle, rule, account)
            for found in _found(oracle, rule, account, subject, now, near)
        ]
        for name, rule in oracle.rules.items()
    }


def _subjects(oracle: Oracle, rule: Rule, account: Account) -> list[Subject]:
    per_contact, by = rule.body.get("scope", "account") == "contact", rule.body.get("by")
    if not per_contact and not by:
        return [(None, None)]
    found: dict[Subject, None] = {}
    if not by:
        found |= {(contact, None): None for contact in account.profile.get("contacts", {})}
    for part, _ in oracle._parts(rule, account):
        for selector, since in [(part.body, False), (part.body.get("since"), True)]:
            if selector is not None and "event" in selector:
                found |= {
                    subject: None
                    for event in account.events
                    if windows.selected(selector, event)
                    for subject in windows.subjects_of(rule.body, event, since=since)
                }
    found |= {
        s: None for (name, s), one in rule.memory.items() if name == account.id and one.last is not None
    }
    return list(found)


def _found(
    oracle: Oracle, rule: Rule, account: Account, subject: Subject, now: int, near: float | None
) -> list[Found]:
    standings: list[Standing] = []
    for part, kind in oracle._parts(rule, account):
        standing = kind.stands(part.scene(subject), now)
        if standing is None:
            return []
        standings.append(standing)
    least = min(standings, key=lambda one: one.share)
    held = all(one.holds for one in standings)
    if not held and (near is None or least.share < Fraction(str(near))):
        return []
    scene = oracle._scene(rule, account, rule.body["when"], subject)
    armed = [one.event for one in standings if one.event is not None]
    contact = subject[0] or (armed[0].contact if armed else None)
    view = {"account": scene.view, "contact": profile.contact_view(scene.view, contact)}
    if not holds(rule.body.get("where"), view) or checks.held_back(scene, now, moment=False):
        return []
    last = rule.of(account.id, subject).last
    cooldown = rule.body.get("cooldown") or default_cooldown(rule.body["when"], scene.tier)
    end = None if last is None or cooldown == "once" else last + span(cooldown)
    until = end if end is not None and end > now else None
    return [
        Found(
            account.id, *subject, scene.tier, held, least.share, least.value, least.threshold, least.due, last, until
        )
    ]  # fmt: skip
