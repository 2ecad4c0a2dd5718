"""threshold: an aggregate over an exact sliding window, or over all time, compared with a number.

`at_least` and `above` are checked at events: at the event that arrives and, if it is out of order, at every
matching event whose window contains it. `at_most` and `below` are checked at the daily tick. `unless` uses this
kind too.
"""

from array import array
from collections.abc import Callable, Iterable
from fractions import Fraction
from math import ceil, floor

from schemas.conditions.codegen import Scope, getter_of
from schemas.duration import parse_duration
from schemas.reasons import Reason
from schemas.trigger_kinds import threshold as doc
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key
from services.rules.engine.account_state import slot as digest
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.fastpath.shared_series import series_of
from services.rules.engine.kinds.base import (
    MOMENT,
    NOTHING,
    Arrived,
    Match,
    Share,
    Situation,
    TriggerKind,
    Verdict,
    series,
)
from services.rules.engine.per_tier import limits, per_tier
from services.rules.engine.subjects import ALL, Subjects
from services.rules.engine.windows.all_time import AllTimeBase, combined, fold
from services.rules.engine.windows.fixed_point import MILLION, Value, as_json, holds, micro, ratio
from services.rules.engine.windows.series import FOREVER, WIDTHS, drop_before, insert, upto
from services.rules.engine.windows.sliding import reaching

EVIDENCE = 20
STRAIGHT = ("count", "sum", "distinct")  # aggregates that `reaching` can carry along as a window slides
Window = tuple[int, int]  # first and last time that count, both inclusive


class Threshold(TriggerKind):
    """A compiled threshold."""

    name = "threshold"
    words = doc.Threshold
    reasons = frozenset({
        Reason.THRESHOLD_REACHED, Reason.TIER_NOT_COVERED, Reason.BELOW_THRESHOLD, Reason.ABOVE_THRESHOLD,
        Reason.NO_VALUE, Reason.NOT_SINCE, Reason.PER_MISSING, Reason.NOT_KNOWN_LONG_ENOUGH,
    })  # fmt: skip
    state = AllTimeBase
    restarts_on = ("event", "where", "aggregate", "of", "since")
    restarts_if_longer = ("within",)
    keeps = ("per", *doc.OPERATORS)
    reason = Reason.THRESHOLD_REACHED
    moments = False

    def __init__(self, body: doc.Threshold, slot: int, subjects: Subjects, *, unless: bool = False) -> None:
        self.slot, self.since_slot = slot, slot ^ 1
        self.subjects, self._unless = subjects, unless
        self.aggregate, self.width = body.aggregate, WIDTHS[body.aggregate]
        self.selector = EventFilter(body, body.aggregate, body.of)
        # in a shared series: the column of this rule's amounts
        self.column = digest(self.aggregate, body.of) if self.width > 2 else None
        self.operator = body.operator
        self.limits: dict[str, Fraction] = limits(getattr(body, self.operator))
        self.shown = per_tier(getattr(body, self.operator))
        self.within = self.look_back = parse_duration(body.within) if body.within is not None else None
        self.since = EventFilter(body.since) if body.since is not None else None
        self.since_for = (
            parse_duration(body.since.for_) if body.since is not None and body.since.for_ else None
        )
        self._per = getter_of(body.per) if body.per is not None else None
        self.ticks = body.at_tick and not unless
        self.needed = self._needed()

    def _needed(self) -> dict[str, int] | None:
        """For a rising count, sum or distinct of a plain window: the least that holds, per tier (sums: millionths)."""
        plain = self.within is not None and self.since is None and self._per is None
        if not plain or self.operator not in ("at_least", "above") or self.aggregate not in STRAIGHT:
            return None
        scale = MILLION if self.aggregate == "sum" else 1
        least = {t: x * scale for t, x in self.limits.items()}
        found = {t: ceil(x) if self.operator == "at_least" else floor(x) + 1 for t, x in least.items()}
        return found if self.aggregate == "sum" else {t: max(1, x) for t, x in found.items()}

    def selectors(self) -> Iterable[EventFilter]:
        """The filters of the events that it counts, and of those it counts from."""
        return [self.selector] if self.since is None else [self.selector, self.since]

    # -- events ----------------------------------------------------------------------------------------------

    def arrive(self, ctx: Situation, before: object = None) -> Arrived:
        """Count an event; returns the matches in time order."""
        if self.since is not None and self.since.worth(ctx.scope) is not None:
            mark = array("q", (ctx.time, ctx.offset))
            for begun in self.subjects.since(ctx.scope):
                key = subject_key(self.since_slot, begun)
                insert(series(ctx.state, key), 2, mark)
        amount = self.selector.worth(ctx.scope)
        if amount is None:
            return NOTHING
        subject = self.subjects.of(ctx.scope)
        if subject is None:
            return NOTHING
        key = subject_key(self.slot, subject)
        record = array("q", (ctx.time, ctx.offset, amount)[: self.width])
        counted = series(ctx.state, key)
        place = insert(counted, self.width, record)
        if self._unless or self.ticks or ctx.silent or ctx.state.tier not in self.limits:
            return NOTHING
        found = self._checks(ctx.state, subject, key, counted, place)
        return Arrived(found) if found else NOTHING

    def completed(self, state: AccountState, time: int) -> list[Match]:
        """The matches after an event was put into the shared series out of order."""
        assert self.within is not None  # noqa: S101 - only windows share series
        counted = series_of(state.shared, state.layout, self.slot, self.column, time - self.within + 1)
        return self._checks(state, ALL, self.slot, counted, upto(counted, self.width, time) - 1)

    def _checks(
        self, state: AccountState, subject: Subject, key: SubjectKey, counted: "array[int]", place: int
    ) -> list[Match]:
        """The matches at a record that was just inserted, and at the records whose windows contain it."""
        width = self.width
        high = len(counted) // width
        if self.within is not None:
            high = upto(counted, width, counted[place * width] + self.within - 1)
        places: Iterable[int] = range(place, high)
        if self.needed is not None and self.within is not None:
            needed = self.needed[state.tier]
            places = list(reaching(counted, width, self.aggregate, range(place, high), self.within, needed))
        found = []
        for one in places:
            at, offset = counted[one * width], counted[one * width + 1]
            if one == place or offset not in state.muted:
                found.append(self.check(state, subject, key, at, offset))
        return [hold for hold in found if hold is not None]

    def check(
        self, state: AccountState, subject: Subject, key: SubjectKey, at: int, offset: int
    ) -> Match | None:
        """The match of the window that ends at `at`, if it holds; the tier must be covered.

        `at` is the time of the event at `offset`, or a moment.
        """
        last = at - 1 if offset == MOMENT else at
        value, window = self.value(state, subject, at, last)
        if value is None or not holds(self.operator, value, self.limits[state.tier]):
            return None
        return Match(
            at,
            offset,
            subject,
            value=value,
            threshold=self.shown[state.tier],
            evidence=self._evidence(state, key, window),
            window=self._span(state, at, window),
        )

    def _span(self, state: AccountState, at: int, window: Window) -> tuple[int, int]:
        """The span that a value was measured over, as it is shown to people."""
        span = (at - self.within if self.within is not None else state.earliest, at)
        if self.since is not None and window[1] >= window[0]:
            return max(span[0], window[0]), min(at, window[1])
        return span

    def _evidence(self, state: AccountState, key: SubjectKey, window: Window) -> Callable[[], list[int]]:
        def offsets() -> list[int]:
            counted = self._series(state, key, window[0])
            low = upto(counted, self.width, window[0] - 1)
            high = upto(counted, self.width, window[1])
            low = max(low, high - EVIDENCE)
            return list(counted[low * self.width + 1 : high * self.width : self.width])

        return offsets

    # -- values ----------------------------------------------------------------------------------------------

    def value(self, state: AccountState, subject: Subject, at: int, last: int) -> tuple[Value | None, Window]:
        """The value of the window (at - within, last] from the latest `since` event on, and that window.

        The value is None if the aggregate of the window has none.
        """
        first = -FOREVER if self.within is None else at - self.within + 1
        mark = None
        if self.since is not None:
            mark = self._mark(state, subject, last)
            if mark is None:
                first, last = 0, -1
            else:
                first = max(first, mark)
                last = last if self.since_for is None else min(last, mark + self.since_for)
        key = subject_key(self.slot, subject)
        counted = self._series(state, key, first)
        low = upto(counted, self.width, first - 1)
        high = max(low, upto(counted, self.width, last))
        base = self.kept(state).get(key) if self.within is None else None
        if base is not None and self.since is not None and base.mark != mark:
            base = None
        value = combined(self.aggregate, base, counted, self.width, low, high)
        return self._divided(state, value), (first, last)

    def _series(self, state: AccountState, key: SubjectKey, first: int) -> "array[int]":
        """The subject's own series, or its part of a shared one, at least from the time `first` on."""
        found = state.stores.get(key)
        if found is not None:
            return found
        if not isinstance(key, int):
            return array("q")
        return series_of(state.shared, state.layout, key, self.column, first)

    def _mark(self, state: AccountState, subject: Subject, last: int) -> int | None:
        """The time of the subject's last `since` event up to `last`."""
        marks = state.stores.get(subject_key(self.since_slot, subject))
        count = upto(marks, 2, last) if marks is not None else 0
        return marks[(count - 1) * 2] if marks is not None and count else None

    def _divided(self, state: AccountState, value: Value | None) -> Value | None:
        if value is None or self._per is None:
            return value
        divisor = self._divisor(state)
        return value.over(divisor) if divisor is not None else None

    def _divisor(self, state: AccountState) -> int | None:
        assert self._per is not None  # noqa: S101 - asked only where there is one
        divisor = micro(self._per(Scope(profile=state.profile, tier=state.tier)))
        return divisor if divisor is not None and divisor > 0 else None

    def holds_at(self, state: AccountState, hold: Match) -> bool:
        """Whether this `unless` holds for a match's subject at its time. In a tier that is left out it never does."""
        limit = self.limits.get(state.tier)
        if limit is None:
            return False
        last = hold.at - 1 if hold.offset == MOMENT else hold.at
        value, _ = self.value(state, (hold.subject[0], None), hold.at, last)
        return value is not None and holds(self.operator, value, limit)

    # -- ticks -----------------------------------------------------------------------------------------------

    def first_tick(self, ctx: Situation) -> int | None:
        """The time at which the account will have been known for the length of the window."""
        if ctx.state.tier not in self.limits or self.within is None:
            return None
        return ctx.state.earliest + self.within

    def tick(self, ctx: Situation) -> list[Match]:
        """Check the window that ends before the tick."""
        state = ctx.state
        if state.tier not in self.limits or self.within is None or state.earliest > ctx.time - self.within:
            return []
        hold = self.check(state, ALL, self.slot, ctx.time, MOMENT)
        return [] if hold is None else [hold]

    # -- housekeeping ----------------------------------------------------------------------------------------

    def sweep(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Nothing to drop: folded records stay for ever."""

    def sweep_series(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Drop records before every window that can still be asked for; for all time, fold the old ones."""
        counted = state.stores[key]
        kept_since = (key if isinstance(key, int) else key[0]) == self.since_slot
        if kept_since:
            count = upto(counted, 2, floor)
            if count > 1:
                del counted[: (count - 1) * 2]
        elif self.within is not None:
            drop_before(counted, self.width, floor - self.within + 1)
        else:
            subject = ALL if isinstance(key, int) else (key[1], key[2])
            mark = self._mark(state, subject, floor - 1) if self.since is not None else None
            if self.since is not None and mark is None:
                drop_before(counted, self.width, floor)  # counting starts with a `since` event still to come
            else:
                fold(self.kept(state), key, self.aggregate, counted, self.width, floor, mark, self.since_for)
        if not counted and key not in self.kept(state):
            del state.stores[key]

    # -- explaining ------------------------------------------------------------------------------------------

    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """Whether it holds now; for the daily tick, whether it will hold if nothing more comes."""
        state, at = ctx.state, ctx.now
        offset = ctx.offset
        if state.tier not in self.limits:
            return Verdict(False, Reason.TIER_NOT_COVERED)
        last = at - 1 if offset == MOMENT else at
        value, window = self.value(state, subject, at, last)
        shown = self.shown[state.tier]
        span = self._span(state, at, window)
        key = subject_key(self.slot, subject)
        evidence = self._evidence(state, key, window)()
        reason = self._why(state, subject, last, value, at)
        hold = Match(at, MOMENT if self.ticks else offset, subject, value=value, threshold=shown)
        done = reason is Reason.THRESHOLD_REACHED
        return Verdict(done, reason, hold, as_json(value), shown, span, evidence, at if self.ticks else None)

    def _why(self, state: AccountState, subject: Subject, last: int, value: Value | None, at: int) -> Reason:
        if self.ticks and self.within is not None and state.earliest > at - self.within:
            return Reason.NOT_KNOWN_LONG_ENOUGH
        if self._per is not None and self._divisor(state) is None:
            return Reason.PER_MISSING
        if value is not None and holds(self.operator, value, self.limits[state.tier]):
            return Reason.THRESHOLD_REACHED
        if self.since is not None and self._mark(state, subject, last) is None:
            return Reason.NOT_SINCE
        if value is None:
            return Reason.NO_VALUE
        return Reason.BELOW_THRESHOLD if self.operator in ("at_least", "above") else Reason.ABOVE_THRESHOLD

    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """The value by the threshold, or the other way round for `at_most` and `below`."""
        limit = self.limits.get(state.tier)
        young = self.ticks and self.within is not None and state.earliest > now - self.within
        if limit is None or young:
            return None
        value, window = self.value(state, subject, now, now)
        if value is None:
            return None
        near = ratio(value, limit, rising=self.operator in ("at_least", "above"))
        return Share(
            holds(self.operator, value, limit), near, as_json(value), self.shown[state.tier],
            evidence=self._evidence(state, subject_key(self.slot, subject), window),
            window=self._span(state, now, window), shows=not self.ticks,
        )  # fmt: skip
