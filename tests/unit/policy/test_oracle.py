"""The oracle of the policy says what the contract says; and jumping from moment to moment loses nothing."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.policy import Mail, PolicyOracle
from tests.oracle.times import DAY, HOUR, SECOND, format_time, parse_time, span

WORK = {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}
ONE = {"at_most": 1, "within": "7d"}


def mail(at: str, name: str = "m", **more: Any) -> Mail:
    given: dict[str, Any] = {
        "address": "ann@acme.test",
        "account": "acme",
        "tier": "low",
        "topic": "lifecycle",
    }
    spans = {field: span(more[field]) for field in ("within", "gap") if more.get(field) is not None}
    return Mail(**{"id": name, "play": name, "runs_at": parse_time(at), **given, **more, **spans})


def told(policy: dict[str, Any], *mails: Mail) -> dict[str, str]:
    """When each began, or its reason; `waits` before it if it still waits a month later."""
    placed = [replace(one, place=place) for place, one in enumerate(mails)]
    course = PolicyOracle(policy).run(placed, max(one.runs_at for one in mails) + 30 * DAY)
    return {
        name: format_time(one.began_at)
        if one.began_at is not None
        else f"{one.reason} at {format_time(one.skipped_at)}"
        if one.skipped_at is not None
        else f"waits, {one.reason}"
        for name, one in course.items()
    }


def began(policy: dict[str, Any], at: str, **more: Any) -> str:
    return told(policy, mail(at, **more))["m"].replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("at", "begins"),
    [
        ("2026-11-27T07:59:59Z", "2026-11-27T08:00:00Z"),  # a Friday
        ("2026-11-27T08:00:00Z", "2026-11-27T08:00:00Z"),  # from is included
        ("2026-11-27T17:59:59Z", "2026-11-27T17:59:59Z"),
        ("2026-11-27T18:00:00Z", "2026-11-30T08:00:00Z"),  # to is not
        ("2026-11-28T12:00:00Z", "2026-11-30T08:00:00Z"),
        ("2026-12-24T18:00:00Z", "2026-12-28T08:00:00Z"),  # Christmas is a Friday
    ],
)
def test_hours_days_and_holidays(at: str, begins: str) -> None:
    policy = {"hours": WORK, "holidays": ["2026-12-25"]}
    assert began(policy, at) == begins
    excepted = {**policy, "hours": {**WORK, "except_topics": ["lifecycle"]}}
    assert began(excepted, at) == at, "a topic in except_topics is exempt from hours, days and holidays"


def test_without_hours_holidays_hold_all_the_same() -> None:
    assert began({"holidays": ["2026-12-25"]}, "2026-12-25T10:00:00Z") == "2026-12-26T00:00:00Z"
    assert began({"holidays": ["2026-12-25"]}, "2026-12-24T23:59:59Z") == "2026-12-24T23:59:59Z"


def test_midnight_is_the_end_of_the_day() -> None:
    late = {"hours": {"from": "22:00", "to": "24:00", "days": ["fri"]}}
    assert began(late, "2026-11-27T23:59:59Z") == "2026-11-27T23:59:59Z"
    assert began(late, "2026-11-28T00:00:00Z") == "2026-12-04T22:00:00Z"


def test_the_zone_of_the_contact_else_of_the_policy_else_utc() -> None:
    policy = {"hours": {"from": "08:00", "to": "09:00"}}
    paris = {**policy, "timezone": "Europe/Paris"}
    assert began(policy, "2026-11-27T00:00:00Z") == "2026-11-27T08:00:00Z"
    assert began(paris, "2026-11-27T00:00:00Z") == "2026-11-27T07:00:00Z"
    assert began(paris, "2026-11-27T00:00:00Z", zone="Asia/Kathmandu") == "2026-11-27T02:15:00Z"


@pytest.mark.parametrize(
    ("hours", "zone", "at", "begins"),
    [
        # Paris leaves out 02:00 to 03:00 on 29 March, and has 02:00 to 03:00 twice on 25 October
        (("02:30", "04:00"), "Europe/Paris", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        (("01:00", "02:30"), "Europe/Paris", "2026-03-29T01:00:00Z", "2026-03-29T23:00:00Z"),
        (("02:15", "02:30"), "Europe/Paris", "2026-10-25T00:15:00Z", "2026-10-25T00:15:00Z"),
        (("02:15", "02:30"), "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25T01:15:00Z"),
        (("02:15", "02:30"), "Europe/Paris", "2026-10-25T01:30:00Z", "2026-10-26T01:15:00Z"),
        # half an hour on Lord Howe: 01:30 to 02:00 comes twice on 5 April
        (("01:30", "01:45"), "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z"),
        # Cairo leaves out the first hour of 24 April
        (("00:00", "02:00"), "Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-23T22:00:00Z"),
    ],
)
def test_changes_of_clocks(hours: tuple[str, str], zone: str, at: str, begins: str) -> None:
    policy = {"hours": {"from": hours[0], "to": hours[1]}}
    assert began(policy, at, zone=zone) == begins


def test_a_cap_slides_to_the_moment() -> None:
    policy = {"caps": [ONE], "wait_at_most": "14d"}
    first = mail("2026-11-02T09:00:00Z", "first")
    assert told(policy, first, mail("2026-11-03T09:00:00Z")) == {
        "first": "2026-11-02T09:00:00Z",
        "m": "2026-11-09T09:00:00Z",
    }
    assert told(policy, first, mail("2026-11-09T08:59:59Z"))["m"] == "2026-11-09T09:00:00Z"
    for other in ({"address": "bob@acme.test"}, {"topic": "billing"}, {"tier": "high"}):
        free = {"caps": [{"at_most": {"low": 1, "tech": 1}, "within": "7d", "except_topics": ["billing"]}]}
        assert told(free, first, mail("2026-11-03T09:00:00Z", **other))["m"] == "2026-11-03T09:00:00Z"


def test_a_cap_per_account_counts_its_addresses_and_one_per_address_counts_accounts() -> None:
    first = mail("2026-11-02T09:00:00Z", "first")
    elsewhere = mail("2026-11-03T09:00:00Z", account="other")
    colleague = mail("2026-11-03T09:00:00Z", address="bob@acme.test")
    for per, held, free in (("address", elsewhere, colleague), ("account", colleague, elsewhere)):
        policy = {"caps": [{**ONE, "per": per}]}
        assert told(policy, first, held)["m"] == "2026-11-09T09:00:00Z"
        assert told(policy, first, free)["m"] == "2026-11-03T09:00:00Z"


def test_a_cap_counts_other_tiers_and_limits_its_own() -> None:
    policy = {"caps": [{"at_most": {"high": 1, "low": 3}, "within": "7d"}]}
    high = mail("2026-11-03T09:00:00Z", tier="high")
    assert told(policy, mail("2026-11-02T09:00:00Z", "low"), high)["m"] == "2026-11-09T09:00:00Z"
    tech = mail("2026-11-02T09:00:00Z", "tech", tier="tech")
    assert told(policy, tech, high)["m"] == "2026-11-03T09:00:00Z", "a tier that is left out does not count"


def test_who_goes_first() -> None:
    """Priority, then the earlier due moment, then the smaller id."""
    policy = {"hours": {"from": "08:00", "to": "09:00"}, "caps": [{**ONE, "within": "1d"}]}
    low = mail("2026-11-02T10:00:00Z", "low", priority=4)
    early = mail("2026-11-02T11:00:00Z", "z-early")
    late, same = mail("2026-11-02T12:00:00Z", "late"), mail("2026-11-02T11:00:00Z", "a-same")
    top = mail("2026-11-02T13:00:00Z", "top", priority=9)
    came = told(policy, low, early, late, same, top)
    assert sorted(came, key=came.__getitem__) == ["top", "a-same", "z-early", "late", "low"]
    assert came["low"] == "2026-11-07T08:00:00Z"


def test_who_cannot_begin_holds_nobody_back() -> None:
    asleep = mail("2026-11-02T09:00:00Z", "asleep", priority=9, zone="Pacific/Kiritimati")
    policy = {"hours": {"from": "08:00", "to": "18:00"}, "caps": [{**ONE, "within": "1h"}]}
    came = told(policy, asleep, mail("2026-11-02T10:00:00Z"))
    assert came == {"asleep": "2026-11-02T18:00:00Z", "m": "2026-11-02T10:00:00Z"}


def test_patience_ends_after_its_last_moment() -> None:
    first = mail("2026-11-02T09:00:00Z", "first")
    for patience, ended in (("6d", "2026-11-09T09:00:00Z"), ("5d", "capped at 2026-11-08T09:00:00Z")):
        policy = {"caps": [ONE], "wait_at_most": patience}
        assert told(policy, first, mail("2026-11-03T09:00:00Z"))["m"] == ended
    night = {"hours": WORK, "wait_at_most": "1h"}
    assert began(night, "2026-11-02T19:00:00Z") == "quiet_hours at 2026-11-02T20:00:00Z"
    assert began(night, "2026-11-03T07:00:00Z") == "2026-11-03T08:00:00Z"


def test_within_counts_from_the_step() -> None:
    policy = {"hours": WORK}
    assert began(policy, "2026-11-02T07:00:00Z", within="1h") == "2026-11-02T08:00:00Z"
    assert began(policy, "2026-11-02T06:59:59Z", within="1h") == "too_late at 2026-11-02T07:59:59Z"
    assert began({}, "2026-11-02T07:00:00Z", within="0s") == "2026-11-02T07:00:00Z"


def test_a_held_weekend_is_no_burst() -> None:
    policy = {"hours": WORK}
    friday = mail("2026-11-27T19:00:00Z", "0", play="p")
    sunday = mail("2026-11-29T19:00:00Z", "1", play="p", gap="2d")
    assert told(policy, friday, sunday) == {"0": "2026-11-30T08:00:00Z", "1": "2026-12-02T08:00:00Z"}
    other = replace(sunday, play="q")
    assert told(policy, friday, other)["1"] == "2026-11-30T08:00:00Z"
    hurried = replace(sunday, within=span("1d"))
    assert told(policy, friday, hurried)["1"] == "too_late at 2026-11-30T19:00:00Z"


def test_a_mail_that_was_skipped_moves_nobody() -> None:
    policy = {"hours": WORK}
    first = mail("2026-11-27T12:00:00Z", "0", play="p")
    lost = mail("2026-11-28T12:00:00Z", "1", play="p", gap="1d", within="1h")
    last = mail("2026-11-30T12:00:00Z", "2", play="p", gap="2d")
    came = told(policy, first, lost, last)
    assert (came["1"], came["2"]) == ("too_late at 2026-11-28T13:00:00Z", "2026-11-30T12:00:00Z")


class EverySecond(PolicyOracle):
    """The same, one second after the other."""

    def _moments(self, now: int) -> Iterator[int]:
        yield now + SECOND


NEAR = parse_time("2026-03-29T00:59:30Z")  # half a minute before Paris turns its clocks


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "timezone": st.sampled_from(("Europe/Paris", "UTC")),
            "hours": st.sampled_from(
                [
                    {"from": a, "to": b}
                    for a, b in (("01:00", "03:01"), ("02:59", "03:01"), ("01:00", "02:30"))
                ]
            ),
            "caps": st.lists(
                st.fixed_dictionaries(
                    {"at_most": st.integers(1, 2), "within": st.sampled_from(("5s", "20s"))}
                ),
                max_size=2,
            ),
            "wait_at_most": st.sampled_from(("10s", "30s", "45s")),
        }
    ),
    st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from((4, 5)), st.sampled_from((None, "0s", "7s")), st.booleans()
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_every_second_gives_the_same(
    policy: dict[str, Any], drawn: list[tuple[int, int, str | None, bool]]
) -> None:
    mails: list[Mail] = []
    for place, (second, priority, within, follows) in enumerate(drawn):
        one = mail(format_time(NEAR), str(place), priority=priority, within=within)
        before = mails[-1] if mails and follows else None
        at = NEAR + second * SECOND if before is None else before.runs_at + 3 * SECOND
        play = str(place) if before is None else before.play
        mails.append(replace(one, runs_at=at, place=place, play=play, gap=3 * SECOND))
    until = NEAR + HOUR // 20
    assert EverySecond(policy).run(mails, until) == PolicyOracle(policy).run(mails, until)
