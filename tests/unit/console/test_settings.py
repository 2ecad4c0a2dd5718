"""`/settings`: what a key may see of it; keys, suppressions, unmatched events, audit, status, endpoints."""

from typing import Any

import pytest

from tests.unit.console.world import World, page_of, refusal

HOSTILE = "<svg onload=x>{{ 7 * 7 }}"
KEY_ROW = {
    "id": "key_1", "name": HOSTILE, "prefix": "tl_abcdef", "scopes": ["admin"], "email": None,
    "created_at": "2026-03-01T00:00:00Z", "revoked_at": None,
}  # fmt: skip


def test_rooms_that_the_key_may_not_enter_are_left_out() -> None:
    everything = World().get("/settings").text
    assert "/settings/keys" in everything
    some = World(me={"name": "x", "scopes": ["actions:read"], "email": None}).get("/settings").text
    assert "/settings/keys" not in some
    assert "/settings/tiers" not in some
    assert "/settings/policy" in some
    assert "/settings/status" in some


def test_a_key_is_shown_once_on_the_answer_itself() -> None:
    made = {**KEY_ROW, "name": "ann", "key": "tl_secret"}
    world = World({"GET /v1/keys": page_of([KEY_ROW]), "POST /v1/keys": (201, made)})
    answer = world.post("/settings/keys", name=" ann ", scopes=["rules:read", "track"], email="", once="o")
    assert world.sent == [("POST", "/v1/keys", {"name": "ann", "scopes": ["rules:read", "track"]})]
    assert answer.status_code == 200
    assert "tl_secret" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "tl_secret" not in world.get("/settings/keys").text
    assert "<svg onload" not in world.get("/settings/keys").text


def test_a_refused_key_keeps_what_was_typed() -> None:
    world = World(
        {"GET /v1/keys": page_of([]), "POST /v1/keys": refusal(422, "no", ("scopes", "choose one"))}
    )
    answer = world.post("/settings/keys", name="ann")
    assert answer.status_code == 422
    assert "choose one" in answer.text
    assert 'value="ann"' in answer.text


def test_a_key_is_revoked_by_its_id_and_the_last_one_is_kept() -> None:
    world = World({"GET /v1/keys": page_of([KEY_ROW]), "DELETE /v1/keys/key_1": (204, None)})
    assert world.post("/settings/keys/key_1/revoke").status_code == 303
    world.answers["DELETE /v1/keys/key_1"] = refusal(409, "it is the last key with the scope admin")
    answer = world.post("/settings/keys/key_1/revoke")
    assert answer.status_code == 409
    assert "the last key" in answer.text


def test_suppressing_and_lifting() -> None:
    row = {
        "address": "ann@a.test", "hash": "h", "topic": "billing", "reason": "x", "origin": "page",
        "created_at": "2026-03-01T00:00:00Z", "sentence": "Ann left.",
    }  # fmt: skip
    world = World({"GET /v1/suppressions": page_of([row]), "POST /v1/suppressions": (201, row)})
    world.answers["DELETE /v1/suppressions/ann%40a.test"] = (204, None)
    world.answers["DELETE /v1/suppressions/ann@a.test"] = (204, None)
    world.post("/settings/suppressions", address="ann@a.test", topic="", reason="asked")
    world.post("/settings/suppressions/lift", address="ann@a.test", topic="billing")
    assert world.sent == [
        ("POST", "/v1/suppressions", {"address": "ann@a.test", "reason": "asked"}),
        ("DELETE", "/v1/suppressions/ann%40a.test?topic=billing", None),
    ]
    world.answers["POST /v1/suppressions"] = refusal(422, "no", ("address", "is no address"))
    answer = world.post("/settings/suppressions", address="ann")
    assert answer.status_code == 422
    assert "is no address" in answer.text


def test_unmatched_events_are_assigned_or_deleted() -> None:
    parked = {
        "id": "u/1",
        "source": "desk",
        "event": {"type": HOSTILE},
        "tried": [],
        "received_at": "2026-03-01T00:00:00Z",
    }
    world = World({"GET /v1/unmatched": page_of([parked])})
    assert "<svg onload" not in world.get("/settings/unmatched").text
    world.answers["POST /v1/unmatched/u1/assign"] = {}
    world.answers["DELETE /v1/unmatched/u1"] = (204, None)
    world.post("/settings/unmatched/u1/assign", account=" acme ", learn="yes")
    world.post("/settings/unmatched/u1/delete")
    assert world.sent == [
        ("POST", "/v1/unmatched/u1/assign", {"account": "acme", "learn": True}),
        ("DELETE", "/v1/unmatched/u1", None),
    ]


@pytest.mark.parametrize("after", ["", "yesterday", "2026-13-01T00:00"])
def test_sending_again_needs_a_moment(after: str) -> None:
    world = World()
    world.post("/settings/endpoints/crm/retry", after=after)
    assert world.sent == []


def test_the_moment_is_in_the_readers_zone() -> None:
    world = World({"POST /v1/endpoints/crm/retry": (202, {"count": 3})}).sign_in()
    world.cookies.set("touchline_zone", "Europe/Berlin")
    answer = world.post("/settings/endpoints/crm/retry", after="2026-03-01T10:00")
    assert world.sent == [("POST", "/v1/endpoints/crm/retry", {"after": "2026-03-01T09:00:00Z"})]
    assert answer.headers["location"] == "/deliveries?channel=webhook&recipient=crm"


def test_status_and_audit_show_whatever_there_is() -> None:
    entry: dict[str, Any] = {
        "at": "2026-03-01T00:00:00Z", "actor": HOSTILE, "method": "PUT", "object": "rule/x", "version": 2,
        "before": None, "after": {"name": HOSTILE},
    }  # fmt: skip
    services = {"rules": {"lag": 3, "clock": "2026-03-01T00:00:00Z", "silent": [{"a": 1}]}}
    world = World(
        {"GET /v1/audit": page_of([entry]), "GET /v1/status": {"idle": False, "services": services}}
    )
    assert "<svg onload" not in world.get("/settings/audit?object=rule/x").text
    assert world.query("/v1/audit") == {"limit": "50", "object": "rule/x"}
    assert "Work is under way" in world.get("/settings/status").text


# -- mails to assignees


def test_what_became_of_mails_to_assignees() -> None:
    mail = {
        "id": "tm_1", "kind": "made", "assignee": "jo@us.test", "status": "failed", "reason": "rejected",
        "sentence": "The mail server refused it.", "detail": "550 no <such> user", "attempts": 6, "tasks": ["t1", "t2"],
        "moment": None, "due_at": "2026-03-09T08:00:00Z", "done_at": "2026-03-09T13:00:00Z",
    }  # fmt: skip
    made = World({"GET /v1/task-mails/deliveries": page_of([mail], "next")})
    page = made.get("/settings/task-mails/deliveries?status=failed&after=2026-03-03T09%3A30%3A00Z").text
    asked = [one for one in made.asked if one.url.path == "/v1/task-mails/deliveries"][-1]
    assert dict(asked.url.params) == {"status": "failed", "after": "2026-03-03T09:30:00Z", "limit": "50"}
    assert "The mail server refused it." in page
    assert "550 no &lt;such&gt; user" in page
    assert 'href="/tasks/t2"' in page
    assert 'name="after" value="2026-03-03T09:30:00Z"' in page
    assert "status=failed&amp;after=2026-03-03T09%3A30%3A00Z&amp;cursor=next" in page
    empty = World({"GET /v1/task-mails/deliveries": page_of([])})
    assert "No mail yet." in empty.get("/settings/task-mails/deliveries").text
    assert "No such mail" in empty.get("/settings/task-mails/deliveries?status=failed").text
