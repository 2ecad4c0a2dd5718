"""trend: the rate of the recent span compared with that of the span just before it, decided at the daily tick."""

from array import array
from collections.abc import Iterable

from schemas.duration import parse_duration
from schemas.reasons import Reason
from schemas.trigger_kinds import trend as doc
from services.rules.engine.account_state import AccountState, Subject
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.kinds.base import (
    MOMENT,
    NOTHING,
    RETICK,
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
from services.rules.engine.windows.fixed_point import Value, as_json, ratio
from services.rules.engine.windows.series import WIDTHS, insert, measure, upto

EVIDENCE = 20


class Trend(TriggerKind):
    """A compiled trend; it counts for whole accounts only."""

    name = "trend"
    words = doc.Trend
    reasons = frozenset({
        Reason.TREND_FELL, Reason.TREND_ROSE, Reason.TIER_NOT_COVERED, Reason.NOT_KNOWN_LONG_ENOUGH,
        Reason.BASELINE_TOO_SMALL, Reason.CHANGE_TOO_SMALL,
    })  # fmt: skip
    state = None
    restarts_on = ("event", "where", "aggregate", "of")
    restarts_if_longer = ("over", "baseline")
    keeps = ("falls_by", "rises_by", "min_baseline")
    ticks = True
    moments = False

    def __init__(self, body: doc.Trend, slot: int, subjects: Subjects) -> None:
        self.slot, self.body = slot, body
        self.aggregate, self.width = body.aggregate, WIDTHS[body.aggregate]
        self.selector = EventFilter(body, body.aggregate, body.of)
        self.over, self.baseline = parse_duration(body.over), parse_duration(body.baseline)
        self.look_back = self.over + self.baseline
        self.falls = body.falls_by is not None
        self.reason = Reason.TREND_FELL if self.falls else Reason.TREND_ROSE
        share = body.falls_by if self.falls else body.rises_by
        self.limits, self.shown = limits(share), per_tier(share)

    def selectors(self) -> Iterable[EventFilter]:
        """The filter of the events that it counts."""
        return [self.selector]

    def arrive(self, ctx: Situation, before: object) -> Arrived:
        """Count an event. Nothing holds before the daily tick."""
        amount = self.selector.worth(ctx.scope)
        if amount is None:
            return NOTHING
        dormant = self._dormant(ctx)
        record = array("q", (ctx.time, ctx.offset, amount)[: self.width])
        insert(series(ctx.state, self.slot), self.width, record)
        return RETICK if dormant else NOTHING

    def _dormant(self, ctx: Situation) -> bool:
        """Whether both spans are empty, now and (unless new events come) at every tick to come."""
        counted = ctx.state.stores.get(self.slot)
        return not counted or counted[-self.width] <= ctx.now - self.over - self.baseline

    def first_tick(self, ctx: Situation) -> int | None:
        """The time from which both spans are known; None without events in them, since there is nothing to compare."""
        if ctx.state.tier not in self.limits or self._dormant(ctx):
            return None
        return ctx.state.earliest + self.over + self.baseline

    def looks_at(self, at: int) -> Iterable[tuple[int, int]]:
        """Both spans: a silence in either changes what is compared."""
        middle = at - self.over
        return [(middle, at), (middle - self.baseline, middle)]

    def tick(self, ctx: Situation) -> list[Match]:
        """Compare the spans that end before the tick."""
        verdict = self._compare(ctx.state, ctx.time)
        return [verdict.hold] if verdict.holds and verdict.hold is not None else []

    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """Whether it will hold at the next tick if nothing more comes."""
        return self._compare(ctx.state, ctx.now)._replace(next_check=ctx.now)

    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """The change of the two spans that end now, by the limit."""
        if state.tier not in self.limits or state.earliest > now - self.over - self.baseline:
            return None
        recent, old, enough, offsets = self._spans(state, now, now)
        if not enough:
            return None
        change = self._change(recent, old)
        near = ratio(change, self.limits[state.tier], rising=True)
        return Share(
            self._changed(state, recent, old), near, as_json(change), self.shown[state.tier],
            evidence=lambda: offsets, window=(now - self.over, now), figures={"recent": recent, "baseline": old},
        )  # fmt: skip

    def _compare(self, state: AccountState, at: int) -> Verdict:
        if state.tier not in self.limits:
            return Verdict(False, Reason.TIER_NOT_COVERED)
        shown, window = self.shown[state.tier], (at - self.over - self.baseline, at)
        if state.earliest > window[0]:
            return Verdict(False, Reason.NOT_KNOWN_LONG_ENOUGH, None, None, shown, window)
        recent, old, enough, offsets = self._spans(state, at, at - 1)
        figures = {"recent": recent, "baseline": old}
        if not enough:
            return Verdict(
                False, Reason.BASELINE_TOO_SMALL, None, None, shown, window, offsets, figures=figures
            )
        change = self._change(recent, old)
        value = as_json(change)
        if not self._changed(state, recent, old):
            return Verdict(
                False, Reason.CHANGE_TOO_SMALL, None, value, shown, window, offsets, figures=figures
            )
        hold = Match(
            at, MOMENT, ALL, value=change, threshold=shown, evidence=lambda: offsets,
            figures=figures, window=(at - self.over, at),
        )  # fmt: skip
        return Verdict(True, self.reason, hold, value, shown, window, offsets, figures=figures)

    def _spans(self, state: AccountState, at: int, last: int) -> tuple[Value, Value, bool, list[int]]:
        """The worth of both spans, whether the baseline's is enough to compare with, and offsets of recent events.

        The recent span is (at - over, last].
        """
        counted, width = state.stores.get(self.slot, array("q")), self.width
        low, middle = (
            upto(counted, width, at - self.over - self.baseline),
            upto(counted, width, at - self.over),
        )
        high = max(middle, upto(counted, width, last))
        recent, old = self._worth(counted, middle, high), self._worth(counted, low, middle)
        offsets = list(counted[max(middle, high - EVIDENCE) * width + 1 : high * width : width])
        return recent, old, middle - low >= self.body.min_baseline and old.num > 0, offsets

    def _worth(self, counted: "array[int]", low: int, high: int) -> Value:
        worth = measure(self.aggregate, counted, self.width, low, high)
        return worth if worth is not None else Value(0, 1)

    def _change(self, recent: Value, old: Value) -> Value:
        """By how many per cent the recent rate is below (or above) the baseline's rate."""
        new = recent.num * old.den * self.baseline
        base = old.num * recent.den * self.over
        return Value(100 * (base - new if self.falls else new - base), base)

    def _changed(self, state: AccountState, recent: Value, old: Value) -> bool:
        """Compares recent / over with old / baseline · (1 ∓ share/100), without dividing."""
        share = self.limits[state.tier] / 100
        factor = 1 - share if self.falls else 1 + share
        left = recent.num * old.den * self.baseline * factor.denominator
        right = old.num * recent.den * self.over * factor.numerator
        return left <= right if self.falls else left >= right
