"""Literal examples of moments and the other kinds: what fires, and what must not."""

from __future__ import annotations

from tests.unit.engine_differential.cases import Case, case, ev, rule, save, update
from tests.unit.engine_differential.shapes import GONE, TWO_A_DAY, absence, hours, threshold

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
