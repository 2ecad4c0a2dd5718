"""Triggers that a person asks for: each subject of a request is decided at the place of the request's record.

A subject need not match, unless the request is for those that do. The cooldown holds, and one begins.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from schemas.event import Event, microseconds, rfc3339
from schemas.reasons import Reason
from schemas.trigger import Position, Trigger, Window
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import NO_HEARTBEATS, Context
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kind_state import Arming
from services.rules.engine.kinds.base import NOW, Match, Share
from services.rules.engine.matches import share_of
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.subjects import ALL
from services.rules.engine.triggers import figures_of, ids_of, shown_arming, trigger_id

_MARK = 1 << 60  # above every offset and, in `fired`, apart from every moment


class Named(NamedTuple):
    """A subject as a request names it."""

    account: str
    contact: str | None = None
    key: str | None = None


Fetch = Callable[
    [int], Event
]  # the event at an offset of the partition; raises `LookupError` where it is gone


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
    fetch: Fetch
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
    return decided(
        asked.rules, request, named, state, asked.at, asked.place, asked.heartbeats, fetch=asked.fetch
    )


def decided(
    rules: RuleSet,
    request: StartRequest,
    named: Named,
    state: AccountState,
    at: int,
    position: Position,
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS,
    *,
    fetch: Fetch | None = None,
) -> Trigger | Reason:
    """The trigger for a subject at `at` (microseconds), or why there is none. Changes nothing but the state's tier.

    Without `fetch` the trigger shows an event only where the state holds it.
    """
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
    found = share_of(rule, state, subject, at, heartbeats)
    if why is None and request.matching:
        why = _why_not(rule, state, subject, at, found)
    if why is not None:
        return why
    return _trigger(rule, request, state, subject, at, position, found, fetch)


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
    rule: CompiledRule, state: AccountState, subject: Subject, at: int, found: Share | None
) -> Reason | None:
    """Why a subject does not match (any more); None if it does."""
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
    found: Share | None,
    fetch: Fetch | None,
) -> Trigger:
    """The trigger: it tells of the subject what one tells that fires by itself."""
    share = found if found is not None else Share(False, 0.0)
    offsets = share.evidence() if share.evidence is not None else []
    arming = share.arming
    if arming is None and share.shows and offsets and fetch is not None:
        arming = _read(state, offsets[-1], fetch)
    ids = ids_of(state, offsets)
    return Trigger(
        id=trigger_id(rule.name, state.account, subject, ("by hand", request.id)),
        rule=rule.name,
        rule_version=rule.version,
        account=state.account,
        contact=subject[0] if subject[0] is not None or arming is None else arming.contact,
        key=subject[1],
        tier=state.tier,
        at=rfc3339(at),
        event_id=arming.id if arming is not None else None,
        event=shown_arming(arming) if arming is not None else None,
        value=share.value,
        window=Window(*map(rfc3339, share.window)) if share.window is not None else None,
        threshold=share.threshold,
        reason=str(Reason.BY_HAND),
        playbook=rule.doc.playbook,
        evidence=[arming.id]
        if share.arming is not None and arming is not None
        else [ids[o] for o in offsets if o in ids],
        position=position,
        figures=figures_of(share.figures),
        shadow=rule.status == "shadow",
        scope=rule.doc.scope,
    )


def _read(state: AccountState, offset: int, fetch: Fetch) -> Arming | None:
    """The event at an offset; None if the log has it no more, or it may be of a contact that was erased."""
    try:
        event = fetch(offset)
    except LookupError:
        return None
    gone = event.contact is not None and event.contact not in state.profile.contacts
    if event.time is None or (state.erased and gone):
        return None
    time = microseconds(event.time)
    return Arming(event.id, event.source, event.type, time, offset, event.contact, event.data)
