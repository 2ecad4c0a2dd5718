"""Hypothesis strategies for small, nasty histories.

Times lie on a grid of six hours, give or take a microsecond, and every duration is a multiple of six hours, because
the edges of windows matter most. There are few accounts, types and values, so that events meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.oracle.history import History, Revision
from tests.oracle.rule_strategies import TIER_POLICIES, Draw, often
from tests.oracle.times import DAY, HOUR, SECOND, format_time, parse_time

JSON = dict[str, Any]

BASE = parse_time("2026-01-26T00:00:00Z")  # near the end of a month
SLOT = 6 * HOUR

STEPS = st.sampled_from(
    (1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4, 5, 8, 12, -1, -1, -2, -3, -4, -5, -8, 0, 1, 2, 28, 40, -28, -29)
)
JITTER = st.sampled_from((0, 0, 0, 0, 0, 0, 1, -1, SECOND, -SECOND))
WALL_JITTER = st.sampled_from((0, 0, 0, SECOND, -SECOND, 2 * SECOND, 1, -1, SECOND - 1, SECOND + 1))
# whether time goes on from the account's own newest event, or from the newest event of all accounts
FRONTS = st.sampled_from((True, False))
ACCOUNTS = st.sampled_from(("a", "a", "a", "b"))
CONTACTS = st.sampled_from((None, "ann", "ann", "ann", "bob"))
TYPES = st.sampled_from(("tick", "tick", "tick", "tick", "tick", "boom", "start", "paid"))
NUMBERS = st.sampled_from(
    (
        1,
        2,
        1,
        0,
        -1,
        0.1,
        0.2,
        0.3,
        1.0,
        3,
        2,
        1,
        -0.3,
        0.000001,
        -0.000001,
        999999999.999999,
        1e9,
        0.1234567,
        True,
        "1",
    )
)
KEYS = st.sampled_from(("a", "a", "a", "a", "b", 1, "1", True, "true", None, 1.5, ""))
SEVERITIES = st.sampled_from(("high", "high", "low", None))
DEPTHS = st.sampled_from((1, 2, 3, 2, 3, 4, 0, None, -1, True, "3"))
# the kinds of record at one place of the log, by weight; shrinking ends at the first
PLACES = st.sampled_from(("event",) * 20 + ("repeat", "moved", "historical", "own", "clock", "late"))
FEW = st.sampled_from(("event",) * 14 + ("account", "account", "contact"))
MANY = st.sampled_from(("event", "event", "event", "account", "account", "contact"))
LAGS = st.sampled_from((0, 0, SECOND, 2 * SECOND, -60 * SECOND, -300 * SECOND, HOUR, 3 * DAY))
SAVES = st.sampled_from((False,) * 9 + (True,))

DATES = (
    "2026-01-30",
    "2026-01-31",
    "2026-02-03",
    "2026-01-28T06:00:00Z",
    "2026-02-01T00:00:00+02:00",
    "2026-02-08",
    "2026-01-29T18:00",
    "2026-01-30T06:00:00",
    "20260130",
    "2026-W05-5",
    "2026-01-30",
    "2026-01-26",
    "2026-01-20",
    "2025-12-31",
    "soon",
    7,
    None,
)
ATTRIBUTES = st.sampled_from(
    (
        {"status": "churned"},
        {"status": "active"},
        {"status": None},
        {"seats": 4},
        {"seats": 0.5},
        {"seats": 0},
        {"seats": None},
        {"arr": 50000},
        {"arr": 10000},
        {"arr": 1},
        *({"d": value} for value in DATES),
    )
)
TIERS = st.sampled_from(("high", "low", "tech", None))
LONG = st.integers(40, 120)
SIZES = st.sampled_from((*range(2, 36), *range(12, 36), *range(20, 36)))
ACCOUNT_DATA = st.one_of(
    st.builds(lambda tier: {"tier": tier}, TIERS),
    st.builds(lambda attributes: {"attributes": attributes}, ATTRIBUTES),
    st.builds(lambda zone: {"timezone": zone}, st.sampled_from(("Asia/Tokyo", "UTC", None))),
    st.builds(
        lambda who, active, d: {"contacts": [{"id": who, "active": active, "attributes": {"d": d}}]},
        st.sampled_from(("ann", "bob", "cy")),
        st.booleans(),
        st.sampled_from(DATES),
    ),
)
DATE_DATA = often(
    (2, st.builds(lambda d: {"attributes": {"d": d}}, st.sampled_from(DATES))), (1, ACCOUNT_DATA)
)
CONTACT_DATES = often(
    (
        2,
        st.builds(
            lambda who, d: {"contacts": [{"id": who, "attributes": {"d": d}}]},
            st.sampled_from(("ann", "bob")),
            st.sampled_from(DATES),
        ),
    ),
    (1, ACCOUNT_DATA),
)
CONTACT_DATA = st.one_of(
    st.builds(lambda active: {"active": active}, st.sampled_from((True, False, None))),
    st.builds(lambda roles: {"roles": roles}, st.sampled_from((["admin"], [], None))),
    st.builds(lambda d: {"attributes": {"d": d}}, st.sampled_from(DATES)),
)


class _Writer:
    """Writes one history, record by record."""

    def __init__(self, draw: Draw, *, wall: bool, data: st.SearchStrategy[JSON] | None) -> None:
        self.draw = draw
        self.wall = wall
        self.data = ACCOUNT_DATA if data is None else data
        self.updates = FEW if data is None else MANY
        self.events: list[tuple[int, int, JSON]] = []
        self.newest = BASE
        self.fronts: dict[str | None, int] = {}
        self.receipt = BASE

    def place(self) -> None:
        kind = self.draw(PLACES)
        if kind in ("repeat", "moved", "own") and not self.events:
            kind = "event"
        if kind == "repeat":
            self._again(None)
        elif kind == "moved":
            self._again(self._time())
        elif kind == "clock":
            self._put({"type": "touchline.clock", "time": format_time(self._time())})
        else:
            self._event(kind)

    def _event(self, kind: str) -> None:
        event: JSON = {"id": f"e{len(self.events)}", "account": self.draw(ACCOUNTS)}
        time = self._time(event["account"])
        if kind == "late":
            time = self.fronts.get(event["account"], self.newest) - self.draw(st.integers(27, 60)) * SLOT
        change = self.draw(self.updates) if kind != "own" else "event"
        if kind == "own":
            event |= {"type": "touchline.email.sent", "time": format_time(self.newest), "source": "touchline"}
        else:
            event |= {"type": "tick", "time": format_time(time), "source": "test"}
        if change == "account":
            data = self.draw(self.data)
            event |= {
                "type": "account.updated",
                "data": {**data, "k": "a"} if self.draw(st.booleans()) else data,
            }
        elif change == "contact":
            event |= {"type": "contact.updated", "contact": "ann", "data": self.draw(CONTACT_DATA)}
        else:
            self._plain(event, own=kind == "own")
        if kind == "historical":
            event["historical"] = True
        self._put(event)

    def _plain(self, event: JSON, *, own: bool) -> None:
        if not own:
            event["type"] = self.draw(TYPES)
        contact = self.draw(CONTACTS)
        if contact is not None:
            event["contact"] = contact
        depth = {"depth": self.draw(DEPTHS)} if own else {}
        event["data"] = depth | {"x": self.draw(NUMBERS), "k": self.draw(KEYS), "sev": self.draw(SEVERITIES)}

    def _again(self, time: int | None) -> None:
        """Write an earlier event once more, with its own time or another."""
        index = self.draw(st.integers(0, len(self.events) - 1))
        event = dict(self.events[index][2])
        if time is not None and not event["type"].startswith("touchline."):
            event["time"] = format_time(time)
        self._put(event)

    def _time(self, account: str | None = None) -> int:
        front = self.newest
        if account in self.fronts and self.draw(FRONTS):
            front = self.fronts[account]
        return front + self.draw(STEPS) * SLOT + self.draw(WALL_JITTER if self.wall else JITTER)

    def _put(self, event: JSON) -> None:
        time = parse_time(event["time"])
        if not event["type"].startswith("touchline.") or event["type"] == "touchline.clock":
            self.newest = max(self.newest, time // SLOT * SLOT)
            account = event.get("account")
            self.fronts[account] = max(self.fronts.get(account, 0), time // SLOT * SLOT)
        lag = self.draw(LAGS) if self.wall else 0
        self.receipt = max(self.receipt, time + lag)
        self.events.append((len(self.events), self.receipt, event))


@st.composite
def histories(
    draw: Draw,
    rules: st.SearchStrategy[list[JSON]],
    *,
    change: Callable[[Draw, list[JSON]], list[JSON]] | None = None,
    wall: bool = False,
    data: st.SearchStrategy[JSON] | None = None,
    sizes: st.SearchStrategy[int] = SIZES,
) -> History:
    """A history under some rules.

    `change` makes later saves of the rules. `wall`: it is read by the wall clock. `data`: the data of updates; with it,
    many accounts are updated.
    """
    body = draw(rules)
    writer = _Writer(draw, wall=wall, data=data)
    config = [(0, Revision(tuple(body), draw(TIER_POLICIES)))]
    for place in range(draw(sizes)):
        if change is not None and place and draw(SAVES):
            body = change(draw, body)
            config.append((place, Revision(tuple(body), draw(TIER_POLICIES))))
        writer.place()
    end = max(writer.newest, writer.receipt - SECOND) + draw(st.integers(0, 60)) * SLOT
    return History(tuple(writer.events), tuple(config), "wall" if wall else "log", end)


@st.composite
def merged(draw: Draw, plain: st.SearchStrategy[History]) -> History:
    """A history with one or two merges of accounts, each behind some event and with that event's time."""
    history = draw(plain)
    events = list(history.events)
    for number in range(draw(st.integers(1, 2))):
        if not events:
            break
        place = draw(st.integers(0, len(events) - 1))
        offset, receipt, before = events[place]
        account, into = draw(st.permutations(("a", "b", "c")))[:2]
        merge = {
            "id": f"merge-{number}", "source": "test", "type": "account.merged", "account": account,
            "time": before["time"], "data": {"into": into},
        }  # fmt: skip
        events.insert(place + 1, (offset, receipt, merge))
    return replace(history, events=tuple(events))
