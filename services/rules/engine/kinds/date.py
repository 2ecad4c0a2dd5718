"""date: a span before or after a date of the account (or contact), once per value of the date.

A moment that is already past when it becomes known still runs, unless it is past by more than `late`.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from schemas.conditions.codegen import Scope, getter_of
from schemas.dates import date_of
from schemas.duration import parse_duration
from schemas.reasons import Reason
from schemas.trigger_kinds import date as doc
from schemas.trigger_kinds.base import Selector
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key, subject_of
from services.rules.engine.calendar_spans import Span, first_after, span_at
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.kind_state import KindState
from services.rules.engine.kinds.base import (
    MOMENT,
    NOTHING,
    Arrived,
    Match,
    Share,
    Situation,
    TriggerKind,
    Verdict,
)
from services.rules.engine.per_tier import date_spans, per_tier
from services.rules.engine.subjects import ALL, Subjects
from services.rules.engine.timer_heap import note

UPDATES = ("account.updated", "contact.updated")
VALUES_KEPT, MOMENTS_KEPT = 16, 64


class DateMoments(KindState):
    """The subject's moments that have passed: the date's value as text to (moment, whether it ran)."""

    been: dict[str, list[tuple[int, bool]]] = msgspec.field(default_factory=dict)

    def forget(self, contact: str) -> None:
        """Nothing to forget: the state holds no other contact."""


class Date(TriggerKind):
    """A compiled date."""

    name = "date"
    words = doc.Date
    reasons = frozenset({
        Reason.DATE_REACHED, Reason.TIER_NOT_COVERED, Reason.NO_DATE, Reason.DATE_AHEAD, Reason.DATE_PAST,
    })  # fmt: skip
    state = DateMoments
    restarts_on = ()
    restarts_if_longer = ()
    keeps = ("attribute", "before", "after", "repeat", "late")
    dated = True
    reason = Reason.DATE_REACHED
    ticks = False
    moments = True

    def __init__(self, body: doc.Date, slot: int, subjects: Subjects) -> None:
        self.slot, self.body, self.subjects = slot, body, subjects
        self._get: Callable[[Scope], object] = getter_of(body.attribute)
        span = body.before if body.before is not None else body.after
        self.sign = -1 if body.before is not None else 1
        self.spans, self.shown = date_spans(span), per_tier(span)
        self.late = parse_duration(body.late)
        self._updates = EventFilter(Selector(event=list(UPDATES)))

    def selectors(self) -> Iterable[EventFilter]:
        """The filter of updates, which bring new dates."""
        return [self._updates]

    def arrive(self, ctx: Situation, before: object) -> Arrived:
        """Nothing holds at an update; the engine reschedules the moments after it."""
        return NOTHING

    def schedule(self, ctx: Situation, kept: Iterable[SubjectKey]) -> None:
        """Put the next moment of every subject onto the agenda."""
        for subject in self._subjects(ctx.state):
            self._note(ctx, subject_key(self.slot, subject), ctx.now)

    def _subjects(self, state: AccountState) -> list[Subject]:
        if not self.subjects.per_contact:
            return [ALL]
        return [(contact, None) for contact in state.profile.contacts]

    def _note(self, ctx: Situation, key: SubjectKey, now: int) -> None:
        found = self._next(ctx.state, key, now)
        if found is not None and ctx.state.noted.get(key) != found:
            ctx.state.noted[key] = found
            note(ctx.state, found, key)

    def _value(self, state: AccountState, subject: Subject) -> object:
        return self._get(Scope(None, state.profile, state.contact(subject[0]), state.tier))

    def _next(self, state: AccountState, key: SubjectKey, now: int) -> int | None:
        """The next moment to run: one that has not passed yet, or is past by no more than `late`."""
        span = self.spans.get(state.tier)
        value = self._value(state, subject_of(key))
        start = date_of(value, state.profile.timezone) if span is not None else None
        if span is None or start is None:
            return None
        kept = self.kept(state).get(key)
        been = kept.been.get(str(value), []) if kept is not None else []
        if not self.body.repeat and any(ran for _, ran in been):
            return None  # once per value
        return self._unspent(start, span, [at for at, _ in been], now)

    def _unspent(self, start: datetime, span: Span, been: list[int], now: int) -> int | None:
        time = now - self.late - 1
        if len(been) >= MOMENTS_KEPT:
            time = max(time, been[0])  # every moment before the oldest one remembered has passed too
        while True:
            at = first_after(start, span, self.sign, repeat=self.body.repeat, time=time)
            if at is None or at not in been:
                return at
            time = at

    def falls_due(self, ctx: Situation, key: SubjectKey) -> list[Match]:
        """The match of a moment that is due, unless the date or the tier has changed since it was scheduled."""
        state, subject = ctx.state, subject_of(key)
        if state.noted.get(key) == ctx.time:
            del state.noted[key]
        gone = self.subjects.per_contact and subject[0] not in state.profile.contacts
        if gone or self._next(state, key, ctx.now) != ctx.time:
            return []
        self._remember(state, key, ctx.time, ran=not ctx.silent)
        self._note(ctx, key, ctx.now)
        return [] if ctx.silent else [Match(ctx.time, MOMENT, subject, threshold=self.shown[state.tier])]

    def _remember(self, state: AccountState, key: SubjectKey, at: int, *, ran: bool) -> None:
        been = self.kept(state).setdefault(key, DateMoments()).been
        text = str(self._value(state, subject_of(key)))
        been[text] = sorted([*been.pop(text, []), (at, ran)])[-MOMENTS_KEPT:]
        while len(been) > VALUES_KEPT:
            del been[next(iter(been))]

    def sweep(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Drop the state of contacts that are gone."""
        contact = subject_of(key)[0]
        if contact is not None and contact not in state.profile.contacts:
            del self.kept(state)[key]

    # -- explaining ------------------------------------------------------------------------------------------

    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """When the next moment is, or why there is none."""
        state, key = ctx.state, subject_key(self.slot, subject)
        span, shown = self.spans.get(state.tier), self.shown.get(state.tier)
        if span is None:
            return Verdict(False, Reason.TIER_NOT_COVERED)
        if date_of(self._value(state, subject), state.profile.timezone) is None:
            return Verdict(False, Reason.NO_DATE, threshold=shown)
        at = self._next(state, key, ctx.now)
        if at is None:
            return Verdict(False, Reason.DATE_PAST, threshold=shown)
        if at > ctx.now:
            return Verdict(False, Reason.DATE_AHEAD, threshold=shown, next_check=at)
        return Verdict(True, Reason.DATE_REACHED, Match(at, MOMENT, subject, threshold=shown), None, shown)

    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """It holds from its moment until the date, or with `after` for as long again."""
        span, shown = self.spans.get(state.tier), self.shown.get(state.tier)
        start = date_of(self._value(state, subject), state.profile.timezone) if span is not None else None
        if span is None or start is None:
            return None
        held = span_at(start, span, self.sign, repeat=self.body.repeat, time=now)
        if held is not None:
            return Share(True, 1.0, None, shown, held)
        ahead = first_after(start, span, self.sign, repeat=self.body.repeat, time=now)
        return Share(False, 0.0, None, shown, ahead)
