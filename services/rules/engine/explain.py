"""Why a rule fires now, or why not: the same evaluation as for events and moments, with nothing changed by it."""

from typing import Any

from schemas.event import rfc3339
from schemas.reasons import Reason
from services.rules.engine.compile import RuleSet
from services.rules.engine.context import MOMENT, Context
from services.rules.engine.limits import NEVER
from services.rules.engine.live import LiveRule, Verdict
from services.rules.engine.state import AccountState, Subject, subject_key
from services.rules.engine.tracks import fit
from services.rules.engine.triggers import ids_of
from services.rules.engine.windows import DAY

NOW = -2  # stands for an event that would come now

Explanation = dict[str, Any]


def tier_of(rules: RuleSet, state: AccountState) -> tuple[str, str]:
    """The account's tier under these rules, and why it is that one."""
    return rules.tier(state.profile)


def explain(
    rules: RuleSet,
    rule_name: str,
    state: AccountState | None,
    account: str,  # noqa: ARG001 - the state says whose it is; unknown accounts have none
    contact: str | None,
    key: str | None,
    now: int,
) -> Explanation:
    """The verdict of one rule for one subject at `now` (microseconds); for rules of the daily tick, at the next one.

    `cooldown_until` is null also where the cooldown never ends. Whether a `where` over an event's own data holds can
    only be said when an event comes: it is left out here.
    """
    rule = rules.by_name.get(rule_name)
    if rule is None:
        return _answer(False, Reason.RULE_DRAFT)
    if state is None:
        return _answer(False, Reason.UNKNOWN_ACCOUNT)
    if state.profile.closed is not None:
        return _answer(False, Reason.ACCOUNT_MERGED)
    fit(state, rules.layout, rules.parts)
    tier = rules.tier(state.profile)[0]
    state.tier = tier
    if rule.per_contact and contact is None:
        return _answer(False, Reason.NO_CONTACT, tier)
    if rule.doc.by is not None and key is None:
        return _answer(False, Reason.NO_KEY, tier)
    subject = (contact if rule.per_contact else None, key if rule.doc.by is not None else None)
    verdict = _verdict(rule, state, subject, contact, now)
    holds, reason = _judged(rule, state, verdict)
    return _answer(holds, reason, tier, verdict, state, rule, subject, now)


def _verdict(rule: LiveRule, state: AccountState, subject: Subject, contact: str | None, now: int) -> Verdict:
    """What the members say; of an `all_of`, the first that says no."""
    ctx = Context()
    ctx.state, ctx.silent, ctx.past = state, True, False
    ctx.scope.profile, ctx.scope.tier, ctx.scope.contact = state.profile, state.tier, state.contact(contact)
    verdicts = [_member(rule, place, ctx, subject, now) for place in range(len(rule.members))]
    if rule.joint is None:
        return verdicts[0]
    held = [v for v in verdicts if v.hold is not None and v.holds]
    if held and rule.joint.close(rule, state, subject, now):
        return held[0]
    missing = next((v for v in verdicts if not v.holds), verdicts[0])
    return missing._replace(holds=False, reason=Reason.MEMBER_NOT_HELD)


def _member(rule: LiveRule, place: int, ctx: Context, subject: Subject, now: int) -> Verdict:
    member = rule.members[place]
    ctx.now, ctx.offset = now, NOW
    if member.ticks:
        ctx.now, ctx.offset = (now // DAY + 1) * DAY, MOMENT
    ctx.time = ctx.now
    return member.verdict(rule, ctx, subject)


def _judged(rule: LiveRule, state: AccountState, verdict: Verdict) -> tuple[bool, Reason]:
    if not verdict.holds or verdict.hold is None:
        return False, verdict.reason
    if not rule.fires:
        return False, Reason.RULE_PAUSED
    ctx = Context()
    ctx.state = state
    why = rule.judge(ctx, verdict.hold, None, know_event=False)
    if why is None and state.deep is not None and verdict.evidence and verdict.evidence[-1] in state.deep:
        why = Reason.LOOP  # it was reached by what nothing fires at
    return (True, verdict.reason) if why is None else (False, why)


def _answer(
    fires: bool,
    reason: Reason,
    tier: str | None = None,
    verdict: Verdict | None = None,
    state: AccountState | None = None,
    rule: LiveRule | None = None,
    subject: Subject = (None, None),
    now: int = 0,
) -> Explanation:
    last = until = None
    evidence: list[str] = []
    if state is not None and rule is not None:
        key = subject_key(rule.slot, subject)
        last = state.last.get(key)
        span = rule.cooldowns[state.tier]
        until = last + span if last is not None and 0 < span < NEVER and last + span > now else None
        found = ids_of(state, list(verdict.evidence or ()) if verdict is not None else [])
        evidence = [found[o] for o in (verdict.evidence or () if verdict is not None else ()) if o in found]
    window = verdict.window if verdict is not None else None
    return {
        "fires": fires,
        "reason": reason,
        "tier": tier,
        "value": verdict.value if verdict is not None else None,
        "value_exact": True,
        "threshold": verdict.threshold if verdict is not None else None,
        "window": {"from": rfc3339(window[0]), "to": rfc3339(window[1])} if window is not None else None,
        "evidence": evidence,
        "cooldown_until": rfc3339(until) if until is not None else None,
        "last_trigger": rfc3339(last) if last is not None else None,
        "next_check": rfc3339(verdict.next_check)
        if verdict is not None and verdict.next_check is not None
        else None,
    }
