"""The sums of a rehearsal."""

import math
from collections import Counter
from datetime import date, timedelta
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from services.actions.plays.model import Play, PlayStatus
from services.actions.rehearsal.report import Tally
from services.actions.rehearsal.stage import Outcome
from tests.unit.plays.kit import DAY, T0

PLAY = Play(
    id="p", playbook="b", playbook_version=1, rule="r", trigger_id="t", account="acme", contact=None, key=None,
    tier="low", status="finished", started_at=T0,
)  # fmt: skip


def done(channel: str, recipient: str | None, day: int = 0, **more: Any) -> Outcome:
    return Outcome(channel=channel, step="0", recipient=recipient, contact=None, at=T0 + day * DAY, **more)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["email", "task", "webhook"]),
            st.sampled_from(["a@x.test", "A@x.test", "b@x.test", "c@x.test"]),
            st.integers(0, 40),
            st.sampled_from([None, None, "suppressed", "task_updated"]),
        ),
        max_size=60,
    )
)
def test_the_sums_are_those_of_a_slow_count(drawn: list[tuple[str, str, int, str | None]]) -> None:
    tally = Tally()
    tally.add(PLAY, [done(channel, to, day, reason=reason) for channel, to, day, reason in drawn])
    report = tally.report([])

    sent = [one for one in drawn if one[3] is None]
    for channel in ("email", "task", "webhook"):
        assert report["actions"][channel] == sum(one[0] == channel for one in sent)
        assert sum(row[channel] for row in report["by_day"]) == report["actions"][channel]
    start = date(2026, 1, 1)
    assert [row["day"] for row in report["by_day"]] == [
        str(start + timedelta(days=day)) for day in sorted({day for _, _, day, _ in sent})
    ]
    assert sum(report["skipped"].values()) == sum(one[3] == "suppressed" for one in drawn)

    people = sorted({to.lower() for channel, to, _, _ in sent if channel == "email"})
    counts = sorted(sum(c == "email" and to.lower() == one for c, to, _, _ in sent) for one in people)
    assert report["recipients"]["people"] == len(people)
    assert report["recipients"]["most"] == max(counts, default=0)
    if counts:
        assert report["recipients"]["p95"] == counts[math.ceil(0.95 * len(counts)) - 1]

    for row in report["assignees"]:
        mine = [day for channel, to, day, _ in sent if channel == "task" and to == row["assignee"]]
        mondays = [start + timedelta(days=day) for day in mine]
        mondays = [day - timedelta(days=day.weekday()) for day in mondays]
        assert row["tasks"] == len(mine)
        assert row["tasks_that_week"] == max(map(mondays.count, mondays))
        assert mondays.count(date.fromisoformat(row["busiest_week"])) == row["tasks_that_week"]
    assert sum(row["tasks"] for row in report["assignees"]) == report["actions"]["task"]


def test_a_skipped_play_counts_by_its_reason() -> None:
    tally = Tally()
    skipped = Play(
        id="q", playbook="b", playbook_version=1, rule="r", trigger_id="t", account="acme", contact=None, key=None,
        tier="low", status="skipped", reason="play_open", started_at=T0,
    )  # fmt: skip
    tally.add(skipped, [])
    tally.add(PLAY, [done("email", None, reason="no_address")])
    report = tally.report([])
    assert report["plays"] == 2
    assert +Counter(report["by_status"]) == {"finished": 1, "skipped": 1}
    assert set(report["by_status"]) == set(get_args(PlayStatus))
    assert report["skipped"] == {"no_address": 1, "play_open": 1}


def test_the_same_failure_is_told_once_and_a_task_for_nobody_has_no_assignee() -> None:
    tally = Tally()
    tally.add(PLAY, [done("email", "a@x.test", error="no such name"), done("task", None)])
    tally.add(PLAY, [done("email", "b@x.test", error="no such name")])
    report = tally.report([])
    assert report["errors"] == [{"account": "acme", "step": "0", "message": "no such name"}]
    assert [row["assignee"] for row in report["assignees"]] == [None]
    assert report["recipients"]["people"] == 0
