"""Slack is how far each rule of a shared series is from firing. It spares most events any look at a window.

A window that holds n of the k events that a rule needs cannot reach k before k - n more have matched. That is the
rule's slack, and the window is looked at only when it is used up. The same goes for distinct values (an event
brings at most one) and for sums (slack in millionths; an event uses up its amount, if that is positive). Records
forgotten in the meantime only make the real distance longer. Slack is derived and not stored: where it is missing,
it is made from the rows.

The slack of all rules except sums is counted together, in bit-sliced counters: plane i holds bit i of each rule's
slack less one. So one subtraction, with a borrow from plane to plane, serves all rules that an event matches.
"""

from services.rules.engine.account_state import AccountState
from services.rules.engine.fastpath.rule_group import PLANES, UNREACHED, Thresholds
from services.rules.engine.fastpath.shared_series import MASK, Row, SharedSeries, bits, put
from services.rules.engine.windows.series import FOREVER, upto


class Slack:
    """The slack of an account's rules in one shared series and one tier.

    `planes`: the bit-sliced counters. `sums`: the slack of each sum by its bit, in millionths. `live`: a mask of
    the rules that are counted; a rule that is cooling down is not, until `wake` at the earliest. `cooling`: bit to
    the end of the rule's cooldown.
    """

    __slots__ = ("cooling", "live", "planes", "sums", "wake")

    def __init__(self, thresholds: Thresholds, rows: SharedSeries) -> None:
        """Start as if no row could be forgotten. The last row is left out: it is still to be consumed."""
        self.planes = list(thresholds.full_planes)
        self.sums = dict(thresholds.full_sums)
        self.live = thresholds.reachable
        self.cooling: dict[int, int] = {}
        self.wake = FOREVER
        width = thresholds.group.width
        for start in range(0, len(rows) - width, width):
            used_up = self.consume(thresholds, rows[start + MASK], rows, start)
            if used_up:
                self.look_next(used_up)

    def consume(self, thresholds: Thresholds, mask: int, rows: SharedSeries | Row, start: int) -> int:
        """Count an event whose row begins at `start` and that matched `mask`; returns a mask of the rules to look at.

        Those are the rules whose slack is used up.
        """
        borrow = mask & thresholds.by_events
        planes = self.planes
        for place, plane in enumerate(planes):
            if not borrow:
                break
            planes[place], borrow = plane ^ borrow, borrow & ~plane
        used_up = borrow
        summed = mask & thresholds.by_sum
        if summed:
            sums = self.sums
            for bit in bits(summed):
                amount = rows[start + thresholds.amounts_at[bit]]
                left = sums[bit] - amount if amount > 0 else sums[bit]
                sums[bit] = left
                if left <= 0:
                    used_up |= 1 << bit
        return used_up

    def set_events(self, bit: int, events: int) -> None:
        """Set a rule's slack, in events: at least 1; if the counters cannot hold the number, a part of it."""
        one, less = 1 << bit, min(events, 1 << PLANES) - 1
        for place, plane in enumerate(self.planes):
            self.planes[place] = plane | one if less >> place & 1 else plane & ~one

    def look_next(self, mask: int) -> None:
        """Set the slack of these rules to 1 event, so that the next event that matches makes us look at them."""
        self.planes = [plane & ~mask for plane in self.planes]

    def cool_down(self, bit: int, until: int) -> None:
        """Leave a rule alone until its cooldown is over (microseconds)."""
        self.live &= ~(1 << bit)
        self.cooling[bit] = until
        self.wake = min(self.wake, until)

    def warm_up(self, time: int) -> None:
        """Start counting the rules again whose cooldown is over by `time`."""
        over = [bit for bit, until in self.cooling.items() if until <= time]
        for bit in over:
            del self.cooling[bit]
            self.live |= 1 << bit
        self.wake = min(self.cooling.values(), default=FOREVER)


def due(thresholds: Thresholds, state: AccountState, rows: SharedSeries, mask: int) -> int:
    """The rules of `mask` whose window the last row's event makes hold, as a mask. The event matches all of `mask`.

    Rules that are cooling down are left out.
    """
    width = thresholds.group.width
    time = rows[-width]
    if len(rows) < thresholds.least_length:  # too few rows for any count to hold: no slack is kept yet
        summed = bits(mask & thresholds.by_sum)
        return sum(1 << bit for bit in summed if _holds(thresholds, None, state, rows, bit, time))
    slack = state.slack.get(thresholds.group.key)
    if slack is None:
        slack = state.slack[thresholds.group.key] = Slack(thresholds, rows)
    if time >= slack.wake:
        slack.warm_up(time)
    mask &= slack.live
    used_up = slack.consume(thresholds, mask, rows, len(rows) - width) if mask else 0
    if not used_up:
        return 0
    slack.look_next(used_up)
    return sum(1 << bit for bit in bits(used_up) if _holds(thresholds, slack, state, rows, bit, time))


def _holds(
    thresholds: Thresholds, slack: Slack | None, state: AccountState, rows: SharedSeries, bit: int, time: int
) -> bool:
    """Whether a rule's window that ends at `time` holds and the rule is not cooling down. If not, its slack is set."""
    until = _cools_until(thresholds, state, bit)
    if time < until:
        if slack is not None:
            slack.cool_down(bit, until)
        return False
    value, most = _worth(thresholds, rows, bit, time - thresholds.windows[bit])
    needed = thresholds.needed[bit]
    if value >= needed:
        if slack is not None and thresholds.by_sum >> bit & 1:
            slack.sums[bit] = 0
        return True
    if slack is not None:
        if thresholds.by_sum >> bit & 1:
            slack.sums[bit] = needed - most
        else:
            slack.set_events(bit, needed - value)
    return False


def _cools_until(thresholds: Thresholds, state: AccountState, bit: int) -> int:
    """When the rule's cooldown ends (microseconds)."""
    span = thresholds.cooldowns[bit]
    last = state.last.get(thresholds.group.rules[bit][0].slot) if span else None
    return -FOREVER if last is None else last + span


def _worth(thresholds: Thresholds, rows: SharedSeries, bit: int, start: int) -> tuple[int, int]:
    """What a rule counts after the time `start`, and the highest it can be once some of it is forgotten.

    Both are a number of events or distinct values, or millionths.
    """
    width, one = thresholds.group.width, 1 << bit
    first = upto(rows, width, start) * width
    masks = rows[first + MASK :: width]
    if not (thresholds.by_sum | thresholds.distinct) & one:
        number = len([1 for mask in masks if mask & one])
        return number, number
    column = rows[first + thresholds.amounts_at[bit] :: width]
    amounts = [amount for amount, mask in zip(column, masks, strict=True) if mask & one]
    if thresholds.distinct & one:
        number = len(set(amounts))
        return number, number
    return sum(amounts), sum([amount for amount in amounts if amount > 0])


def put_late(thresholds: Thresholds, state: AccountState, row: Row) -> int:
    """Insert the row of an event that came out of order or is historical.

    Returns a mask of the rules that the event may have made hold, at its own time or later.
    """
    group = thresholds.group
    rows = state.shared.setdefault(group.key, [])
    put(rows, group.width, row)
    mask = row[MASK]
    slack = state.slack.get(group.key)
    if slack is not None:
        used_up = slack.consume(thresholds, mask & slack.live, row, 0)
        slack.look_next(used_up)
        for bit in bits(used_up & thresholds.by_sum):
            slack.sums[bit] = 0
    mask &= thresholds.reachable if len(rows) >= thresholds.least_length else thresholds.by_sum
    return sum(1 << bit for bit in bits(mask) if _may_hold(thresholds, state, rows, bit, row[0]))


def _may_hold(thresholds: Thresholds, state: AccountState, rows: SharedSeries, bit: int, time: int) -> bool:
    """Whether the windows around the event could together reach what is needed, and the rule is not cooling down."""
    if thresholds.needed[bit] >= UNREACHED or _cools_until(thresholds, state, bit) > state.newest:
        return False
    value, most = _worth(thresholds, rows, bit, time - thresholds.windows[bit])
    return max(value, most) >= thresholds.needed[bit]
