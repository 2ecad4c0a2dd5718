"""absence: no matching event for a while after the last one, or after the last `since` event; or the return from it.

An arm is a time at which waiting began. Its moment comes `for` later and considers the events before it. Among the
arms up to the clock only the newest matters: older ones have been decided or were ended by it.

With `alive`, a deadline is moved by the silences after its arm, and waits for a heartbeat that comes after it. Arms
that wait for one stay, whatever comes meanwhile, since their moment considers only what came before it.
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
    Wait,
    storable,
    subject_key,
    subject_of,
)
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.heartbeats import Heartbeat
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
    """One time at which an absence was armed. `over`: its moment has passed, or something ended it.

    `past`: its moment had passed already when it became known, and waits for a heartbeat. `offset`: of the event that
    armed it; None in states of earlier releases.
    """

    time: int
    over: bool = False
    event: Arming | None = None
    past: bool = False
    offset: int | None = None


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
        Reason.NOT_AWAY_LONG_ENOUGH, Reason.SOURCE_SILENT,
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
        last, heart = watch.arms[-1].time, self.heartbeat(ctx)
        if ctx.time - last - (heart.silent_up_to(last, ctx.time) if heart is not None else 0) < span:
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
        past = self._is_past(ctx, ctx.time)
        spent = past and ctx.silent  # a historical event fires nothing, and what is past is over
        watch.arms.insert(place, Arm(ctx.time, spent, None if spent else arming, past, ctx.offset))
        self._note(ctx, subject_key(self.slot, subject), watch)

    def _is_past(self, ctx: Situation, armed: int) -> bool:
        """Whether the deadline of an arm that becomes known now is past, though it may have to wait for a heartbeat."""
        span, heart = self.spans.get(ctx.state.tier), self.heartbeat(ctx)
        return span is not None and heart is not None and heart.deadline(armed, span) <= ctx.now

    def _note(self, ctx: Situation, key: SubjectKey, watch: AbsenceWatch) -> None:
        state, span = ctx.state, self.spans.get(ctx.state.tier)
        if self.alive is not None:
            state.waits.pop(key, None)
        if self.on_return or span is None:
            return
        ahead = [arm.time for arm in watch.arms if not arm.over]
        heart = self.heartbeat(ctx)
        at = ahead[0] + span if ahead else None
        if at is not None and heart is not None:
            at = self._look_again(ctx, key, ahead, heart)
        if at is not None and (watch.scheduled is None or at < watch.scheduled):
            watch.scheduled = at
            note(state, at, key)

    def _look_again(self, ctx: Situation, key: SubjectKey, ahead: list[int], heart: Heartbeat) -> int | None:
        """When the deadlines of these arms have to be looked at, besides whenever there is a heartbeat."""
        span, looks = self.spans[ctx.state.tier], []
        bound = awaited = None
        for armed in ahead:
            due = armed + span
            if due <= ctx.now:
                bound = due if bound is None else bound
                due = heart.deadline(armed, span)
                if due <= ctx.now and not heart.fires(due, ctx.now):
                    awaited = due if awaited is None else min(awaited, due)
                    due = heart.silent_from
                    if due <= ctx.now:
                        continue
            looks.append(due)
        if bound is not None and self.alive is not None:
            ctx.state.waits[key] = Wait(bound, self.alive, awaited)
        return min(looks, default=None)

    def _collapse(self, ctx: Situation, watch: AbsenceWatch) -> None:
        """Keep the newest time up to the clock, and all times after it."""
        if self.alive is not None:
            return self._collapse_guarded(ctx, watch)
        if len(watch.arms) > 1:
            past = bisect_right(watch.arms, ctx.now, key=lambda arm: arm.time)
            del watch.arms[: max(0, past - 1)]
        if len(watch.seen) > 1:
            del watch.seen[: max(0, bisect_right(watch.seen, ctx.now) - 1)]
        return None

    def _collapse_guarded(self, ctx: Situation, watch: AbsenceWatch) -> None:
        """Keep as much, and the arms whose moment may still wait, each with what came first after it."""
        arms, seen, span = watch.arms, watch.seen, self.spans.get(ctx.state.tier)
        newest = bisect_right(arms, ctx.now, key=lambda arm: arm.time) - 1
        waiting = {
            place
            for place in range(max(0, newest))
            if not arms[place].over and span is not None and arms[place].time + span <= arms[place + 1].time
        }
        kept = {*waiting, *(place + 1 for place in waiting), *range(max(0, newest), len(arms))}
        first = {bisect_left(seen, arms[place].time) for place in waiting}
        if newest >= 0 and not arms[newest].over:
            first.add(bisect_left(seen, arms[newest].time))
        first |= set(range(max(0, bisect_right(seen, ctx.now) - 1), len(seen)))
        watch.arms = [arms[place] for place in sorted(kept)]
        watch.seen = [seen[place] for place in sorted(first) if place < len(seen)]

    # -- moments ---------------------------------------------------------------------------------------------

    def schedule(self, ctx: Situation, kept: Iterable[SubjectKey]) -> None:
        """Reschedule every deadline."""
        watches = self.kept(ctx.state)
        for key in kept:
            watch = watches[key]
            watch.scheduled = None
            for arm in watch.arms if ctx.past else ():
                arm.past = arm.past or self._is_past(ctx, arm.time)
            self._note(ctx, key, watch)

    def falls_due(self, ctx: Situation, key: SubjectKey) -> list[Match]:
        """The matches of the subject's deadlines that are due at `ctx.time`."""
        watch, span = self.kept(ctx.state).get(key), self.spans.get(ctx.state.tier)
        if watch is None or span is None or self.on_return:
            return []
        if watch.scheduled is not None and watch.scheduled <= ctx.time:
            watch.scheduled = None
        found, heart = [], self.heartbeat(ctx)
        for arm in watch.arms:
            if not arm.over and arm.time + span <= ctx.time:
                at = ctx.time
                if heart is not None:
                    at = heart.deadline(arm.time, span)
                    if at > ctx.time or not heart.fires(at, ctx.now):
                        continue
                if not ctx.silent and not self._ended(watch, arm.time, at, past=ctx.past or arm.past):
                    evidence = [arm.event.offset] if arm.event is not None else []
                    found.append(self._hold(ctx, at, MOMENT, subject_of(key), evidence, arm.event))
                arm.over, arm.event = True, None
        self._note(ctx, key, watch)
        return found

    def _ended(self, watch: AbsenceWatch, armed: int, at: int, *, past: bool) -> bool:
        """Whether an event ended the wait: from the arm on, and before the moment (at a past moment: before now)."""
        times = [arm.time for arm in watch.arms if arm.time > armed]
        times += [time for time in watch.seen if time >= armed]
        return bool(times) if past else any(time < at for time in times)

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
        heart = self.heartbeat(ctx)
        if self.on_return:
            silent = heart.silent_up_to(arm.time, ctx.now) if heart is not None else 0
            away = ctx.now - arm.time - silent >= span
            reason = Reason.RETURNED if away else Reason.NOT_AWAY_LONG_ENOUGH
            hold = Match(ctx.now, ctx.offset, subject, threshold=shown)
            return Verdict(away, reason, hold, None, shown, (arm.time, ctx.now), evidence, armed=arm.time)
        due = arm.time + span if heart is None else heart.deadline(arm.time, span)
        if arm.over or any(time >= arm.time and time < due for time in watch.seen):
            return Verdict(False, Reason.NOT_ARMED, None, None, shown, window, evidence, armed=arm.time)
        if due > ctx.now:
            return Verdict(
                False, Reason.DEADLINE_AHEAD, None, None, shown, window, evidence, due, armed=arm.time
            )
        if heart is not None and not heart.fires(due, ctx.now):
            return Verdict(False, Reason.SOURCE_SILENT, None, None, shown, window, evidence, armed=arm.time)
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
        offsets = [] if arm.offset is None else [arm.offset]
        return Share(
            due is not None and due <= now, waited / span, value, shown, due, arm.event,
            evidence=lambda: offsets, shows=True,
        )  # fmt: skip

    def guarded_share(
        self, state: AccountState, subject: Subject, now: int, heart: Heartbeat
    ) -> Share | None:
        """The time since it was armed, without silences, by `for`."""
        found = self.share(state, subject, now)
        if found is None:
            return None
        span, armed = self.spans[state.tier], self.kept(state)[subject_key(self.slot, subject)].arms[-1].time
        waited = now - armed - heart.silent_up_to(armed, now)
        due = None if self.on_return else heart.deadline(armed, span)
        sure = due is not None and due <= now and heart.fires(due, now)
        return found._replace(holds=sure, share=waited / span, value=as_json(Value(waited, MILLION)), due=due)

    def _back(self, watch: AbsenceWatch) -> bool:
        """Whether a matching event has come since the last `since` event; without `since`, it arms anew."""
        return bool(watch.arms and watch.seen) and watch.seen[-1] >= watch.arms[-1].time
