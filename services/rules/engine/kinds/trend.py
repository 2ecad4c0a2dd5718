"""trend: the rate of the recent span against that of the span just before it, decided at the daily tick."""

from array import array
from collections.abc import Iterable

from schemas.duration import parse_duration
from schemas.reasons import Reason
from schemas.trigger_kinds import trend as doc
from services.rules.engine.account_state import AccountState, Subject, SubjectKey
from services.rules.engine.compiled_rule import BaseKind, CompiledRule, Verdict
from services.rules.engine.context import MOMENT, Context, Match
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.per_tier import limits, per_tier
from services.rules.engine.windows.fixed_point import Value, as_json
from services.rules.engine.windows.series import WIDTHS, drop_before, insert, measure, upto

EVIDENCE = 20


class Trend(BaseKind):
    """A compiled trend; it counts for whole accounts only."""

    name = "trend"
    ticks = True
    moments = False

    def __init__(self, body: doc.Trend, slot: int) -> None:
        self.slot, self.body = slot, body
        self.aggregate, self.width = body.aggregate, WIDTHS[body.aggregate]
        self.selector = EventFilter(body, body.aggregate, body.of)
        self.over, self.baseline = parse_duration(body.over), parse_duration(body.baseline)
        self.falls = body.falls_by is not None
        share = body.falls_by if self.falls else body.rises_by
        self.limits, self.shown = limits(share), per_tier(share)

    def selectors(self) -> Iterable[EventFilter]:
        """What it counts."""
        return [self.selector]

    def arrive(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """Count an event."""
        amount = self.selector.worth(ctx.scope)
        if amount is not None:
            ctx.retick = ctx.retick or self._dormant(ctx)
            record = array("q", (ctx.time, ctx.offset, amount)[: self.width])
            insert(ctx.state.stores.setdefault(self.slot, array("q")), self.width, record)
        return []

    def _dormant(self, ctx: Context) -> bool:
        """Whether nothing lies in either span, now and (but for new events) at every tick to come."""
        series = ctx.state.stores.get(self.slot)
        return not series or series[-self.width] <= ctx.now - self.over - self.baseline

    def first_tick(self, rule: CompiledRule, ctx: Context) -> int | None:
        """Once the account is known for both spans; without events in them there is nothing to compare."""
        if ctx.state.tier not in self.limits or self._dormant(ctx):
            return None
        return ctx.state.earliest + self.over + self.baseline

    def tick(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """Compare the spans that end before the tick."""
        verdict = self._compare(ctx.state, ctx.time)
        return [verdict.hold] if verdict.holds and verdict.hold is not None else []

    def sweep(self, rule: CompiledRule, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Drop what lies before every baseline to come."""
        series = state.stores[key]
        drop_before(series, self.width, floor - self.over - self.baseline)
        if not series:
            del state.stores[key]

    def verdict(self, rule: CompiledRule, ctx: Context, subject: Subject) -> Verdict:
        """Whether it will hold at the next tick if nothing more comes."""
        return self._compare(ctx.state, ctx.now)._replace(next_check=ctx.now)

    def _compare(self, state: AccountState, at: int) -> Verdict:
        if state.tier not in self.limits:
            return Verdict(False, Reason.TIER_NOT_COVERED)
        shown, window = self.shown[state.tier], (at - self.over - self.baseline, at)
        if state.earliest > window[0]:
            return Verdict(False, Reason.NOT_KNOWN_LONG_ENOUGH, None, None, shown, window)
        series, width = state.stores.get(self.slot, array("q")), self.width
        low, middle = upto(series, width, window[0]), upto(series, width, at - self.over)
        high = max(middle, upto(series, width, at - 1))
        recent, old = self._worth(series, middle, high), self._worth(series, low, middle)
        offsets = list(series[max(middle, high - EVIDENCE) * width + 1 : high * width : width])
        figures = {"recent": recent, "baseline": old}
        if middle - low < self.body.min_baseline or old.num <= 0:
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
            at, MOMENT, (None, None), value=change, threshold=shown, evidence=lambda: offsets,
            figures=figures, window=(at - self.over, at),
        )  # fmt: skip
        reason = Reason.TREND_FELL if self.falls else Reason.TREND_ROSE
        return Verdict(True, reason, hold, value, shown, window, offsets, figures=figures)

    def _worth(self, series: "array[int]", low: int, high: int) -> Value:
        worth = measure(self.aggregate, series, self.width, low, high)
        return worth if worth is not None else Value(0, 1)

    def _change(self, recent: Value, old: Value) -> Value:
        """By how many per cent of the baseline's rate the recent one lies below (or above) it."""
        new = recent.num * old.den * self.baseline
        base = old.num * recent.den * self.over
        return Value(100 * (base - new if self.falls else new - base), base)

    def _changed(self, state: AccountState, recent: Value, old: Value) -> bool:
        """recent / over against old / baseline · (1 ∓ share/100), without dividing."""
        share = self.limits[state.tier] / 100
        factor = 1 - share if self.falls else 1 + share
        left = recent.num * old.den * self.baseline * factor.denominator
        right = old.num * recent.den * self.over * factor.numerator
        return left <= right if self.falls else left >= right
