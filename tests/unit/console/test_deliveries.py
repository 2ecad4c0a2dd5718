"""`/deliveries`: each filter and tab, what may be done to which, and the calls that a change makes."""

from typing import Any

import httpx
import pytest

from services.console.pages.deliveries import may_retry, tabs_of
from tests.unit.console.world import World, page_of, refusal

NOWHERE = "<img src=x>\"'{{ 7 * 7 }}"


def action(**more: Any) -> dict[str, Any]:
    return {
        "id": "act_1", "play": "play_1", "playbook": "p", "rule": "r", "tier": "high", "account": "a/1", "contact": "c",
        "channel": "email", "step": "0", "recipient": "ann@a.test", "topic": "lifecycle", "digest": None,
        "status": "done", "reason": None, "sentence": None, "attempts": 1, "due_at": "2026-03-10T08:00:00Z",
        "begun_at": None, "next_look_at": None, "done_at": "2026-03-10T08:00:01Z", "next_attempt_at": None,
        "approver": None, "approve_until": None, **more,
    }  # fmt: skip


def waiting(**more: Any) -> dict[str, Any]:
    return action(status="pending", reason="awaiting_approval", done_at=None, **more)


def detail(**more: Any) -> dict[str, Any]:
    rendered = {
        "subject": "Hello",
        "html": "<p>Hi</p>",
        "text": "Hi",
        "to": {"name": "Ann", "email": "ann@a.test"},
    }
    return {**action(), "rendered": rendered, "message": "Subject: Hello", "history": [], **more}


READER = {"name": "jo", "scopes": ["actions:read"], "email": None}


def test_filters_go_to_the_api_under_its_names() -> None:
    world = World({"GET /v1/actions": page_of([])})
    world.get("/deliveries?status=failed&recipient=ann&nonsense=1&cursor=abc")
    assert world.query("/v1/actions") == {
        "limit": "50", "status": "failed", "recipient": "ann", "cursor": "abc"
    }  # fmt: skip


def test_a_tab_keeps_the_other_filters() -> None:
    tabs = {
        text: (link, now) for text, link, now in tabs_of({"status": "failed", "account": "a", "cursor": "x"})
    }
    assert tabs["Done"] == ("/deliveries?account=a&status=done", False)
    assert tabs["Failed"] == ("/deliveries?account=a&status=failed", True)
    assert tabs["All"] == ("/deliveries?account=a", False)


@pytest.mark.parametrize(
    ("one", "may"),
    [
        (action(status="failed", reason="rejected"), True),
        (action(status="uncertain", reason="maybe_delivered"), True),
        (action(status="skipped", reason="quiet_hours"), True),
        (action(status="skipped", reason="play_exited"), False),
        (action(status="skipped", reason="not_approved"), False),
        (action(status="failed", reason="template_error"), False),
        (action(status="failed", reason="template_error", channel="webhook"), True),
        (action(status="skipped", reason="no_recipient"), False),
        (action(status="done"), False),
        (action(status="pending"), False),
        (action(status="failed", channel="task"), False),
    ],
)
def test_what_may_be_sent_again(one: dict[str, Any], may: bool) -> None:
    assert may_retry(one) is may
    world = World({"GET /v1/actions/act_1": detail(**one)})
    assert ("Send again" in world.get("/deliveries/act_1").text) is may


def test_who_may_only_read_is_shown_no_button() -> None:
    answers = {"GET /v1/actions": page_of([waiting()]), "GET /v1/actions/act_1": detail(**waiting())}
    world = World(answers, me=READER)
    for path in ("/deliveries", "/deliveries/act_1"):
        page = world.get(path).text
        assert "pprove <" not in page
        assert "Reject" not in page
        assert "ann@a.test" in page


def test_nothing_yet_and_nothing_found_read_differently() -> None:
    world = World({"GET /v1/actions": page_of([])})
    assert "Nothing has gone out yet" in world.get("/deliveries").text
    assert "No delivery fits" in world.get("/deliveries?status=failed").text


def test_hostile_texts_are_text() -> None:
    hostile = detail(recipient=NOWHERE, sentence=NOWHERE, playbook=NOWHERE, account=NOWHERE, message=NOWHERE)
    world = World({"GET /v1/actions": page_of([hostile]), "GET /v1/actions/act_1": hostile})
    for path in ("/deliveries", "/deliveries/act_1"):
        page = world.get(path).text
        assert "<img" not in page
        assert "{{ 7 * 7 }}" in page


def test_the_mail_is_framed_and_runs_nothing() -> None:
    world = World({"GET /v1/actions/act_1": detail(rendered={"html": "<script>x()</script>"})})
    answer = world.get("/deliveries/act_1/mail")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert '<iframe sandbox=""' in world.get("/deliveries/act_1").text


def test_approving_goes_on_to_the_next() -> None:
    world = World({"POST /v1/actions/act_1/approve": {}, "GET /v1/actions": page_of([waiting(id="act_2")])})
    answer = world.post("/deliveries/act_1/approve", subject=" ", markdown="")
    assert world.sent == [("POST", "/v1/actions/act_1/approve", {})]
    assert answer.headers["location"] == "/deliveries/act_2"
    world.answers["GET /v1/actions"] = page_of([])
    assert world.post("/deliveries/act_1/approve", subject="Hi").headers["location"] == "/deliveries"
    assert world.sent[-1] == ("POST", "/v1/actions/act_1/approve", {"subject": "Hi"})


def test_a_refused_edit_is_told_at_its_field_and_kept() -> None:
    world = World(
        {
            "GET /v1/actions/act_1": detail(**waiting()),
            "POST /v1/actions/act_1/approve": refusal(
                422, "The input is invalid", ("subject", "has two lines")
            ),
        }
    )
    answer = world.post("/deliveries/act_1/approve", subject="a b", markdown="kept")
    assert answer.status_code == 422
    assert "has two lines" in answer.text
    assert "kept" in answer.text
    assert 'value="a b"' in answer.text


@pytest.mark.parametrize("verb", ["approve", "reject", "retry"])
def test_what_is_decided_already_is_told(verb: str) -> None:
    world = World(
        {
            "GET /v1/actions/act_1": detail(),
            f"POST /v1/actions/act_1/{verb}": refusal(409, "it is done already", code="state_conflict"),
        }
    )
    answer = world.post(f"/deliveries/act_1/{verb}")
    assert answer.status_code == 409
    assert "it is done already" in answer.text


def test_many_are_approved_by_what_was_shown() -> None:
    world = World({"POST /v1/actions/approve": {"approved": ["a"], "left_out": [{"id": "b", "reason": "x"}]}})
    answer = world.post("/deliveries/approve", id=["a", "b", "a"], status="pending")
    assert world.sent == [("POST", "/v1/actions/approve", {"ids": ["a", "b"]})]
    assert answer.headers["location"] == "/deliveries?status=pending"
    world.answers["GET /v1/actions"] = page_of([])
    assert "1 mail approved. 1 left out" in world.get("/deliveries").text


def test_nothing_chosen_changes_nothing() -> None:
    world = World()
    world.post("/deliveries/approve")
    world.post("/deliveries/retry")
    assert world.sent == []


def test_many_are_sent_again_one_by_one() -> None:
    def refuse(_: httpx.Request) -> Any:
        return refusal(409, "it is done")

    world = World({"POST /v1/actions/a/retry": {}, "POST /v1/actions/b/retry": refuse})
    world.post("/deliveries/retry", id=["a", "b"])
    assert [path for _, path, _ in world.sent] == ["/v1/actions/a/retry", "/v1/actions/b/retry"]
    world.answers["GET /v1/actions"] = page_of([])
    assert "1 delivery sent again. 1 left out: it is done" in world.get("/deliveries").text


def test_an_unknown_delivery_is_a_page() -> None:
    assert World().get("/deliveries/nope").status_code == 404
