"""What the sending policy and the playbooks are told about one another, and what must not be said."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.lint.held_mails import lint_held_mails, lint_topics
from schemas.lint.mail_times import MailTime
from schemas.lint.outline import PlaybookOutline, outline_playbook
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from tests.oracle.policy import PolicyOracle
from tests.oracle.policy_strategies import STARTS, mails_of, policies
from tests.oracle.times import DAY, span

MAIL = {"email": {"template": "hello"}}
ONE_A_WEEK = {"caps": [{"at_most": 1, "within": "7d"}], "wait_at_most": "2d"}
DATE = {"until_date": "account.attributes.renewal", "before": "30d"}


def book(steps: Any, **fields: Any) -> PlaybookOutline:
    return outline_playbook(PlaybookIn.model_validate({"name": "chase", "steps": steps} | fields))


def told(policy: dict[str, Any], *books: PlaybookOutline) -> list[tuple[str, str]]:
    """(kind, field) of every view of every doubt."""
    doc = PolicyDoc.model_validate(policy)
    found = [*lint_held_mails(doc, books), *lint_topics(doc, {one.name: one for one in books})]
    return [(view.kind, view.doubt["field"]) for finding in found for view in finding]


WORK = {"hours": {"from": "08:00", "to": "18:00", "days": ["mon", "fri"]}}


@pytest.mark.parametrize(
    ("digest", "fields"),
    [
        ({"at": "08:00"}, []),
        ({"at": "17:59"}, []),
        ({"at": "18:00"}, [("playbook", "steps.0.digest.at"), ("policy", "hours.to")]),
        ({"at": "07:59"}, [("playbook", "steps.0.digest.at"), ("policy", "hours.from")]),
        ({"at": "07:59", "to": "owner"}, []),  # no policy holds for them
        ({"at": "07:59", "to": "jo@us.test"}, []),
        ({"at": "07:59", "to": "all"}, [("playbook", "steps.0.digest.at"), ("policy", "hours.from")]),
        (
            {"at": "09:00", "days": ["sat", "sun"]},
            [("playbook", "steps.0.digest.days"), ("policy", "hours.days")],
        ),
        ({"at": "09:00", "days": ["sat", "fri"]}, []),  # some meet them
    ],
)
def test_digests_that_the_hours_never_meet(digest: dict[str, Any], fields: list[tuple[str, str]]) -> None:
    steps = [{"digest": {"template": "list", **digest}}]
    assert told(WORK, book(steps)) == fields
    excepted = {"hours": {**WORK["hours"], "except_topics": ["billing"]}}
    assert told(excepted, book(steps, topic="billing")) == []
    assert told({"hours": {"from": "00:00", "to": "24:00"}}, book(steps)) == []
    assert told({"holidays": ["2026-12-25"]}, book(steps)) == []


def capped(field: str = "steps.2.email") -> list[tuple[str, str]]:
    return [("playbook", field), ("policy", "caps.0")]


@pytest.mark.parametrize(
    ("policy", "steps", "fields"),
    [
        (ONE_A_WEEK, [MAIL, {"wait": "4d"}, MAIL], capped()),
        (ONE_A_WEEK, [MAIL, {"wait": "5d"}, MAIL], []),  # it may wait for the two days that are left
        (ONE_A_WEEK, [MAIL, {"wait": "1d"}, MAIL, {"wait": "7d"}, MAIL], capped()),  # the last has room again
        (ONE_A_WEEK, [MAIL, MAIL], capped("steps.1.email")),
        ({**ONE_A_WEEK, "wait_at_most": "7d"}, [MAIL, MAIL], []),
        ({"caps": [{"at_most": 2, "within": "30d"}]}, [MAIL, MAIL, MAIL], capped()),
        ({"caps": [{"at_most": 3, "within": "30d"}]}, [MAIL, MAIL, MAIL], []),
        (ONE_A_WEEK, {"high": [MAIL, MAIL], "low": [MAIL]}, capped("steps.high.1.email")),
        (
            {"caps": [{"at_most": {"low": 1}, "within": "7d"}], "wait_at_most": "2d"},
            {"high": [MAIL, MAIL], "low": [MAIL]},
            [],
        ),
        (ONE_A_WEEK, [MAIL, {"email": {"template": "hello", "to": "owner"}}], []),
        (ONE_A_WEEK, [MAIL, {"email": {"template": "hello", "to": "role:billing"}}], []),
        (ONE_A_WEEK, [MAIL, {"wait": DATE}, MAIL], []),  # who knows how long it waits
        (ONE_A_WEEK, [MAIL, {"wait": DATE}, MAIL, {"wait": "1d"}, MAIL], capped("steps.4.email")),
        (ONE_A_WEEK, [MAIL, {"wait": {"for": "1d", "until": {"event": "x"}}}, MAIL], capped()),
        (ONE_A_WEEK, [MAIL, {"wait": {"for": "5d", "until": {"event": "x"}}}, MAIL], []),
        (ONE_A_WEEK, [MAIL, {"branch": {"if": {"account.tier": "high"}, "then": [{"wait": "5d"}]}}, MAIL], []),
        (ONE_A_WEEK, [MAIL, {"branch": {"if": {"account.tier": "high"}, "then": [MAIL]}}, {"wait": "5d"}, MAIL], []),
        ({"hours": {"from": "08:00", "to": "18:00"}, "wait_at_most": "1h"}, [MAIL, MAIL], []),
        ({}, [MAIL, MAIL], []),
    ],
)  # fmt: skip
def test_a_mail_that_its_own_play_leaves_without_room(
    policy: dict[str, Any], steps: Any, fields: list[tuple[str, str]]
) -> None:
    assert told(policy, book(steps)) == fields


def test_a_topic_that_the_cap_excepts_has_room() -> None:
    policy = {"caps": [{"at_most": 1, "within": "7d", "except_topics": ["billing"]}], "wait_at_most": "2d"}
    assert told(policy, book([MAIL, MAIL], topic="billing")) == []
    other = book([MAIL, MAIL], name="other")
    assert told(policy, book([MAIL, MAIL], topic="billing"), other) == capped("steps.1.email")


def test_excepted_topics_are_those_of_playbooks() -> None:
    hours = {"from": "08:00", "to": "18:00", "except_topics": ["billing", "Billing", "offers"]}
    policy = {"hours": hours, "caps": [{"at_most": 9, "within": "1d", "except_topics": ["bilings"]}]}
    fields = ["hours.except_topics.1", "hours.except_topics.2", "caps.0.except_topics.0"]
    assert told(policy, book([MAIL], topic="billing")) == [("policy", field) for field in fields]
    assert told(policy) == [], "without playbooks nobody can tell"
    doc = PolicyDoc.model_validate(policy)
    (first, second, third) = lint_topics(doc, {"chase": book([MAIL], topic="billing")})
    assert first[0].doubt["message"] == "no playbook has the topic Billing; billing is one"
    assert second[0].doubt["message"] == "no playbook has the topic offers"
    assert third[0].doubt["message"] == "no playbook has the topic bilings; billing is one"


@settings(max_examples=60, deadline=None)
@given(
    policies(),
    st.lists(st.sampled_from(("0s", "1h", "12h", "1d", "3d", "7d")), min_size=1, max_size=4),
    st.sampled_from((None, "6h", "1d", "3d")),
    st.sampled_from(STARTS),
)
def test_what_never_goes_out_by_the_linter_never_does_by_the_oracle(
    policy: dict[str, Any], waits: list[str], within: str | None, start: int
) -> None:
    """And without hours and holidays, the other way round: nothing else holds the mails of a lone play back."""
    doc = PolicyDoc.model_validate(policy)
    mails = [{"wait": "0s" if not place else wait, "within": within} for place, wait in enumerate(waits)]
    play = {"account": "a", "address": "ann@acme.test", "zone": None, "tier": "low", "topic": "news"}
    course = PolicyOracle(policy).run(
        mails_of([{**play, "priority": 5, "at": start, "mails": mails}]), start + 90 * DAY
    )
    at, times = 0, []
    for place, mail in enumerate(mails):
        at += span(str(mail["wait"]))
        times.append(MailTime(f"0.{place}", None, at, 0, None if within is None else span(within)))
    outline = PlaybookOutline("chase", ["low"], topic="news", mails=times)
    never = {
        finding[0].doubt["field"]
        for finding in lint_held_mails(doc, [outline])
        if "tier low" in finding[0].doubt["message"]
    }
    assert {name for name in never if course[name].began_at is not None} == set()
    if doc.hours is None and not doc.holidays and not _none_at_all(doc):
        assert {name for name, one in course.items() if one.began_at is None} == never


def _none_at_all(doc: PolicyDoc) -> bool:
    """Whether some cap leaves no room for any mail of the tier: that is another warning."""
    return any(
        cap.covers("news", "low") and getattr(cap.at_most, "low", cap.at_most) == 0 for cap in doc.caps
    )
