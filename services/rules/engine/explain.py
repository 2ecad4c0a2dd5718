"""Explains why a rule fires now or why not.

It uses the same evaluation as events and timers do, and changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from schemas.event import rfc3339
from schemas.reasons import Reason
from schemas.sentences.rules import RuleCase, verdict
from services.rules.engine.account_state import AccountState, Subject, subject_key
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import NO_HEARTBEATS, Context
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kinds.base import MOMENT, NOW, Verdict
from services.rules.engine.per_tier import NEVER
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.triggers import figures_of, ids_of
from services.rules.engine.windows.series import DAY

Explanation = dict[str, Any]


def tier_of(rules: RuleSet, state: AccountState) -> tuple[str, str]:
    """The account's tier under these rules, and the reason for it."""
    return rules.tier(state.profile)


class _Found(NamedTuple):
    """What the members say: the deciding verdict, its member, and all reasons, the deciding one last."""

    verdict: Verdict
    place: int
    reasons: list[Reason]


def explain(
    rules: RuleSet,
    rule_name: str,
    state: AccountState | None,
    account: str,
    contact: str | None,
    key: str | None,
    now: int,
    heartbeats: Mapping[str, Heartbeat] = NO_HEARTBEATS,
) -> Explanation:
    """The verdict of one rule for one subject at `now` (microseconds). `heartbeats`: of the account's partition.

    A rule of the daily tick is judged at the next tick. `cooldown_until` is also null if the cooldown never ends.
    Whether a `where` over an event's own data holds is known only when an event comes, so it is left out here.
    """
    rule = rules.by_name.get(rule_name)
    if rule is None:
        return _answer(Reason.RULE_DRAFT)
    case = RuleCase(rule=rule.doc, account=account, contact=contact, key=key)
    if state is None:
        return _answer(Reason.UNKNOWN_ACCOUNT, case)
    if state.profile.closed is not None:
        return _answer(Reason.ACCOUNT_MERGED, replace(case, into=state.profile.closed.into))
    rules.refit(state)
    state.tier = rules.tier(state.profile)[0]
    case = replace(case, tier=state.tier)
    if rule.per_contact and contact is None:
        return _answer(Reason.NO_CONTACT, case)
    if rule.doc.by is not None and key is None:
        return _answer(Reason.NO_KEY, case)
    subject = (contact if rule.per_contact else None, key if rule.doc.by is not None else None)
    found = _verdict(rule, state, subject, contact, now, heartbeats)
    if rule.alive is not None:
        heart = heartbeats.get(rule.alive.key)
        last = heart.last if heart is not None else None
        silent = last is not None and found.verdict.reason is Reason.SOURCE_SILENT and last <= now
        silent = silent and (not rule.ticks or (heart is not None and now >= heart.silent_from))
        case = replace(case, unguarded=last is None, silent_since=last if silent else None)
    return _explained(rule, state, subject, found, case, now)


def _verdict(
    rule: CompiledRule,
    state: AccountState,
    subject: Subject,
    contact: str | None,
    now: int,
    heartbeats: Mapping[str, Heartbeat],
) -> _Found:
    """The members' verdict; for an `all_of`, the first member that does not hold."""
    ctx = Context()
    ctx.state, ctx.silent, ctx.past, ctx.heartbeats = state, True, False, heartbeats
    ctx.scope.profile, ctx.scope.tier, ctx.scope.contact = state.profile, state.tier, state.contact(contact)
    verdicts = [_member(rule, place, ctx, subject, now) for place in range(len(rule.members))]
    if rule.joint is None:
        return _Found(verdicts[0], 0, [verdicts[0].reason])
    held = [place for place, v in enumerate(verdicts) if v.hold is not None and v.holds]
    if held and rule.joint.close(state, subject, now):
        return _Found(verdicts[held[0]], held[0], [verdicts[held[0]].reason])
    place = next((place for place, v in enumerate(verdicts) if not v.holds), 0)
    missing = verdicts[place]._replace(holds=False, reason=Reason.MEMBER_NOT_HELD)
    return _Found(missing, place, [Reason.MEMBER_NOT_HELD, verdicts[place].reason])


def _member(rule: CompiledRule, place: int, ctx: Context, subject: Subject, now: int) -> Verdict:
    member = rule.members[place]
    ctx.now, ctx.offset = now, NOW
    if member.ticks:
        ctx.now, ctx.offset = (now // DAY + 1) * DAY, MOMENT
    ctx.time = ctx.now
    found, heart = member.verdict(ctx, subject), member.heartbeat(ctx)
    if found.holds and member.ticks and heart is not None:
        tick = ctx.now
        if now >= heart.silent_from or heart.was_silent(tick, member.looks_at(tick)):
            return found._replace(holds=False, reason=Reason.SOURCE_SILENT, hold=None)
    return found


def _judged(rule: CompiledRule, state: AccountState, verdict: Verdict) -> tuple[bool, Reason]:
    if not verdict.holds or verdict.hold is None:
        return False, verdict.reason
    if not rule.fires:
        return False, Reason.RULE_PAUSED
    ctx = Context()
    ctx.state = state
    why = rule.judge(ctx, verdict.hold, None, know_event=False)
    if why is None and state.deep is not None and verdict.evidence and verdict.evidence[-1] in state.deep:
        why = Reason.LOOP  # the event that brought it about is too deep for anything to fire
    return (True, verdict.reason) if why is None else (False, why)


def _explained(
    rule: CompiledRule, state: AccountState, subject: Subject, found: _Found, case: RuleCase, now: int
) -> Explanation:
    """The explanation for a subject whose state is known."""
    verdict = found.verdict
    fires, reason = _judged(rule, state, verdict)
    last = state.last.get(subject_key(rule.slot, subject))
    span = rule.cooldowns[state.tier]
    until = last + span if last is not None and 0 < span < NEVER and last + span > now else None
    figures, member = figures_of(verdict.figures), rule.members[found.place]
    case = replace(
        case, member=found.place, value=verdict.value, threshold=verdict.threshold, figures=figures, until=until,
        armed=verdict.armed,
        at=_moment(verdict) if member.moments else None,
    )  # fmt: skip
    ids = ids_of(state, list(verdict.evidence or ()))
    return _answer(
        reason,
        case,
        fires=fires,
        reasons=list(dict.fromkeys([reason, *found.reasons])),
        last=last,
        tick=verdict.next_check if member.ticks else None,
        window=verdict.window,
        evidence=[ids[offset] for offset in verdict.evidence or () if offset in ids],
        next_check=verdict.next_check,
    )


def _moment(verdict: Verdict) -> int | None:
    """The time at which a deadline or date comes or came."""
    if verdict.next_check is not None or verdict.hold is None:
        return verdict.next_check
    return verdict.hold.at


def _answer(
    reason: Reason,
    case: RuleCase = RuleCase(),
    *,
    fires: bool = False,
    reasons: Sequence[Reason] = (),
    last: int | None = None,
    tick: int | None = None,
    window: tuple[int, int] | None = None,
    evidence: Sequence[str] = (),
    next_check: int | None = None,
) -> Explanation:
    return {
        "fires": fires,
        "reason": reason,
        "sentence": verdict(reasons or [reason], case, fires=fires, last=last, tick=tick),
        "tier": case.tier,
        "value": case.value,
        "value_exact": True,
        "threshold": case.threshold,
        "figures": case.figures,
        "window": {"from": rfc3339(window[0]), "to": rfc3339(window[1])} if window is not None else None,
        "evidence": list(evidence),
        "cooldown_until": _shown(case.until),
        "last_trigger": _shown(last),
        "next_check": _shown(next_check),
    }


def _shown(at: int | str | None) -> str | None:
    return rfc3339(at) if isinstance(at, int) else at
