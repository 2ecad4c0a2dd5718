"""Hypothesis strategies for sending policies and the mails that they hold back.

Few addresses, few spans and few times of day, so that mails meet and edges coincide; the days lie around changes of
clocks, in zones with odd offsets and odd changes.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import strategies as st

from tests.oracle.policy import DAYS, Mail
from tests.oracle.times import DAY, HOUR, MINUTE, SECOND, parse_time, span

JSON = dict[str, Any]
ZONES = (
    "UTC",
    "Europe/Paris",
    "Asia/Kathmandu",  # 5:45 ahead
    "Australia/Lord_Howe",  # changes by half an hour
    "America/St_Johns",  # 3:30 behind
    "Africa/Casablanca",  # changes for Ramadan
    "Africa/Cairo",  # leaves out midnight
    "America/Havana",  # likewise, and midnight comes twice
    "Pacific/Chatham",  # 12:45 ahead
    "Pacific/Kiritimati",  # 14:00 ahead
)
# Just before a change of clocks in one of the zones, and some ordinary days.
STARTS = tuple(
    parse_time(text)
    for text in (
        "2026-03-27T12:00:00Z",
        "2026-03-06T12:00:00Z",
        "2026-04-03T12:00:00Z",
        "2026-04-22T12:00:00Z",
        "2026-10-02T12:00:00Z",
        "2026-10-29T12:00:00Z",
        "2026-02-13T12:00:00Z",
        "2026-03-20T12:00:00Z",
        "2026-12-23T12:00:00Z",
        "2026-06-11T12:00:00Z",
    )
)
TOPICS = ("lifecycle", "billing", "news")
TIERS = ("high", "low", "tech")
CLOCKS = (
    "00:00", "00:15", "00:30", "01:00", "01:30", "02:00", "02:15", "02:30", "03:00", "08:00", "08:17", "09:30",
    "12:00", "17:45", "18:00", "22:00", "23:30", "24:00",
)  # fmt: skip
SPANS = ("1s", "90s", "45m", "1h", "6h", "12h", "1d", "36h", "2d", "3d", "7d")
PATIENCE = ("1h", "6h", "1d", "2d", "3d", "7d")
STEPS = (
    0, 0, 0, 0, 0, SECOND, SECOND, MINUTE, MINUTE, 15 * MINUTE, 45 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
    36 * HOUR,
)  # fmt: skip


def _mostly(usual: Any, rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(usual), st.just(usual), rare)


def hours() -> st.SearchStrategy[JSON]:
    pairs = st.tuples(st.sampled_from(CLOCKS), st.sampled_from(CLOCKS)).filter(lambda pair: pair[0] < pair[1])
    days = st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True)
    return st.builds(
        lambda pair, listed, topics: {
            "from": pair[0],
            "to": pair[1],
            **({} if listed is None else {"days": listed}),
            **({"except_topics": topics} if topics else {}),
        },
        pairs,
        st.one_of(st.none(), st.just(list(DAYS[:5])), days),
        _mostly([], st.lists(st.sampled_from(TOPICS), max_size=2, unique=True)),
    )


def caps() -> st.SearchStrategy[JSON]:
    number = st.sampled_from((1, 1, 2, 3))
    tiered = st.dictionaries(st.sampled_from(TIERS), st.integers(0, 3), min_size=1)
    return st.builds(
        lambda at_most, within, per, topics: {
            "at_most": at_most,
            "within": within,
            **({"per": "account"} if per else {}),
            **({"except_topics": topics} if topics else {}),
        },
        st.one_of(number, number, tiered),
        st.sampled_from(SPANS),
        st.booleans(),
        _mostly([], st.lists(st.sampled_from(TOPICS), max_size=2, unique=True)),
    )


def policies() -> st.SearchStrategy[JSON]:
    """The body of `PUT /v1/policy`, most often with hours and caps."""
    holidays = st.lists(
        st.sampled_from(("2026-03-29", "2026-04-05", "2026-04-24", "2026-12-25", "2026-12-26", "2026-06-12")),
        max_size=3,
    )
    fields = {
        "timezone": st.sampled_from(ZONES),
        "hours": hours(),
        "holidays": holidays,
        "caps": st.lists(caps(), min_size=1, max_size=3),
        "wait_at_most": st.sampled_from(PATIENCE),
    }
    often = {name: fields.pop(name) for name in ("hours", "caps")}
    both = st.fixed_dictionaries(often, optional=fields)
    return st.one_of(both, both, st.fixed_dictionaries({}, optional={**often, **fields}))


# Whose play it is, its topic and priority, and its mails, each with the wait before it and its `within`: one draw each,
# as every draw costs time.
PEOPLE = (("a", "ann@acme.test"), ("a", "ann@acme.test"), ("b", "ann@acme.test"), ("a", "bob@acme.test"))
ABOUT = tuple((topic, priority) for topic in TOPICS for priority in (5, 5, 5, 1, 9))
COURSES = (
    (("0s", None),),
    (("0s", None),),
    (("0s", None), ("0s", None)),
    (("0s", None), ("1h", None)),
    (("0s", None), ("1d", None), ("3d", None)),
    (("0s", None), ("12h", "6h"), ("0s", None)),
    (("0s", "1d"), ("3d", "3d")),
    (("0s", "90s"), ("0s", "6h"), ("1h", None)),
    (("0s", "1s"),),
    (("0s", "6h"), ("1d", "1d")),
)


@st.composite
def plays(draw: st.DrawFn) -> list[JSON]:
    """Plays: `{account, address, zone, tier, topic, priority, at, mails: [{wait, within}]}`."""
    at, made = draw(st.sampled_from(STARTS)), []
    tiers = dict(zip("ab", draw(st.sampled_from(tuple(product(TIERS, TIERS)))), strict=True))
    for _ in range(draw(st.integers(1, 6))):
        at += draw(st.sampled_from(STEPS))
        account, address = draw(st.sampled_from(PEOPLE))
        topic, priority = draw(st.sampled_from(ABOUT))
        made.append(
            {
                "account": account,
                "address": address,
                "zone": draw(st.sampled_from((None, None, *ZONES))),
                "tier": tiers[account],
                "topic": topic,
                "priority": priority,
                "at": at,
                "mails": [
                    {"wait": wait, "within": within} for wait, within in draw(st.sampled_from(COURSES))
                ],
            }
        )
    return made


def mails_of(made: list[JSON]) -> list[Mail]:
    """The mails of these plays, as if each play began at its moment and nothing ended it."""
    found = []
    for number, play in enumerate(made):
        at = play["at"]
        for place, mail in enumerate(play["mails"]):
            at += span(mail["wait"])
            found.append(
                Mail(
                    id=f"{number}.{place}",
                    address=play["address"],
                    account=play["account"],
                    tier=play["tier"],
                    topic=play["topic"],
                    runs_at=at,
                    place=number,
                    priority=play["priority"],
                    zone=play["zone"],
                    within=None if mail["within"] is None else span(mail["within"]),
                    play=str(number),
                    gap=span(mail["wait"]),
                )
            )
    return found
