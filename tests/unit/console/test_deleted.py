"""What was deleted, at its old address: its versions are shown, and any of them can be brought back."""

from typing import Any

import pytest

from services.console.pages.deleted import page_of as page_of_thing
from tests.unit.console.test_rules import HOSTILE, READER, RULE
from tests.unit.console.world import World, page_of, refusal

MADE = {"version": 2, "changed_by": "jo", "changed_at": "2026-03-01T08:00:00Z", "in_force": False}
GONE = {"name": "spike", **MADE, "version": 3, "changed_by": "sam", "status": "deleted"}
SAVED = {**RULE, **MADE, "description": HOSTILE}
ENDPOINT = {"name": "crm", "url": "https://crm.test", "secret": None, "status": "ok", **MADE}


def world(*versions: dict[str, Any], **more: Any) -> World:
    return World({"GET /v1/rules/spike/versions": page_of([*(versions or (GONE, SAVED))]), **more})


@pytest.mark.parametrize("part", ["", "/edit", "/versions", "/matches", "/backtest"])
def test_a_deleted_rule_shows_its_versions(part: str) -> None:
    page = world().get(f"/rules/spike{part}")
    assert page.status_code == 200
    assert "Deleted by sam" in page.text
    assert "Fires for an account. It starts the playbook call." in page.text
    assert "at_least: 10" in page.text
    assert "status: active" not in page.text, "that is no part of a version"
    assert page.text.count('action="/rules/spike/restore"') == 1, "a deletion cannot be brought back"
    assert "<script>alert" not in page.text


def test_what_was_never_in_force_says_so() -> None:
    page = world(SAVED).get("/rules/spike").text
    assert "not in force" in page
    assert "deleted" not in page.partition("<main")[2]


def test_bringing_back_is_one_call() -> None:
    made = world(**{"POST /v1/rules/spike/versions/2/publish": {**RULE, "status": "draft"}})
    answer = made.post("/rules/spike/restore", version="2")
    assert made.sent == [("POST", "/v1/rules/spike/versions/2/publish", {})]
    assert answer.headers["location"] == "/rules/spike"
    made.answers["GET /v1/rules/spike"] = {**RULE, "status": "draft"}
    assert "spike is back, as version 2 has it. It is a draft" in made.get("/rules/spike").text


def test_what_cannot_be_brought_back_says_why() -> None:
    wrong = refusal(422, "invalid", ("playbook", "there is no playbook call"))
    made = world(**{"POST /v1/rules/spike/versions/2/publish": wrong})
    page = made.post("/rules/spike/restore", version="2")
    assert page.status_code == 422
    assert "there is no playbook call" in page.text
    assert "Deleted by sam" in page.text


def test_a_reader_sees_the_versions_and_no_way_back() -> None:
    page = World({"GET /v1/rules/spike/versions": page_of([GONE, SAVED])}, me=READER).get("/rules/spike").text
    assert "Deleted by sam" in page
    assert "/restore" not in page


def test_documents_say_of_themselves_that_they_were_deleted() -> None:
    gone = {"name": "crm", **MADE, "version": 3, "deleted": True}
    made = World({"GET /v1/endpoints/crm/versions": page_of([gone, ENDPOINT])})
    page = made.get("/settings/endpoints/crm").text
    assert "Deleted by jo" in page
    assert "url: https://crm.test" in page
    assert "secret" not in page.partition("<main")[2]
    assert 'action="/settings/endpoints/crm/restore"' in page
    for path, api in (
        ("/playbooks/p", "playbooks"),
        ("/playbooks/p/edit", "playbooks"),
        ("/templates/p", "templates"),
    ):
        found = World({f"GET /v1/{api}/p/versions": page_of([{**gone, "name": "p"}])}).get(path)
        assert "Deleted by jo" in found.text


def test_what_never_was_or_is_there_is_an_error_as_before() -> None:
    assert World().get("/rules/spike").status_code == 404
    there = world(**{"GET /v1/rules/spike": RULE})
    assert there.get("/rules/spike/backtests/bac_1").status_code == 404, (
        "the rule is there; its backtest is not"
    )
    assert World().get("/accounts/acme").status_code == 404
    assert world().post("/rules/spike/turn", verb="pause").status_code == 404


def test_the_audit_leads_to_what_was_changed() -> None:
    assert page_of_thing("rule/a b") == "/rules/a%20b"
    assert page_of_thing("endpoint/crm") == "/settings/endpoints/crm"
    assert page_of_thing("task/t1") is page_of_thing("policy") is page_of_thing("tiers/tiers") is None
    entry = {
        "actor": "jo", "method": "DELETE", "object": "rule/spike", "version": 3, "before": {}, "after": None,
        "at": "2026-03-01T08:00:00Z",
    }  # fmt: skip
    assert (
        'href="/rules/spike">spike</a>'
        in World({"GET /v1/audit": page_of([entry])}).get("/settings/audit").text
    )
