"""Triggers that a person asks for: each subject of a request is decided at the place of the request's record.

A subject need not match, unless the request is for those that do. The cooldown holds, and one begins.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from schemas.event import Event, rfc3339
from schemas.reasons import Reason
from schemas.trigger import Position, Trigger, Window
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import NO_HEARTBEATS, Context
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kinds.base import NOW, Match
from services.rules.engine.matches import share_of
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.subjects import ALL
from services.rules.engine.triggers import trigger_id

_MARK = 1 << 60  # above every offset and, in `fired`, apart from every moment


class Named(NamedTuple):
    """A subject as a request names it."""

    account: str
    contact: str | None = None
    key: str | None = None


class StartRequest(NamedTuple):
    """What one partition is asked to start. `id` follows from the Idempotency-Key."""

    id: str
    rule: str
    subjects: list[Named]
    matching: bool  # only those that still match at this place


class LeftOut(NamedTuple):
    """A subject that nothing was started for, and why."""

    account: str
    contact: str | None
    key: str | None
    reason: str


class StartAnswer(NamedTuple):
    """What became of a request in one partition: the ids of its triggers, and who was left out."""

    id: str
    triggers: list[str]
    left_out: list[LeftOut]


Starts = Callable[[str], StartRequest | None]  # the request of this id for the partition; None: there is none


def no_starts(_: str) -> StartRequest | None:
    """Where nobody starts anything by hand: `touchline test`, backtests."""
    return None


def start_id(event: Event) -> str:
    """The request that a record names; "" for a record that names none."""
    named = event.data.get("start") if isinstance(event.data, dict) else None
    return named if isinstance(named, str) else ""


def mark_of(request: str) -> int:
    """How a subject's `fired` remembers a request."""
    digest = blake2b(request.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return _MARK | int.from_bytes(digest, "big")


class Asked(NamedTuple):
    """Where a request is decided: the rules in force, the partition's accounts, its clock (microseconds), the place."""

    rules: RuleSet
    find: Callable[[str], AccountState | None]
    erased: Callable[[str], bool]  # whether an account that is not there was erased
    at: int
    place: Position
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS


def start(request: StartRequest, asked: Asked) -> tuple[list[Trigger], StartAnswer]:
    """The triggers of a request, whose subjects' states remember them, and what became of each subject."""
    found: list[Trigger] = []
    answer = StartAnswer(request.id, [], [])
    for named in request.subjects:
        state = asked.find(named.account)
        one = _found(request, named, state, asked)
        if isinstance(one, Trigger) and state is not None:
            rule = asked.rules.by_name[request.rule]
            _remember(state, subject_key(rule.slot, subject_of(rule, named)), request.id, asked.at)
            found.append(one)
            answer.triggers.append(one.id)
        else:
            answer.left_out.append(LeftOut(*named, str(one)))
    return found, answer


def _found(request: StartRequest, named: Named, state: AccountState | None, asked: Asked) -> Trigger | Reason:
    if state is None:
        return Reason.ERASED if asked.erased(named.account) else Reason.UNKNOWN_ACCOUNT
    return decided(asked.rules, request, named, state, asked.at, asked.place, asked.heartbeats)


def decided(
    rules: RuleSet,
    request: StartRequest,
    named: Named,
    state: AccountState,
    at: int,
    position: Position,
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS,
) -> Trigger | Reason:
    """The trigger for a subject at `at` (microseconds), or why there is none. Changes nothing but the state's tier."""
    rule = rules.by_name.get(request.rule)
    if rule is None:
        return Reason.RULE_UNKNOWN
    if not rule.fires:
        return Reason.RULE_PAUSED
    if state.profile.closed is not None:
        return Reason.ACCOUNT_MERGED
    if rule.per_contact and named.contact is None:
        return Reason.NO_CONTACT
    if rule.doc.by is not None and named.key is None:
        return Reason.NO_KEY
    state.tier = rules.tier(state.profile)[0]
    subject = subject_of(rule, named)
    why = _held_back(rule, request, state, subject, at)
    if why is None and request.matching:
        why = _why_not(rule, state, subject, at, heartbeats)
    return why if why is not None else _trigger(rule, request, state, subject, at, position)


def subject_of(rule: CompiledRule, named: Named) -> Subject:
    """The subject that the rule counts for."""
    subject = (named.contact if rule.per_contact else None, named.key if rule.doc.by is not None else None)
    return ALL if subject == (None, None) else subject


def _remember(state: AccountState, key: SubjectKey, request: str, at: int) -> None:
    """Remember that a request started something: it begins the cooldown, and never starts it again."""
    state.fired.setdefault(key, {})[mark_of(request)] = at
    state.last[key] = max(at, state.last.get(key, at))


def _held_back(
    rule: CompiledRule, request: StartRequest, state: AccountState, subject: Subject, at: int
) -> Reason | None:
    key = subject_key(rule.slot, subject)
    if mark_of(request.id) in state.fired.get(key, ()):
        return Reason.ALREADY_FIRED
    if rule.per_contact and subject[0] not in state.profile.contacts and not _heard_of(state, subject[0]):
        return Reason.UNKNOWN_CONTACT
    if rule.cools(state, key, at):
        return Reason.COOLDOWN
    for member in rule.members:
        if member.verdict(_context(state, at), subject).reason is Reason.TIER_NOT_COVERED:
            return Reason.TIER_NOT_COVERED
    return None


def _heard_of(state: AccountState, contact: str | None) -> bool:
    """Whether an event that a rule counts has named the contact."""
    mappings: list[Mapping[Any, Any]] = [state.stores, state.last, *state.kept.values()]
    keys = [key for mapping in mappings for key in mapping]
    return any(isinstance(key, tuple) and key[1] == contact for key in keys)


def _why_not(
    rule: CompiledRule, state: AccountState, subject: Subject, at: int, heartbeats: Mapping[str, Heartbeat]
) -> Reason | None:
    """Why a subject does not match (any more); None if it does."""
    found = share_of(rule, state, subject, at, heartbeats)
    if found is None or not found.holds:
        return Reason.NOT_MATCHING
    hold = Match(at, NOW, subject, arming=found.arming)
    if not rule.where_allows(state, hold):
        return Reason.WHERE_FALSE
    return None if rule.allows(state, hold) else Reason.UNLESS_HOLDS


def _context(state: AccountState, at: int) -> Context:
    ctx = Context()
    ctx.state, ctx.silent, ctx.past = state, True, False
    ctx.scope.profile, ctx.scope.tier = state.profile, state.tier
    ctx.now = ctx.time = at
    ctx.offset = NOW
    return ctx


def _trigger(
    rule: CompiledRule,
    request: StartRequest,
    state: AccountState,
    subject: Subject,
    at: int,
    position: Position,
) -> Trigger:
    found = share_of(rule, state, subject, at)
    return Trigger(
        id=trigger_id(rule.name, state.account, subject, ("by hand", request.id)),
        rule=rule.name,
        rule_version=rule.version,
        account=state.account,
        contact=subject[0],
        key=subject[1],
        tier=state.tier,
        at=rfc3339(at),
        value=found.value if found is not None else None,
        threshold=found.threshold if found is not None else None,
        window=_window(rule, state, subject, at),
        reason=str(Reason.BY_HAND),
        playbook=rule.doc.playbook,
        position=position,
        shadow=rule.status == "shadow",
        scope=rule.doc.scope,
    )


def _window(rule: CompiledRule, state: AccountState, subject: Subject, at: int) -> Window | None:
    """What the value was measured over, for mails that tell it; None where several members have one each."""
    members = rule.members
    window = members[0].verdict(_context(state, at), subject).window if len(members) == 1 else None
    return None if window is None else Window(*map(rfc3339, window))
