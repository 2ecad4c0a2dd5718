"""absence: no matching event for a while after the last one, or after the last `since` event; or the return from it.

An arm is a time at which waiting began. Its moment comes `for` later and considers the events before it. Among the
arms up to the clock only the newest matters: older ones have been decided or were ended by it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import msgspec

from schemas.reasons import Reason
from schemas.trigger_kinds import absence as doc
from services.rules.engine.account_state import (
    AccountState,
    Subject,
    SubjectKey,
    storable,
    subject_key,
    subject_of,
)
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.kind_state import Arming, KindState
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
from services.rules.engine.per_tier import per_tier, spans
from services.rules.engine.subjects import Subjects
from services.rules.engine.timer_heap import note
from services.rules.engine.windows.fixed_point import MILLION, Value, as_json


class Arm(msgspec.Struct, array_like=True):
    """One time at which an absence was armed. `over`: its moment has passed, or something ended it."""

    time: int
    over: bool = False
    event: Arming | None = None


class AbsenceWatch(KindState):
    """The absence of one subject: its arms and, with `since`, the times of matching events that can still end one."""

    arms: list[Arm] = msgspec.field(default_factory=list)
    seen: list[int] = msgspec.field(default_factory=list)
    scheduled: int | None = None  # the earliest moment that the account's agenda has for it (not stored)

    def stored(self) -> tuple[list[Arm], list[int]]:
        """The fields that are not derived."""
        return self.arms, self.seen

    def armed(self) -> Iterable[Arming]:
        """The arming events whose deadlines are still ahead."""
        return [arm.event for arm in self.arms if arm.event is not None]

    def forget(self, contact: str) -> None:
        """Drop the contact and data of their events; the time of the arm stays."""
        for event in self.armed():
            if event.contact == contact:
                event.contact, event.data = None, None

    def pending(self) -> int | None:
        """The time of the oldest arm whose moment is still ahead."""
        return min((arm.time for arm in self.arms if not arm.over), default=None)


class Absence(TriggerKind):
    """A compiled absence."""

    name = "absence"
    words = doc.Absence
    reasons = frozenset({
        Reason.ABSENT, Reason.RETURNED, Reason.TIER_NOT_COVERED, Reason.NOT_ARMED, Reason.DEADLINE_AHEAD,
        Reason.NOT_AWAY_LONG_ENOUGH,
    })  # fmt: skip
    state = AbsenceWatch
    restarts_on = ("event", "where", "since")
    restarts_if_longer = ()
    keeps = ("for_", "fire")
    ticks = False

    def __init__(self, body: doc.Absence, slot: int, subjects: Subjects) -> None:
        self.slot, self.subjects = slot, subjects
        self.selector = EventFilter(body)
        self.since = EventFilter(body.since) if body.since is not None else None
        self.spans, self.shown = spans(body.for_), per_tier(body.for_)
        self.on_return = body.fire == "on_return"
        self.moments = not self.on_return
        self.reason = Reason.RETURNED if self.on_return else Reason.ABSENT

    def selectors(self) -> Iterable[EventFilter]:
        """The filters of the events that end the absence and that arm it."""
        return [self.selector] if self.since is None else [self.selector, self.since]

    # -- events ----------------------------------------------------------------------------------------------

    def arrive(self, ctx: Situation, before: object) -> Arrived:
        """A matching event ends the absence; a `since` event arms it, or without `since` the matching event does."""
        matches = self.selector.worth(ctx.scope) is not None
        subject = self.subjects.of(ctx.scope) if matches else None
        found: list[Match] = []
        if subject is not None:
            watch = self._watch(ctx.state, subject)
            if self.since is not None:
                insort(watch.seen, ctx.time)
            else:
                found = self._returns(ctx, subject, watch)
                self._arm(ctx, subject, watch)
            self._collapse(ctx, watch)
        if self.since is not None and self.since.worth(ctx.scope) is not None:
            for armed in self.subjects.since(ctx.scope):
                watch = self._watch(ctx.state, armed)
                self._arm(ctx, armed, watch)
                self._collapse(ctx, watch)
        return Arrived(found) if found else NOTHING

    def _watch(self, state: AccountState, subject: Subject) -> AbsenceWatch:
        key = subject_key(self.slot, subject)
        kept = self.kept(state)
        watch: AbsenceWatch | None = kept.get(key)
        if watch is None:
            watch = kept[key] = AbsenceWatch()
        return watch

    def _returns(self, ctx: Situation, subject: Subject, watch: AbsenceWatch) -> list[Match]:
        span = self.spans.get(ctx.state.tier)
        if not self.on_return or ctx.silent or span is None or not watch.arms:
            return []
        if ctx.time - watch.arms[-1].time < span:
            return []
        return [self._hold(ctx, ctx.time, ctx.offset, subject, [ctx.offset])]

    def _hold(
        self,
        ctx: Situation,
        at: int,
        offset: int,
        subject: Subject,
        evidence: list[int],
        arming: Arming | None = None,
    ) -> Match:
        shown = self.shown[ctx.state.tier]
        return Match(at, offset, subject, threshold=shown, evidence=lambda: evidence, arming=arming)

    def _arm(self, ctx: Situation, subject: Subject, watch: AbsenceWatch) -> None:
        place = bisect_left(watch.arms, ctx.time, key=lambda arm: arm.time)
        if place < len(watch.arms) and watch.arms[place].time == ctx.time:
            return  # two events at the same time arm once
        event = ctx.event
        arming = None
        if event is not None and not self.on_return:
            data = storable(event.data)
            arming = Arming(event.id, event.source, event.type, ctx.time, ctx.offset, event.contact, data)
        watch.arms.insert(place, Arm(ctx.time, False, arming))
        self._note(ctx.state, subject_key(self.slot, subject), watch)

    def _note(self, state: AccountState, key: SubjectKey, watch: AbsenceWatch) -> None:
        span = self.spans.get(state.tier)
        if self.on_return or span is None:
            return
        ahead = [arm.time for arm in watch.arms if not arm.over]
        if ahead and (watch.scheduled is None or ahead[0] + span < watch.scheduled):
            watch.scheduled = ahead[0] + span
            note(state, watch.scheduled, key)

    def _collapse(self, ctx: Situation, watch: AbsenceWatch) -> None:
        """Keep the newest time up to the clock, and all times after it."""
        if len(watch.arms) > 1:
            past = bisect_right(watch.arms, ctx.now, key=lambda arm: arm.time)
            del watch.arms[: max(0, past - 1)]
        if len(watch.seen) > 1:
            del watch.seen[: max(0, bisect_right(watch.seen, ctx.now) - 1)]

    # -- moments ---------------------------------------------------------------------------------------------

    def schedule(self, ctx: Situation, kept: Iterable[SubjectKey]) -> None:
        """Reschedule every deadline."""
        watches = self.kept(ctx.state)
        for key in kept:
            watch = watches[key]
            watch.scheduled = None
            self._note(ctx.state, key, watch)

    def falls_due(self, ctx: Situation, key: SubjectKey) -> list[Match]:
        """The matches of the subject's deadlines that are due at `ctx.time`."""
        watch, span = self.kept(ctx.state).get(key), self.spans.get(ctx.state.tier)
        if watch is None or span is None or self.on_return:
            return []
        if watch.scheduled is not None and watch.scheduled <= ctx.time:
            watch.scheduled = None
        found = []
        for arm in watch.arms:
            if not arm.over and arm.time + span <= ctx.time:
                if not ctx.silent and not self._ended(ctx, watch, arm.time):
                    evidence = [arm.event.offset] if arm.event is not None else []
                    found.append(self._hold(ctx, ctx.time, MOMENT, subject_of(key), evidence, arm.event))
                arm.over, arm.event = True, None
        self._note(ctx.state, key, watch)
        return found

    def _ended(self, ctx: Situation, watch: AbsenceWatch, armed: int) -> bool:
        """Whether an event ended the wait: from the arm on, and before the moment (at a past moment: before now)."""
        times = [arm.time for arm in watch.arms if arm.time > armed]
        times += [time for time in watch.seen if time >= armed]
        return bool(times) if ctx.past else any(time < ctx.time for time in times)

    def sweep(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Drop a subject that nothing can affect any more; who is away, or may return, stays known for ever."""
        watches = self.kept(state)
        watch = watches[key]
        if self.on_return or any(not arm.over for arm in watch.arms) or not self._back(watch):
            return
        if all(arm.time < floor for arm in watch.arms) and all(time < floor for time in watch.seen):
            del watches[key]

    # -- explaining ------------------------------------------------------------------------------------------

    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """Where the subject stands: not armed, waiting for its deadline, or away."""
        span, shown = self.spans.get(ctx.state.tier), self.shown.get(ctx.state.tier)
        if span is None:
            return Verdict(False, Reason.TIER_NOT_COVERED)
        watch = self.kept(ctx.state).get(subject_key(self.slot, subject))
        arms = watch.arms if watch is not None else []
        if watch is None or not arms:
            return Verdict(False, Reason.NOT_ARMED, threshold=shown)
        arm = arms[-1]
        window = (arm.time, min(ctx.now, arm.time + span))
        evidence = [arm.event.offset] if arm.event is not None else []
        if self.on_return:
            away = ctx.now - arm.time >= span
            reason = Reason.RETURNED if away else Reason.NOT_AWAY_LONG_ENOUGH
            hold = Match(ctx.now, ctx.offset, subject, threshold=shown)
            return Verdict(away, reason, hold, None, shown, (arm.time, ctx.now), evidence, armed=arm.time)
        due = arm.time + span
        if arm.over or any(time >= arm.time and time < due for time in watch.seen):
            return Verdict(False, Reason.NOT_ARMED, None, None, shown, window, evidence, armed=arm.time)
        if due > ctx.now:
            return Verdict(
                False, Reason.DEADLINE_AHEAD, None, None, shown, window, evidence, due, armed=arm.time
            )
        hold = Match(due, MOMENT, subject, threshold=shown, arming=arm.event)
        return Verdict(True, Reason.ABSENT, hold, None, shown, window, evidence, armed=arm.time)

    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """The time since it was armed by `for`. A rule of the return never holds: nobody has come back yet."""
        span, shown = self.spans.get(state.tier), self.shown.get(state.tier)
        watch = self.kept(state).get(subject_key(self.slot, subject))
        if span is None or watch is None or not watch.arms or self._back(watch):
            return None
        arm = watch.arms[-1]
        waited = now - arm.time
        due = None if self.on_return else arm.time + span
        value = as_json(Value(waited, MILLION))
        return Share(due is not None and due <= now, waited / span, value, shown, due, arm.event)

    def _back(self, watch: AbsenceWatch) -> bool:
        """Whether a matching event has come since the last `since` event; without `since`, it arms anew."""
        return bool(watch.arms and watch.seen) and watch.seen[-1] >= watch.arms[-1].time
