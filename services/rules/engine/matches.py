"""Who matches a rule at a moment, whether or not it has fired: what every subject's state says then.

It asks the same members, `where` and `unless` as a decision does, with windows that end at the moment, and changes
nothing. `where` sees what it sees at a moment: the account and the contact, and no event.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.event import microseconds, rfc3339
from services.rules.engine.account_state import AccountState, Subject, slot_of, subject_key, subject_of
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import NO_HEARTBEATS
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kinds.base import NOW, Match, Share
from services.rules.engine.per_tier import NEVER
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.subjects import ALL

LAST = microseconds(datetime(9999, 12, 31, tzinfo=UTC))  # a date may lead beyond what can be shown


class Matching(NamedTuple):
    """A subject that a rule holds for, or nearly. Times in microseconds.

    `share`, `value`, `threshold` and `due` of an `all_of` are those of the member that has the least share.
    """

    account: str
    contact: str | None
    key: str | None
    tier: str
    holds: bool
    share: float
    value: Any
    threshold: Any
    due: int | None  # the deadline, or the date's moment
    last: int | None  # the latest trigger
    until: int | None  # the end of the cooldown; None also if it never ends

    @property
    def place(self) -> tuple[float, str, str, str]:
        """Its place in a list: the greatest share first."""
        return -self.share, self.account, self.contact or "", self.key or ""

    def shown(self) -> dict[str, Any]:
        """The subject and how near it is, as the API shows it."""
        return {
            "account": self.account,
            "contact": self.contact,
            "key": self.key,
            "tier": self.tier,
            "share": self.share,
            "value": self.value,
            "threshold": self.threshold,
            "due": shown_time(self.due),
        }


def shown_time(at: int | None) -> str | None:
    """A time as it is shown; None also for one after the year 9999, which a date may lead to."""
    return None if at is None or at > LAST else rfc3339(at)


def matching(
    rules: RuleSet,
    rule: CompiledRule,
    state: AccountState,
    now: int,
    near: float | None,
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS,
) -> Iterator[Matching]:
    """The account's subjects for which the rule holds at `now`; with `near`, also those at that share or more.

    The state must be a copy of our own, or in step with `rules`: its tier is set. `heartbeats`: of its partition.
    """
    if state.profile.closed is not None:
        return
    state.tier = rules.tier(state.profile)[0]
    for subject in subjects(rules, rule, state):
        found = share_of(rule, state, subject, now, heartbeats)
        if found is None or not (found.holds or (near is not None and found.share >= near)):
            continue
        hold = Match(now, NOW, subject, arming=found.arming)
        if rule.allows(state, hold):
            yield _matching(rule, state, subject, found, now)


def slots_of(rule: CompiledRule) -> frozenset[int]:
    """Every slot under which the rule's parts keep what `matching` reads; `since` events are one bit beside."""
    parts = [member.slot for member in rule.members] + ([rule.unless.slot] if rule.unless is not None else [])
    return frozenset([rule.slot, *parts, *(slot ^ 1 for slot in parts)])


def subjects(rules: RuleSet, rule: CompiledRule, state: AccountState) -> Iterable[Subject]:
    """The subjects that the account's state knows of: of an account without `by`, always the account itself."""
    if not rule.per_contact and rule.doc.by is None:
        return (ALL,)
    found: dict[Subject, None] = {}
    if rule.doc.by is None:
        found.update(((contact, None), None) for contact in state.profile.contacts)
    mappings: list[Mapping[Any, Any]] = [state.stores, state.last, *state.kept.values()]
    for mapping in mappings:
        found.update((subject_of(key), None) for key in mapping if _is_of(rules, rule, slot_of(key)))
    return found


def _is_of(rules: RuleSet, rule: CompiledRule, slot: int) -> bool:
    part = rules.parts.get(slot)
    return slot == rule.slot if part is None else part.rule is rule and part.place >= 0


def share_of(
    rule: CompiledRule,
    state: AccountState,
    subject: Subject,
    now: int,
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS,
) -> Share | None:
    """The least share of the members; None if one has nothing to measure."""
    heart = heartbeats.get(rule.alive.key) if rule.alive is not None else None
    if heart is not None and heart.ends:
        return rule.members[0].guarded_share(state, subject, now, heart)
    shares = []
    for member in rule.members:
        found = member.share(state, subject, now)
        if found is None:
            return None
        shares.append(found)
    if len(shares) == 1:
        return shares[0]
    least = min(shares, key=lambda one: one.share)
    arming = next((one.arming for one in shares if one.arming is not None), None)
    return least._replace(holds=all(one.holds for one in shares), arming=arming)


def _matching(rule: CompiledRule, state: AccountState, subject: Subject, found: Share, now: int) -> Matching:
    last = state.last.get(subject_key(rule.slot, subject))
    span = rule.cooldowns[state.tier]
    until = last + span if last is not None and 0 < span < NEVER and last + span > now else None
    contact, key = subject
    return Matching(
        state.account, contact, key, state.tier,
        found.holds, found.share, found.value, found.threshold, found.due, last, until,
    )  # fmt: skip
