"""Literal examples of section 6 of the contract: what fires, and what must not."""

from __future__ import annotations

from typing import Any

from tests.unit.engine_differential.cases import Case, case, ev, rule, save, update

JSON = dict[str, Any]


def threshold(**body: Any) -> JSON:
    return {"threshold": {"event": "tick", **body}}


def absence(**body: Any) -> JSON:
    return {"absence": {"event": "tick", **body}}


def hours(day: str, *hhmm: str, **more: Any) -> list[JSON]:
    return [ev(f"{day}T{time}", **more) for time in hhmm]


THREE_A_DAY = threshold(within="1d", at_least=3)
TWO_A_DAY = threshold(within="1d", at_least=2)
GONE = absence(**{"for": "3d"})

THRESHOLDS: list[Case] = [
    case(
        "the third within a day fires",
        [rule("r", THREE_A_DAY)],
        hours("01-01", "09:00", "10:00", "11:00"),
        "r acme 01-01T11:00",
    ),
    case(
        "the window is open on the left: exactly a day ago does not count",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00"), ev("01-02T09:00")],
    ),
    case(
        "a second inside the window counts",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00:01"), ev("01-02T09:00")],
        "r acme 01-02T09:00",
    ),
    case(
        "a late event completes the threshold at the later event",
        [rule("r", THREE_A_DAY)],
        [ev("01-01T09:00"), ev("01-01T11:00"), ev("01-01T10:00")],
        "r acme 01-01T11:00",
    ),
    case(
        "a late event is checked first at itself",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00"), ev("01-03T09:00"), ev("01-02T08:00")],
        "r acme 01-02T08:00",
    ),
    case(
        "with no cooldown it fires at itself and at each later one",
        [rule("r", TWO_A_DAY, cooldown="0s")],
        [ev("01-01T09:00"), ev("01-02T09:00"), ev("01-01T20:00")],
        "r acme 01-01T20:00",
        "r acme 01-02T09:00",
    ),
    case(
        "equal times: checked at the one that arrives",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00", id="a"), ev("01-01T09:00", id="b")],
        "r acme 01-01T09:00",
    ),
    case(
        "a repeat counts once",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00", id="a"), ev("01-01T09:00", id="a")],
    ),
    case(
        "a repeat with another time counts once within seven days",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00", id="a"), ev("01-01T10:00", id="a")],
    ),
    case(
        "the same id of another source is another event",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00", id="a", source="x"), ev("01-01T09:00", id="a", source="y")],
        "r acme 01-01T09:00",
    ),
    case(
        "seven days behind still counts, more does not",
        [rule("r", threshold(within="30d", at_least=3))],
        [ev("01-20T09:00"), ev("01-13T08:59"), ev("01-13T09:00")],
    ),
    case(
        "exactly seven days behind completes it at the newest",
        [rule("r", TWO_A_DAY | threshold(within="30d", at_least=2))],
        [ev("01-20T09:00"), ev("01-13T09:00")],
        "r acme 01-20T09:00",
    ),
    case(
        "a historical event counts and does not fire",
        [rule("r", TWO_A_DAY)],
        [ev("01-01T09:00"), ev("01-01T10:00", historical=True), ev("01-01T11:00")],
        "r acme 01-01T11:00",
    ),
    case(
        "thresholds follow the tier, a tier left out is not covered",
        [rule("r", threshold(within="30d", at_least={"high": 1, "low": 2}))],
        [
            update("01-01T00:00", "a", tier="high"),
            update("01-01T00:00", "b", tier="low"),
            *[ev(f"01-0{day}T09:00", account=account) for day in (2, 3) for account in "abc"],
        ],
        "r a 01-02T09:00",
        "r b 01-03T09:00",
    ),
    case(
        "the first tier of the policy that matches, an own tier overrides",
        [rule("r", threshold(at_least={"high": 1}))],
        [
            update("01-01T00:00", "a", attributes={"arr": 50000}),
            update("01-01T00:00", "b", attributes={"arr": 50000}, tier="low"),
            update("01-01T00:00", "c", attributes={"arr": 49999.5}),
            *[ev("01-02T09:00", account=account) for account in "abc"],
        ],
        "r a 01-02T09:00",
        tiers=({"tier": "high", "where": {"account.attributes.arr": {"gte": 50000}}}, {"tier": "low"}),
    ),
    case(
        "the tier now decides, with the state kept",
        [rule("r", threshold(within="30d", at_least={"high": 2, "tech": 9}))],
        [ev("01-01T09:00"), ev("01-02T09:00"), update("01-03T09:00", tier="high"), ev("01-04T09:00")],
        "r acme 01-04T09:00",
    ),
    case(
        "cooldown: the window by default, its end not included",
        [rule("r", threshold(within="1d", at_least=2))],
        hours("01-01", "09:00", "10:00", "20:00") + hours("01-02", "09:59", "10:00"),
        "r acme 01-01T10:00",
        "r acme 01-02T10:00",
    ),
    case(
        "over all time a count of one fires each time, of two once",
        [rule("each", threshold(at_least=1)), rule("once", threshold(at_least=2))],
        hours("01-01", "09:00", "10:00", "11:00"),
        "each acme 01-01T09:00",
        "each acme 01-01T10:00",
        "once acme 01-01T10:00",
        "each acme 01-01T11:00",
    ),
    case(
        "late events from before the last trigger fire nothing",
        [rule("r", threshold(at_least=1), cooldown="1d")],
        [ev("01-05T09:00"), ev("01-02T09:00"), ev("01-06T09:00")],
        "r acme 01-05T09:00",
        "r acme 01-06T09:00",
    ),
    case(
        "what where held back starts no cooldown",
        [rule("r", TWO_A_DAY, where={"data.go": True}, cooldown="once")],
        [ev("01-01T09:00"), ev("01-01T10:00", go=1), ev("01-01T11:00", go=True)],
        "r acme 01-01T11:00",
    ),
    case(
        "where sees the checked event, not the late one that caused the check",
        [rule("r", TWO_A_DAY, where={"data.go": True})],
        [ev("01-01T09:00"), ev("01-02T09:00", go=True), ev("01-01T20:00", go=False)],
        "r acme 01-02T09:00",
    ),
    case(
        "unless holds back, for the account",
        [
            rule(
                "r",
                threshold(at_least=1),
                unless={"threshold": {"event": "paid", "within": "1d", "at_least": 1}},
            )
        ],
        [ev("01-01T09:00", "paid"), ev("01-02T08:59"), ev("01-02T09:00")],
        "r acme 01-02T09:00",
    ),
    case(
        "contact scope counts per contact; without one there is no match",
        [rule("r", TWO_A_DAY, scope="contact")],
        [
            ev("01-01T09:00", contact="ann"),
            ev("01-01T10:00", contact="bob"),
            ev("01-01T11:00"),
            ev("01-01T12:00", contact="ann"),
        ],
        "r acme/ann 01-01T12:00",
    ),
    case(
        "by keeps values apart; a number and its text are one key, true is another",
        [rule("r", TWO_A_DAY, by="data.k")],
        [
            ev("01-01T09:00", k="1"),
            ev("01-01T09:01", k=True),
            ev("01-01T09:02"),
            ev("01-01T09:03", k=None),
            ev("01-01T09:04", k=1),
            ev("01-01T09:05", k="true"),
        ],
        "r acme#1 01-01T09:04",
        "r acme#true 01-01T09:05",
    ),
    case(
        "sums are exact; true is no number and does not match",
        [rule("r", threshold(aggregate="sum", of="data.x", at_least=0.3))],
        [
            ev("01-01T09:00", x=0.1),
            ev("01-01T09:01", x=True),
            ev("01-01T09:02", x="9"),
            ev("01-01T09:03", x=0.2),
        ],
        "r acme 01-01T09:03",
    ),
    case(
        "above is not reached by the same",
        [rule("r", threshold(aggregate="sum", of="data.x", above=0.3))],
        [ev("01-01T09:00", x=0.1), ev("01-01T09:03", x=0.2), ev("01-01T09:04", x=0.000001)],
        "r acme 01-01T09:04",
    ),
    case(
        "distinct keeps types apart, days counts UTC days",
        [
            rule("distinct", threshold(aggregate="distinct", of="data.x", at_least=3)),
            rule("days", threshold(aggregate="days", at_least=2)),
        ],
        [
            ev("01-01T09:00", x=1),
            ev("01-01T09:01", x=1.0),
            ev("01-01T09:02", x=True),
            ev("01-01T23:59", x=None),
            ev("01-02T00:00", x="1"),
        ],
        "distinct acme 01-02T00:00",
        "days acme 01-02T00:00",
    ),
    case(
        "an average and a minimum",
        [
            rule("avg", threshold(aggregate="avg", of="data.x", at_least=2)),
            rule("min", threshold(aggregate="min", of="data.x", within="1h", at_least=2)),
        ],
        [ev("01-01T09:00", x=1), ev("01-01T09:30", x=2), ev("01-01T10:00", x=3)],
        "avg acme 01-01T10:00",
        "min acme 01-01T10:00",
    ),
    case(
        "per divides by an account attribute; missing or zero never fires",
        [rule("r", threshold(per="account.attributes.seats", at_least=0.5))],
        [
            ev("01-01T09:00"),
            update("01-01T10:00", attributes={"seats": 0}),
            ev("01-01T11:00"),
            update("01-01T12:00", attributes={"seats": 6}),
            ev("01-01T13:00"),
        ],
        "r acme 01-01T13:00",
    ),
    case(
        "since: only from the last such event on",
        [rule("r", threshold(at_least=2, since={"event": "start"}))],
        [
            ev("01-01T09:00"),
            ev("01-01T09:30"),
            ev("01-01T10:00", "start"),
            ev("01-01T10:00"),
            ev("01-01T11:00"),
        ],
        "r acme 01-01T11:00",
    ),
    case(
        "since with for: both ends included, then no more",
        [
            rule(
                "r",
                threshold(
                    at_least=1,
                    since={"event": "start", "for": "1h"},
                ),
                cooldown="0s",
            )
        ],
        [ev("01-01T10:00", "start"), ev("01-01T10:00"), ev("01-01T11:00")],
        "r acme 01-01T10:00",
        "r acme 01-01T11:00",
    ),
    case(
        "at most: at the tick, for accounts known long enough",
        [rule("r", threshold(within="2d", at_most=1))],
        [ev("01-01T12:00"), ev("01-02T12:00"), ev("01-03T12:00")],
        "r acme 01-05T00:00",
        until="01-06T12:00",
    ),
    case(
        "at most: an event at midnight is not seen by that tick, and just outside the next day's window",
        [rule("r", threshold(within="1d", below=1), cooldown="0s")],
        [ev("01-01T00:00"), ev("01-03T00:00")],
        "r acme 01-02T00:00",
        "r acme 01-03T00:00",
        "r acme 01-04T00:00",
        until="01-04T23:00",
    ),
]

ABSENCES: list[Case] = [
    case(
        "absence fires at its deadline",
        [rule("r", GONE)],
        [ev("01-01T09:00")],
        "r acme 01-04T09:00",
        until="01-04T09:00",
    ),
    case("not before its deadline", [rule("r", GONE)], [ev("01-01T09:00")], until="01-04T08:59:59"),
    case(
        "a match before the deadline puts it off; one at the deadline is too late",
        [rule("r", GONE)],
        [ev("01-01T09:00"), ev("01-04T08:59:59"), ev("01-07T08:59:59")],
        "r acme 01-07T08:59:59",
        "r acme 01-10T08:59:59",
        until="01-20T00:00",
    ),
    case(
        "a deadline past when its event arrives falls due at once",
        [rule("r", GONE)],
        [ev("01-07T09:00", "other"), ev("01-02T09:00")],
        "r acme 01-05T09:00",
    ),
    case(
        "unless a later match has arrived, even after the deadline",
        [rule("r", GONE)],
        [ev("01-07T09:00"), ev("01-02T09:00")],
        until="01-07T10:00",
    ),
    case(
        "two events of one time arm once",
        [rule("r", GONE)],
        [ev("01-07T09:00", "other"), ev("01-02T09:00"), ev("01-02T09:00")],
        "r acme 01-05T09:00",
    ),
    case(
        "since: nothing from then on; the match at the same time ends it",
        [rule("r", absence(**{"for": "1d"}, since={"event": "start"}), by="data.k")],
        [
            ev("01-01T09:00", "start", k="a"),
            ev("01-01T09:00", "start", k="b"),
            ev("01-01T09:00", k="b"),
            ev("01-01T08:00", k="a"),
        ],
        "r acme#a 01-02T09:00",
        until="01-09T00:00",
    ),
    case(
        "since: a later one arms anew",
        [rule("r", absence(**{"for": "1d"}, since={"event": "start"}))],
        [
            ev("01-01T09:00", "start"),
            ev("01-02T08:00", "start"),
            ev("01-05T00:00"),
            ev("01-06T00:00", "start"),
        ],
        "r acme 01-03T08:00",
        "r acme 01-07T00:00",
        until="01-09T00:00",
    ),
    case(
        "since without a contact arms every contact then known",
        [rule("r", absence(**{"for": "1d"}, since={"event": "start"}), scope="contact")],
        [
            update("01-01T00:00", contacts=[{"id": "ann"}, {"id": "bob"}]),
            ev("01-01T09:00", "start"),
            ev("01-01T10:00", "contact.updated", contact="cy"),
            ev("01-01T10:00", contact="bob"),
        ],
        "r acme/ann 01-02T09:00",
        until="01-09T00:00",
    ),
    case(
        "a shorter deadline by a tier change falls due at once, one left out waits",
        [rule("r", absence(**{"for": {"high": "1d", "low": "9d"}}))],
        [
            update("01-01T00:00", tier="low"),
            ev("01-01T09:00"),
            update("01-05T00:00", tier="tech"),
            update("01-06T00:00", tier="high"),
        ],
        "r acme 01-02T09:00",
        until="01-20T00:00",
    ),
    case(
        "on return: the newest, and at least that much later",
        [rule("r", absence(**{"for": "3d"}, fire="on_return"))],
        [ev("01-01T09:00"), ev("01-04T08:59"), ev("01-07T08:59"), ev("01-07T08:58")],
        "r acme 01-07T08:59",
    ),
    case(
        "an event more than seven days late ends no absence",
        [rule("r", absence(**{"for": "12d"}))],
        [ev("01-01T09:00"), ev("01-12T09:00", "other"), ev("01-04T09:00")],
        "r acme 01-13T09:00",
        until="01-14T00:00",
    ),
    case(
        "wall clock: a backlog decides as live would have",
        [rule("r", absence(**{"for": "1h"}))],
        [ev("01-01T09:00"), ev("01-01T09:59:59", received="01-01T12:00")],
        "r acme 01-01T10:00",
        "r acme 01-01T10:59:59",
        clock="wall",
        until="01-01T12:00",
    ),
]

TREND = {"trend": {"event": "tick", "over": "1d", "baseline": "2d", "falls_by": 50, "min_baseline": 4}}
FOUR = hours("01-01", "06:00", "12:00") + hours("01-02", "06:00", "12:00")

OTHERS: list[Case] = [
    case(
        "trend: half the rate is a fall of 50 %",
        [rule("r", TREND)],
        [ev("01-01T00:00", "other"), *FOUR, ev("01-03T06:00")],
        "r acme 01-04T00:00",
        until="01-04T12:00",
    ),
    case(
        "trend: three in the baseline are too few",
        [rule("r", TREND)],
        [ev("01-01T00:00", "other"), *FOUR[1:], ev("01-03T06:00")],
        until="01-04T12:00",
    ),
    case(
        "trend: not before the account is known that long",
        [rule("r", TREND)],
        [*FOUR, ev("01-03T06:00")],
        until="01-04T12:00",
    ),
    case(
        "date: thirty days before, a bare date where the account is",
        [rule("r", {"date": {"attribute": "account.attributes.renewal", "before": "30d"}})],
        [
            update("01-01T00:00", "a", attributes={"renewal": "2026-03-01"}),
            update("01-01T00:00", "b", attributes={"renewal": "2026-03-01"}, timezone="Asia/Tokyo"),
            update("01-01T00:00", "c", attributes={"renewal": "2026-03-01T12:00:00Z"}),
        ],
        "r b 01-29T15:00",
        "r a 01-30T00:00",
        "r c 01-30T12:00",
        until="02-03T00:00",
    ),
    case(
        "date: rescheduled when it changes, once per value, skipped when long past",
        [rule("r", {"date": {"attribute": "account.attributes.d", "after": "1d"}})],
        [
            update("01-01T00:00", attributes={"d": "2026-01-05"}),
            update("01-02T00:00", attributes={"d": "2026-01-03"}),
            update("01-04T12:00", attributes={"d": "2026-01-01"}),
            update("01-04T13:00", attributes={"d": "2026-01-03"}),
        ],
        "r acme 01-04T00:00",
        until="01-20T00:00",
    ),
    case(
        "date: repeated by the calendar, clamped to the month's end",
        [rule("r", {"date": {"attribute": "account.attributes.d", "after": "1mo", "repeat": True}})],
        [update("01-31T00:00", attributes={"d": "2026-01-31"})],
        "r acme 02-28T00:00",
        "r acme 03-31T00:00",
        "r acme 04-30T00:00",
        until="05-01T00:00",
    ),
    case(
        "becomes: from false or unknown to true, and only then",
        [rule("r", {"becomes": {"is": {"account.attributes.status": "churned"}}})],
        [
            update("01-01T00:00", attributes={"status": "churned"}),
            update("01-02T00:00", attributes={"status": "churned"}),
            update("01-03T00:00", attributes={"status": None}),
            update("01-04T00:00", attributes={"status": "churned"}),
        ],
        "r acme 01-01T00:00",
        "r acme 01-04T00:00",
    ),
    case(
        "becomes: each contact whose value turned",
        [rule("r", {"becomes": {"is": {"contact.active": False}}}, scope="contact")],
        [
            update("01-01T00:00", contacts=[{"id": "ann", "active": True}, {"id": "bob", "active": False}]),
            ev("01-02T00:00", "contact.updated", contact="ann", active=False),
            update("01-03T00:00", contacts=[{"id": "ann", "active": False}], historical=True),
        ],
        "r acme/bob 01-01T00:00",
        "r acme/ann 01-02T00:00",
    ),
    case(
        "all of: at a member's own moment, when each has held within",
        [
            rule(
                "r",
                {
                    "all_of": {
                        "of": [threshold(at_least=2), threshold(event="boom", at_least=1)],
                        "within": "1d",
                    }
                },
            )
        ],
        [
            ev("01-01T09:00"),
            ev("01-01T10:00"),
            ev("01-02T10:00", "boom"),
            ev("01-02T11:00"),
            ev("01-02T12:00"),
        ],
        "r acme 01-02T11:00",
    ),
    case(
        "a paused and a draft rule fire nothing; a shadow one decides",
        [
            {**rule("paused", threshold(at_least=1)), "status": "paused"},
            {**rule("draft", threshold(at_least=1)), "status": "draft"},
            {**rule("shadow", threshold(at_least=1)), "status": "shadow"},
        ],
        [ev("01-01T09:00")],
        "shadow acme 01-01T09:00",
    ),
    case(
        "a save keeps the state, and a window that grows starts anew",
        [rule("kept", threshold(within="9d", at_least=9)), rule("anew", threshold(within="8d", at_least=9))],
        [
            ev("01-01T09:00"),
            ev("01-01T10:00"),
            save(
                rule("kept", threshold(within="9d", at_least=3)),
                rule("anew", threshold(within="9d", at_least=3)),
            ),
            ev("01-01T11:00"),
        ],
        "kept acme 01-01T11:00",
    ),
    case(
        "two rules on one event both see it",
        [rule("one", TWO_A_DAY), rule("two", TWO_A_DAY)],
        hours("01-01", "09:00", "10:00"),
        "one acme 01-01T10:00",
        "two acme 01-01T10:00",
    ),
]

EXAMPLES = [*THRESHOLDS, *ABSENCES, *OTHERS]
