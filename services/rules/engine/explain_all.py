"""Explains every rule for one account: for rules of several subjects, the one that is nearest to matching."""

from collections.abc import Mapping
from typing import Any

from services.rules.engine.account_state import AccountState, Subject
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import NO_HEARTBEATS
from services.rules.engine.explain import explain
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.matches import share_of, subjects
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.subjects import ALL


def explain_all(
    rules: RuleSet, state: AccountState, now: int, heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS
) -> list[dict[str, Any]]:
    """The verdict of each rule, with the rule, the subject and its share, nearest first; then by the rule's name.

    The state must be a copy of our own. A rule that has no subject at the account yet is explained without one.
    """
    rules.refit(state)
    state.tier = rules.tier(state.profile)[0]
    found = []
    for rule in rules.rules:
        (contact, key), share = _nearest(rules, rule, state, now, heartbeats)
        said = explain(rules, rule.name, state, state.account, contact, key, now, heartbeats)
        found.append({"rule": rule.name, "contact": contact, "key": key, "share": share, **said})
    return sorted(found, key=lambda one: (one["share"] is None, -(one["share"] or 0.0), one["rule"]))


def _nearest(
    rules: RuleSet, rule: CompiledRule, state: AccountState, now: int, heartbeats: Mapping[str, Heartbeat]
) -> tuple[Subject, float | None]:
    """The subject with the greatest share, the first by name of several; and the share, None if none has one."""
    if state.profile.closed is not None:
        return ALL, None
    known = sorted(subjects(rules, rule, state), key=lambda one: (one[0] or "", one[1] or ""))
    best: tuple[Subject, float | None] = (known[0] if known else ALL, None)
    for subject in known:
        measured = share_of(rule, state, subject, now, heartbeats)
        if measured is not None and (best[1] is None or measured.share > best[1]):
            best = subject, measured.share
    return best
