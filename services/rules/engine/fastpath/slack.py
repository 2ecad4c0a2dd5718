"""How far each rule of a track is from firing: what makes most events free of any look at a window.

A window that holds n of the k events that a rule needs cannot reach k before k - n more have matched: that is the
rule's credit, and only when it is used up is the window looked at. The same for distinct values (an event brings at
most one) and for sums (credit in millionths; an event takes its amount, if positive). What was forgotten meanwhile
only makes the real distance longer. Credits are derived and not stored: missing ones are reckoned from the rows.

The credits of all rules of a track but sums are kept together: plane i holds bit i of each rule's credit less one,
so that one subtraction serves all rules that an event matches.
"""

from services.rules.engine.account_state import AccountState
from services.rules.engine.fastpath.rule_group import PLANES, UNREACHED, Thresholds
from services.rules.engine.fastpath.shared_series import Track, bits
from services.rules.engine.windows.series import FOREVER, upto


class Slack:
    """The credits of one account's track in one tier. Rules that cool down are not `live` until `wake` at least."""

    __slots__ = ("cooling", "live", "planes", "sums", "wake")

    def __init__(self, bars: Thresholds, rows: Track) -> None:
        """As if no row of the track could be forgotten; the last one is still to be `spent`."""
        self.planes = list(bars.planes)
        self.sums = dict(bars.sums)
        self.live = bars.able
        self.cooling: dict[int, int] = {}  # bit to when it is over
        self.wake = FOREVER
        width = bars.crew.width
        for start in range(0, len(rows) - width, width):
            spent = self.spend(bars, rows[start + 2], rows, start)
            if spent:
                self.recall(spent)

    def spend(self, bars: Thresholds, mask: int, rows: Track | tuple[int, ...], start: int) -> int:
        """An event, whose row is at `start`, matched the rules of `mask`: those whose credit is used up."""
        spent = mask & bars.counted
        planes = self.planes
        for place, plane in enumerate(planes):
            if not spent:
                break
            planes[place], spent = plane ^ spent, spent & ~plane
        mask &= bars.summed
        if mask:
            sums = self.sums
            for bit in bits(mask):
                amount = rows[start + bars.columns[bit]]
                left = sums[bit] - amount if amount > 0 else sums[bit]
                sums[bit] = left
                if left <= 0:
                    spent |= 1 << bit
        return spent

    def grant(self, bit: int, credit: int) -> None:
        """Set a rule's credit, of events (at least 1; more than the planes hold are granted in part)."""
        one, less = 1 << bit, min(credit, 1 << PLANES) - 1
        for place, plane in enumerate(self.planes):
            self.planes[place] = plane | one if less >> place & 1 else plane & ~one

    def recall(self, mask: int) -> None:
        """Set the credits of some rules to 1: they are looked at with the next event that matches."""
        self.planes = [plane & ~mask for plane in self.planes]

    def cool(self, bit: int, until: int) -> None:
        """Leave a rule alone until its cooldown is over."""
        self.live &= ~(1 << bit)
        self.cooling[bit] = until
        self.wake = min(self.wake, until)

    def warm(self, time: int) -> None:
        """Rules whose cooldown is over by `time` are live again."""
        over = [bit for bit, until in self.cooling.items() if until <= time]
        for bit in over:
            del self.cooling[bit]
            self.live |= 1 << bit
        self.wake = min(self.cooling.values(), default=FOREVER)


def due(bars: Thresholds, state: AccountState, rows: Track, mask: int) -> int:
    """Of the rules of `mask`, which the last row's event matches, those whose window it makes hold, cooled down."""
    width = bars.crew.width
    time = rows[-width]
    if len(rows) < bars.hot:  # so few that no count can hold: no credits yet
        return sum(1 << bit for bit in bits(mask & bars.summed) if _look(bars, None, state, rows, bit, time))
    purse = state.running.get(bars.crew.key)
    if purse is None:
        purse = state.running[bars.crew.key] = Slack(bars, rows)
    if time >= purse.wake:
        purse.warm(time)
    mask &= purse.live
    spent = purse.spend(bars, mask, rows, len(rows) - width) if mask else 0
    if not spent:
        return 0
    purse.recall(spent)
    return sum(1 << bit for bit in bits(spent) if _look(bars, purse, state, rows, bit, time))


def _look(
    bars: Thresholds, purse: Slack | None, state: AccountState, rows: Track, bit: int, time: int
) -> bool:
    """Look at a rule's window, which ends at `time`: whether it holds; else its credit is set."""
    until = _until(bars, state, bit)
    if time < until:
        if purse is not None:
            purse.cool(bit, until)
        return False
    value, most = _worth(bars, rows, bit, time - bars.spans[bit])
    needed = bars.needed[bit]
    if value >= needed:
        if purse is not None and bars.summed >> bit & 1:
            purse.sums[bit] = 0
        return True
    if purse is not None:
        if bars.summed >> bit & 1:
            purse.sums[bit] = needed - most
        else:
            purse.grant(bit, needed - value)
    return False


def _until(bars: Thresholds, state: AccountState, bit: int) -> int:
    """When the rule's cooldown is over."""
    span = bars.cooldowns[bit]
    last = state.last.get(bars.crew.rules[bit][0].slot) if span else None
    return -FOREVER if last is None else last + span


def _worth(bars: Thresholds, rows: Track, bit: int, start: int) -> tuple[int, int]:
    """What a rule counts after `start`, and the most that it can be once some of it is forgotten."""
    width, one = bars.crew.width, 1 << bit
    first = upto(rows, width, start) * width
    masks = rows[first + 2 :: width]
    if not (bars.summed | bars.distinct) & one:
        number = len([1 for mask in masks if mask & one])
        return number, number
    column = rows[first + bars.columns[bit] :: width]
    amounts = [amount for amount, mask in zip(column, masks, strict=True) if mask & one]
    if bars.distinct & one:
        number = len(set(amounts))
        return number, number
    return sum(amounts), sum([amount for amount in amounts if amount > 0])


def due_late(bars: Thresholds, state: AccountState, rows: Track, mask: int, row: tuple[int, ...]) -> int:
    """A row was put in its place, out of order: the rules that it may have made hold, at its time or later."""
    purse = state.running.get(bars.crew.key)
    if purse is not None:
        spent = purse.spend(bars, mask & purse.live, row, 0)
        purse.recall(spent)
        for bit in bits(spent & bars.summed):
            purse.sums[bit] = 0
    mask &= bars.able if len(rows) >= bars.hot else bars.summed
    return sum(1 << bit for bit in bits(mask) if _may_hold(bars, state, rows, bit, row[0]))


def _may_hold(bars: Thresholds, state: AccountState, rows: Track, bit: int, time: int) -> bool:
    """Whether all windows together that hold the event could reach what is needed, and nothing cools the rule."""
    if bars.needed[bit] >= UNREACHED or _until(bars, state, bit) > state.newest:
        return False
    value, most = _worth(bars, rows, bit, time - bars.spans[bit])
    return max(value, most) >= bars.needed[bit]
