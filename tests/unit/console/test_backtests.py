"""Backtests in the console: what is asked for, how it goes on, and what was found in words and charts."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData

from services.console import backtest_figures as figures
from services.console.pages.backtests import errors_of, rehearsals_of, request_of
from tests.unit.console.test_rules import HOSTILE, READER, RULE
from tests.unit.console.world import World, page_of, refusal

NONE = {"high": 0, "low": 0, "tech": 0}
DONE: dict[str, Any] = {
    "id": "bac_1",
    "status": "done",
    "progress": 1.0,
    "error": None,
    "rule": "spike",
    "rule_version": 3,
    "created_at": "2026-03-09T08:00:00Z",
    "from": None,
    "to": None,
    "log_from": "2026-02-01T00:00:00Z",
    "events": 6_368,
    "accounts": 150,
    "triggers": 84,
    "subjects": 61,
    "by_tier": {"high": 30, "low": 54, "tech": 0},
    "by_day": [{"day": "2026-02-03", **NONE, "high": 30}, {"day": "2026-02-05", **NONE, "low": 54}],
    "decisions": {"late": 7, "threshold_reached": 84, "news": 1},
    "variants": [
        {"value": 8, "triggers": 120, "subjects": 80, "by_tier": NONE},
        {"value": 10, "triggers": 84, "subjects": 61, "by_tier": NONE},
    ],
    "against": {"rule": "other", "same": 80, "added": 4, "dropped": 0},
}
TRIGGER: dict[str, Any] = {
    "id": "trg_1", "account": "acme", "contact": None, "key": None, "tier": "high", "at": "2026-02-03T00:00:00Z",
    "reason": "threshold_reached", "sentence": HOSTILE, "playbook": "call", "scope": "account",
}  # fmt: skip
REHEARSAL: dict[str, Any] = {
    "id": "reh_1",
    "status": "done",
    "error": None,
    "plays": 84,
    "actions": {"email": 80, "task": 30, "webhook": 0},
    "recipients": {"people": 60, "most": 3, "p95": 1, "busiest": []},
    "breaker_at": None,
    "assignees": [
        {"assignee": "jo@us.test", "tasks": 20, "busiest_week": "2026-02-02", "tasks_that_week": 12},
        {"assignee": None, "tasks": 10, "busiest_week": "2026-02-02", "tasks_that_week": 9},
    ],
}
PAGE = "/rules/spike/backtests/bac_1"


def world(more: dict[str, Any] | None = None, **kwargs: Any) -> World:
    return World(
        {
            "GET /v1/rules": page_of([]),
            "GET /v1/rules/spike": RULE,
            "GET /v1/backtests": page_of([DONE, {**DONE, "id": "bac_2", "rule": "another"}]),
            "GET /v1/backtests/bac_1": DONE,
            "GET /v1/backtests/bac_1/triggers": page_of([TRIGGER]),
            "GET /v1/rehearsals/reh_1": REHEARSAL,
            **(more or {}),
        },
        **kwargs,
    )


# -- asking


def test_the_form_offers_thresholds_around_the_present_one() -> None:
    page = world().get("/rules/spike/backtest").text
    assert 'value="when.threshold.at_least"' in page
    assert 'value="6, 8, 10, 12, 15"' in page
    assert PAGE in page
    assert "bac_2" not in page, "it is of another rule"


def test_backtests_need_no_right_to_write() -> None:
    assert "Backtest spike" in world(me=READER).get("/rules/spike/backtest").text


def test_asking_is_one_call() -> None:
    made = world({"POST /v1/backtests": (202, {"id": "bac_1"})})
    form = {
        "from": "2026-02-01", "to": "2026-03-01", "against": "other", "vary_path": "cooldown", "vary_values": "1d, 7d",
        "tiers": "- tier: high\n", "once": "abc",
    }  # fmt: skip
    answer = made.post("/rules/spike/backtest", **form)
    assert answer.headers["location"] == f"{PAGE}?varied=cooldown"
    assert made.sent[0][2] == {
        "rule": "spike",
        "from": "2026-02-01T00:00:00Z",
        "to": "2026-03-01T00:00:00Z",
        "against": "other",
        "vary": {"cooldown": ["1d", "7d"]},
        "tiers": [{"tier": "high"}],
    }
    assert made.asked[-1].headers["idempotency-key"].rpartition("-")[0] == "abc"


def test_what_cannot_be_read_stands_at_its_field_and_is_kept() -> None:
    made = world()
    form = {"vary_path": "cooldown", "vary_values": "{a", "tiers": "a: [", "against": "kept"}
    page = made.post("/rules/spike/backtest", **form)
    assert page.status_code == 422
    assert 'id="e-vary_values"' in page.text
    assert 'id="e-tiers"' in page.text
    assert 'value="kept"' in page.text
    assert made.sent == []


@pytest.mark.parametrize("form", [{"vary_path": "cooldown"}, {"vary_values": "1d"}])
def test_a_path_and_values_go_together(form: dict[str, str]) -> None:
    _, problems = request_of("spike", FormData(form))
    assert len(problems) == 1
    assert problems[0].field not in form


def test_what_the_api_refuses_stands_at_its_field() -> None:
    said = refusal(
        422, "invalid", ("vary.cooldown.0", "should be a duration"), ("against", "there is no rule x")
    )
    page = world({"POST /v1/backtests": said}).post(
        "/rules/spike/backtest", vary_path="cooldown", vary_values="x"
    )
    assert page.status_code == 422
    assert 'id="e-vary_values">should be a duration' in page.text
    assert 'id="e-against">there is no rule x' in page.text
    assert errors_of([]) == {}


def test_what_is_refused_for_now_says_when_to_try_again() -> None:
    status, said = refusal(429, "two of your backtests wait or run already")
    later = httpx.Response(status, json=said, headers={"Retry-After": "7"})
    answer = world({"POST /v1/backtests": later}).post("/rules/spike/backtest")
    assert "two of your backtests" in answer.text
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    without = world({"POST /v1/backtests": (status, said)}).post("/rules/spike/backtest")
    assert (without.status_code, without.headers.get("retry-after")) == (429, None)
    lacking = world({"GET /v1/backtests": later}).get("/rules/spike/backtest")
    assert (lacking.status_code, lacking.headers.get("retry-after")) == (200, None), "the page can do without"


# -- while it runs


def test_a_running_one_shows_how_far_it_is_and_looks_again() -> None:
    running = {**DONE, "status": "running", "progress": 0.42}
    answer = world({"GET /v1/backtests/bac_1": running}).get(PAGE)
    assert 'aria-valuenow="42"' in answer.text
    assert answer.headers["refresh"] == "3"
    assert f'action="{PAGE}/cancel"' in answer.text


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_one_that_ended_without_a_result_says_so(status: str) -> None:
    answer = world({"GET /v1/backtests/bac_1": {**DONE, "status": status, "error": "too large"}}).get(PAGE)
    assert "too large" in answer.text
    assert "refresh" not in answer.headers


def test_cancelling_is_one_call() -> None:
    made = world({"DELETE /v1/backtests/bac_1": (204, None)})
    assert made.post(f"{PAGE}/cancel").headers["location"] == "/rules/spike/backtest"
    assert made.sent == [("DELETE", "/v1/backtests/bac_1", None)]


# -- what it found


def test_what_it_found_is_said() -> None:
    answer = world().get(PAGE)
    assert "refresh" not in answer.headers
    page = " ".join(answer.text.split())
    assert "It would have fired 84 times for 61 subjects (30 high touch, 54 low touch)." in page
    assert "It read 6,368 events of 150 accounts, back to 2026-02-01." in page
    assert "The event is more than seven days behind" in page
    assert "80 triggers are the same" in page
    assert f'<a href="{PAGE}/triggers?change=added">4</a>' in page
    assert f'<a href="{PAGE}/triggers?variant=0">120</a>' in page
    assert "<script>alert" not in page
    assert page.count("as it is</span>") == 1


def test_decisions_stand_in_words_the_most_frequent_first() -> None:
    found = figures.decisions(DONE)
    assert [one.times for one in found] == [84, 7, 1]
    assert found[-1].words == "news", "a reason of another release"


def test_the_chart_covers_all_days_that_were_read() -> None:
    chart = figures.by_day(DONE)
    assert (chart.total, len(chart.bars)) == (84, 5)
    assert figures.by_day({**DONE, "by_day": [], "log_from": None}).total == 0
    far = {**DONE, "log_from": "1970-01-01T00:00:00Z"}
    assert figures.by_day(far).total == 84


def test_tasks_are_told_for_what_was_rehearsed() -> None:
    page = world().get(f"{PAGE}?rehearsal=0:reh_1&rehearsal=-1:reh_1").text
    assert "12 in the busiest week" in page
    assert "jo@us.test" in page
    assert "Tasks in the busiest week of one person" in page
    assert "With 8" in page
    assert page.count(">Rehearse</button>") == 1, "the value that was not rehearsed"


def test_a_rehearsal_that_is_gone_or_runs_is_no_error() -> None:
    assert world({"GET /v1/rehearsals/reh_1": None}).get(f"{PAGE}?rehearsal=0:reh_1").status_code == 200
    running = {"id": "reh_1", "status": "running", "progress": 0.1, "error": None}
    answer = world({"GET /v1/rehearsals/reh_1": running}).get(f"{PAGE}?rehearsal=1:reh_1")
    assert answer.headers["refresh"] == "3"


def test_rehearsing_plays_the_triggers_of_the_value() -> None:
    made = world({"POST /v1/rehearsals": (202, {"id": "reh_2"})})
    answer = made.post(f"{PAGE}/rehearse", variant="1", rehearsal="0:reh_1", varied="cooldown")
    assert made.sent == [("POST", "/v1/rehearsals", {"playbook": "call", "triggers": [TRIGGER]})]
    asked = [one.url.params.get("variant") for one in made.asked if one.url.path.endswith("bac_1/triggers")]
    assert asked == ["1"]
    assert answer.headers["location"] == (f"{PAGE}?varied=cooldown&rehearsal=0%3Areh_1&rehearsal=1%3Areh_2")
    made = world({"GET /v1/backtests/bac_1/triggers": page_of([])})
    assert made.post(f"{PAGE}/rehearse", variant="-1").headers["location"] == PAGE
    assert made.sent == []


def test_all_triggers_can_be_read() -> None:
    page = world({"GET /v1/backtests/bac_1/triggers": page_of([TRIGGER], "more")}).get(
        f"{PAGE}/triggers?variant=1"
    )
    assert "with value 2" in page.text
    assert f'href="{PAGE}/triggers?variant=1&amp;cursor=more"' in page.text


# -- of a rule that has not been saved


def test_a_rule_that_is_not_saved_has_its_backtest_by_itself() -> None:
    unsaved = {**DONE, "rule": "written", "rule_version": None, "variants": [], "against": None}
    made = world({"GET /v1/backtests/bac_1": unsaved})
    page = made.get("/rules/-/backtests/bac_1").text
    assert "not saved" in page
    assert "It would have fired 84 times" in page
    assert 'action="/rules/-/backtests/bac_1/rehearse"' in page, "its triggers name a playbook"
    assert 'href="/rules/-/backtests/bac_1/triggers"' in page
    assert 'href="/rules/-/backtest"' not in page
    assert "not saved" in made.get("/rules/-/backtests/bac_1/triggers").text
    assert not any(one.url.path.startswith("/v1/rules/") for one in made.asked), "there is no such rule"
    made.answers["DELETE /v1/backtests/bac_1"] = (204, None)
    assert made.post("/rules/-/backtests/bac_1/cancel").headers["location"] == "/rules"


def test_one_that_found_nothing_says_nothing_of_a_playbook() -> None:
    nothing = {**DONE, "triggers": 0, "variants": [], "against": None}
    more = {"GET /v1/backtests/bac_1": nothing, "GET /v1/backtests/bac_1/triggers": page_of([])}
    page = world(more).get("/rules/-/backtests/bac_1").text
    assert "Nothing would have been started." in page
    assert "It starts no playbook" not in page


# -- figures


@pytest.mark.parametrize("given", ["", "x", "1", ":a", "1:", "9999:a", "--1:a"])
def test_what_names_no_rehearsal_is_left_out(given: str) -> None:
    assert rehearsals_of([given]) == {}
    assert len(rehearsals_of([f"{n}:a" for n in range(20)])) == 8


def test_values_by_tier_are_offered_by_tier() -> None:
    rule = {"when": {"trend": {"falls_by": {"high": 10, "low": 33.5, "tech": None}}}}
    path, values = figures.suggested(rule)
    assert path == "when.trend.falls_by"
    assert figures.values_of(values)[2] == {"high": 10, "low": 33.5}
    assert figures.suggested({"when": {"all_of": {"of": []}}}) == ("", "")
    assert figures.suggested({"when": {"absence": {"for": "14d"}}}) == ("", "")
    assert figures.label_of({"high": 8, "tech": 0}) == "8 / – / 0"
    assert figures.value_at(rule, "when.trend.falls_by.high") == 10
    assert figures.value_at(rule, "when.x.y") is None


scalars = st.integers(-(10**9), 10**9) | st.booleans() | st.text(max_size=12)
values = scalars | st.dictionaries(st.sampled_from(["high", "low", "tech"]), scalars, min_size=1)


@given(st.lists(values, min_size=1, max_size=5))
def test_values_that_are_written_are_read_as_what_they_were(given: list[Any]) -> None:
    assert figures.values_of(figures.yaml_values(given)) == given
