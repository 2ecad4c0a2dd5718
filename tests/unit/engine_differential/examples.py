"""Literal examples of section 6 of the contract: what fires, and what must not."""

from __future__ import annotations

from tests.unit.engine_differential.cases import Case, case, ev, rule, update
from tests.unit.engine_differential.moment_examples import ABSENCES, OTHERS
from tests.unit.engine_differential.shapes import THREE_A_DAY, TWO_A_DAY, hours, threshold

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

EXAMPLES = [*THRESHOLDS, *ABSENCES, *OTHERS]
