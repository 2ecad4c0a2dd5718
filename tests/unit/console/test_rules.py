"""`/rules` and the pages of one rule: what they show, and each change's exact call."""

from datetime import date
from typing import Any

import httpx
import pytest

from services.console.pages.rule import fired, newest_of, parted, started, turned, turned_by
from services.console.pages.rule_versions import history
from services.console.pages.rules import lines_of
from services.console.rule_differences import document_of, lines_changed, sentences_changed
from tests.unit.console.world import World, page_of, refusal

HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"
WHEN = {"threshold": {"event": "ticket.opened", "within": "30d", "at_least": 10}}
RULE: dict[str, Any] = {
    "name": "spike",
    "when": WHEN,
    "status": "active",
    "version": 3,
    "changed_by": "jo",
    "changed_at": "2026-03-01T08:00:00Z",
    "sentence": "Fires for an account. It starts the playbook call.",
    "playbook": "call",
}
MATCH: dict[str, Any] = {
    "account": "acme",
    "contact": None,
    "key": None,
    "tier": "high",
    "share": 1.2,
    "value": 12,
    "threshold": 10,
    "due": None,
    "last_trigger": None,
    "cooldown_until": None,
}
NEAR = {**MATCH, "account": HOSTILE, "share": 0.9, "value": 9}
READER = {"name": "ann", "scopes": ["rules:read"], "email": None}


def world(more: dict[str, Any] | None = None, **kwargs: Any) -> World:
    return World(
        {
            "GET /v1/rules": page_of([RULE]),
            "GET /v1/rules/spike": RULE,
            "GET /v1/rules/spike/matches": page_of([MATCH, NEAR]),
            **(more or {}),
        },
        **kwargs,
    )


# -- the list


def test_the_list_says_each_rule_and_how_often_it_fired() -> None:
    day = {"rule": "spike", "day": "2026-03-09", "tier": "high"}  # home asks too, by day
    stats = {"items": [{**day, "n": 1_200}, {**day, "n": 34}]}
    page = world({"GET /v1/stats/triggers": stats}).get("/rules").text
    assert "Fires for an account." in page
    assert (
        '<a href="/triggers?after=2026-02-07T23%3A59%3A59.999999Z&amp;rule=spike">1,234 triggers</a>' in page
    )


def test_without_counts_the_list_says_nothing_of_them() -> None:
    page = world().get("/rules").text
    assert "in 30 days" not in page
    assert lines_of([RULE], [], {"items": []}, "x")[0].fired == 0


def test_what_is_wrong_with_a_rule_stands_in_the_list() -> None:
    broken = {**RULE, "unhealthy": "its pattern does not compile"}
    found = world({"GET /v1/rules": page_of([broken])})
    page = found.get("/rules").text
    assert "does not run" in page
    assert "its pattern does not compile" in page
    assert "source is silent" not in page
    assert not any("silent" in one.url.params for one in found.asked), "nothing says that there is one"


def test_silent_rules_are_asked_for_where_there_are_some() -> None:
    def rules(request: httpx.Request) -> dict[str, Any]:
        return page_of([RULE] if "silent" in request.url.params else [RULE, {**RULE, "name": "other"}])

    silent = {"kind": "silent", "count": 1, "oldest": None, "link": "/v1/rules?silent=true"}
    page = world({"GET /v1/rules": rules, "GET /v1/attention": {"items": [silent]}}).get("/rules").text
    assert page.count("source is silent") == 1
    assert page.index("spike") < page.index("source is silent") < page.index("other")


def test_filters_are_the_apis_own_and_stay() -> None:
    made = world()
    page = made.get("/rules?status=paused&playbook=call&q=x&unhealthy=true&cursor=abc").text
    asked = next(one.url.params for one in made.asked if one.url.params.get("cursor"))
    assert dict(asked) == {
        "status": "paused", "playbook": "call", "q": "x", "unhealthy": "true", "cursor": "abc", "limit": "50"
    }  # fmt: skip
    assert '<option value="paused" selected>' in page
    assert 'name="unhealthy" value="true"' in page


def test_an_empty_list_says_what_to_do() -> None:
    none = {"GET /v1/rules": page_of([])}
    page = world(none).get("/rules").text
    assert "There is no rule yet" in page
    assert 'href="/rules/-/new?kind=absence"' in page
    assert "/rules/-/new" not in world(none, me=READER).get("/rules").text
    assert "No rule fits" in world(none).get("/rules?q=x").text


def test_names_and_sentences_are_text() -> None:
    hostile = {**RULE, "name": HOSTILE, "sentence": HOSTILE, "description": HOSTILE, "unhealthy": HOSTILE}
    page = world({"GET /v1/rules": page_of([hostile])}).get("/rules").text
    assert "<script>alert" not in page
    assert "{{ 7 * 7 }}" in page


# -- one rule


def test_a_rule_says_what_it_is_who_saved_it_and_who_turned_it() -> None:
    entry = {
        "actor": "sam", "at": "2026-03-02T08:00:00Z", "before": {"status": "draft"}, "after": {"status": "active"}
    }  # fmt: skip
    page = world({"GET /v1/audit": page_of([entry])}).get("/rules/spike").text
    assert "Activated by sam" in page
    assert "Version 3, saved by jo" in page
    assert "Triggers by day" not in page, "without counts there is no chart"
    assert 'href="/playbooks/call"' in page


def test_who_turned_it_is_who_changed_the_status_to_what_it_is() -> None:
    def entry(before: str, after: str) -> dict[str, Any]:
        return {"actor": after, "at": "", "before": {"status": before}, "after": {"status": after}}

    entries = [entry("active", "active"), entry("paused", "active"), entry("active", "paused")]
    found = turned_by(entries, "active")
    assert found is not None
    assert found.by == "active"
    assert turned_by(entries, "draft") is None
    assert turned_by([{"actor": "x", "at": "", "before": None, "after": None}], "active") is None


def test_the_chart_counts_this_rule_alone_and_leads_to_its_triggers() -> None:
    items = [
        {"day": "2026-03-09", "rule": "spike", "tier": "high", "n": 2},
        {"day": "2026-03-09", "rule": "other", "tier": "high", "n": 9},
    ]
    chart = fired("spike", {"items": items}, date(2026, 3, 10))
    assert chart is not None
    assert chart.total == 2
    assert chart.bars[-2].link == (
        "/triggers?rule=spike&after=2026-03-08T23%3A59%3A59.999999Z&before=2026-03-10T00%3A00%3A00Z"
    )
    assert fired("spike", None, date(2026, 3, 10)) is None


def test_what_a_reader_may_not_do_is_left_out() -> None:
    page = world(me=READER).get("/rules/spike").text
    for control in ("Pause", "Delete", "Shadow", 'href="/rules/spike/edit"'):
        assert control not in page
    assert "Activate" not in world(me=READER).get("/rules/spike").text


def test_a_missing_rule_is_a_page() -> None:
    assert World().get("/rules/nothing").status_code == 404


# -- who matches


def test_matching_and_near_stand_apart_with_their_shares() -> None:
    page = world().get("/rules/spike/matches").text
    assert "Matching now: 1" in page
    assert "Near, at 80 % or more: 1" in page
    assert "120 %" in page
    assert "90 %" in page
    assert "<script>alert" not in page
    assert page.count('name="subject"') == 1, "nobody who is only near is started"
    assert parted([NEAR])["subjects"] == []


def test_a_draft_has_no_matches_but_a_backtest() -> None:
    page = world({"GET /v1/rules/spike/matches": refusal(409, "a draft")}).get("/rules/spike/matches").text
    assert "A draft counts nothing" in page
    assert 'href="/rules/spike/backtest"' in page


def test_a_start_is_shown_first_and_then_does_what_was_shown() -> None:
    left = {"account": "b", "contact": None, "key": None, "reason": "cooldown", "sentence": "It rests."}
    done = {
        "triggers": [{"account": "acme", "contact": None, "key": None, "tier": "high"}],
        "left_out": [left],
    }
    made = world({"POST /v1/rules/spike/start": {**done, "dry_run": True}})
    page = made.post("/rules/spike/start", subject=['{"account":"acme"}', '{"account":"b"}']).text
    both = [{"account": "acme"}, {"account": "b"}]
    assert made.sent == [("POST", "/v1/rules/spike/start", {"subjects": both, "dry_run": True})]
    assert "This would start 1 subject" in page
    assert "It rests." in page
    assert "Start this one" in page
    assert page.count('name="subject"') == 1, "who was left out is not asked for again"
    answer = made.post("/rules/spike/start", subject='{"account":"acme"}', sure="yes", once="abc")
    assert made.sent[-1][2] == {"subjects": [{"account": "acme"}], "dry_run": False}
    assert made.asked[-1].headers["idempotency-key"].rpartition("-")[0] == "abc"
    assert answer.headers["location"] == "/triggers?rule=spike"
    assert started({"triggers": [], "left_out": [left]}).endswith("the first because: It rests.")


def test_a_start_that_is_refused_says_why() -> None:
    made = world({"POST /v1/rules/spike/start": refusal(409, "spike is paused: nothing of it is started")})
    page = made.post("/rules/spike/start", subject='{"account":"acme"}')
    assert page.status_code == 409
    assert "nothing of it is started" in page.text
    assert made.post("/rules/spike/start").headers["location"] == "/rules/spike/matches"


# -- start, stop, delete


@pytest.mark.parametrize(
    ("form", "verb", "body"),
    [
        ({"verb": "activate", "backfill": "yes"}, "activate", {"backfill": True}),
        ({"verb": "activate"}, "activate", {"backfill": False}),
        ({"verb": "shadow"}, "shadow", {"backfill": False}),
        ({"verb": "pause", "plays": "hold"}, "pause", {"plays": "hold"}),
    ],
)
def test_a_verb_is_one_call_with_the_tag_that_was_seen(form: Any, verb: str, body: Any) -> None:
    made = world({f"POST /v1/rules/spike/{verb}": RULE})
    answer = made.post("/rules/spike/turn", etag='"3-active"', **form)
    assert answer.headers["location"] == "/rules/spike"
    assert made.sent == [("POST", f"/v1/rules/spike/{verb}", body)]
    assert made.asked[-1].headers["if-match"] == '"3-active"'


def test_no_other_verb_is_called() -> None:
    made = world()
    assert made.post("/rules/spike/turn", verb="../../keys").status_code == 303
    assert made.sent == []


def test_what_a_verb_did_is_said() -> None:
    assert turned({"name": "spike", "status": "shadow"}) == "spike is in shadow now."
    concerned = {**RULE, "status": "paused", "concerned": {"plays": 2, "mails": 1}}
    assert turned(concerned) == "spike is paused now. It has 2 open plays, with 1 mail waiting."


def test_a_rule_that_changed_meanwhile_is_left_alone() -> None:
    made = world({"DELETE /v1/rules/spike": refusal(412, "spike is at version 4 now")})
    page = made.post("/rules/spike/delete", etag='"3"')
    assert page.status_code == 412
    assert "spike is at version 4 now" in page.text


def test_deleting_is_one_call() -> None:
    made = world({"DELETE /v1/rules/spike": (204, None)})
    assert made.post("/rules/spike/delete", etag='"3"').headers["location"] == "/rules/spike"
    assert made.sent == [("DELETE", "/v1/rules/spike", None)]


def test_before_a_rule_is_activated_it_says_who_matches() -> None:
    page = world({"GET /v1/rules/spike": {**RULE, "status": "paused"}}).get("/rules/spike/activate").text
    assert "Resume spike?" in page
    assert "1 subject matches" in " ".join(page.split())
    assert "and 1 is near" in " ".join(page.split())
    assert 'name="verb" value="activate"' in page


def test_of_a_draft_its_backtest_says_who_would_match() -> None:
    draft = {
        "GET /v1/rules/spike/matches": refusal(409, "a draft"),
        "GET /v1/rules/spike": {**RULE, "status": "draft"},
    }
    page = world(draft).get("/rules/spike/activate").text
    assert "Backtest it first" in page
    done = {"id": "bac_1", "rule": "spike", "rule_version": 3, "status": "done", "triggers": 84}
    match = {name: value for name, value in MATCH.items() if name not in {"last_trigger", "cooldown_until"}}
    found = {"GET /v1/backtests": page_of([done]), "GET /v1/backtests/bac_1/matches": page_of([match])}
    page = world({**draft, **found}).get("/rules/spike/activate?as=shadow").text
    assert "84 triggers" in page
    assert 'name="verb" value="shadow"' in page
    assert "acme" in page


def test_a_backtest_of_another_version_does_not_count() -> None:
    done = {"rule": "spike", "rule_version": 3, "status": "done"}
    assert newest_of([done], "spike", 3) is done
    for other in ({"rule": "x"}, {"rule_version": 2}, {"rule_version": None}, {"status": "running"}):
        assert newest_of([{**done, **other}], "spike", 3) is None


# -- versions


def test_versions_differ_by_sentences_first() -> None:
    newer = {
        **RULE,
        "version": 4,
        "in_force": False,
        "cooldown": "1d",
        "sentence": "Fires for an account. New.",
    }
    older = {**RULE, "in_force": True}
    page = world({"GET /v1/rules/spike/versions": page_of([newer, older])}).get("/rules/spike/versions").text
    assert page.index("New.") < page.index("cooldown: 1d")
    assert 'action="/rules/spike/versions/4/publish"' in page
    assert 'action="/rules/spike/versions/3/publish"' not in page, "it is in force"
    page = world(
        {"GET /v1/rules/spike/versions": page_of([newer, older])}, me=READER
    ).get("/rules/spike/versions").text  # fmt: skip
    assert "publish" not in page


def test_a_deletion_is_a_version_without_a_difference() -> None:
    gone = {"version": 4, "status": "deleted", "in_force": False, "name": "spike", "changed_by": "jo"}
    found = history([{**RULE, "version": 5}, gone, RULE])
    assert [one.deleted for one in found] == [False, True, False]
    assert [list(one.lines) for one in found] == [[], [], []]


def test_publishing_is_one_call() -> None:
    made = world({"POST /v1/rules/spike/versions/4/publish": RULE})
    answer = made.post("/rules/spike/versions/4/publish", etag='"3"')
    assert answer.headers["location"] == "/rules/spike/versions"
    assert made.sent == [("POST", "/v1/rules/spike/versions/4/publish", {})]
    assert made.asked[-1].headers["if-match"] == '"3"'


def test_differences_add_up_to_both_documents() -> None:
    before, after = document_of(RULE), {**document_of(RULE), "cooldown": "1d", "playbook": "other"}
    lines = lines_changed(before, after)
    assert [one.text for one in lines if one.sign == "+"] == ["playbook: other", "cooldown: 1d"]
    assert [one.text for one in lines if one.sign == "-"] == ["playbook: call"]
    assert "status" not in before
    assert "version" not in before
    assert [one.sign for one in sentences_changed("A. B. C.", "A. X. C.")] == ["-", "+"]
    assert sentences_changed(None, None) == []


def test_a_rule_may_be_named_new() -> None:
    rule = {**RULE, "name": "new"}
    found = world({"GET /v1/rules/new": rule})
    assert RULE["sentence"] in found.get("/rules/new").text
    assert "<textarea" not in found.get("/rules/new").text
    assert "<textarea" in found.get("/rules/-/new").text
