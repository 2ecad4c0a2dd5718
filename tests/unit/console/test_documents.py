"""Documents as YAML: what is shown, what is sent, and that nothing typed is lost."""

from typing import Any

import pytest

from services.console.api import ApiError
from services.console.document_kinds import KINDS, as_yaml, from_yaml
from tests.unit.console.world import World, page_of, refusal

META = {"version": 3, "changed_by": "jo", "changed_at": "2026-03-01T00:00:00Z"}
POLICY = {"timezone": "Europe/Paris", "hours": None, "caps": [{"at_most": 2, "within": "7d"}], **META}
ENDPOINT = {
    "name": "crm",
    "url": "https://x.test",
    "secrets": ["***"],
    "status": "active",
    "failing_since": None,
    **META,
}
TYPED = "caps: [{at_most: 2, within: 7d}]  # kept as typed"


def test_what_the_api_only_tells_is_not_shown_to_be_written() -> None:
    text = as_yaml(KINDS["endpoint"], ENDPOINT)
    assert from_yaml(text) == {"name": "crm", "url": "https://x.test", "secrets": ["***"]}


@pytest.mark.parametrize("text", ["", "a: [", "- a\n- b", "just words", "a: 1\n---\nb: 2", "x: " + "[" * 200])
def test_what_is_no_document_is_refused_as_the_api_would(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        from_yaml(text)
    assert caught.value.status == 422


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.noun)
def test_every_example_is_yaml_of_itself(kind: Any) -> None:
    assert from_yaml(as_yaml(kind, kind.example)) == kind.example


def test_a_single_document_is_saved_at_the_version_that_was_shown() -> None:
    world = World({"GET /v1/policy": POLICY, "PUT /v1/policy": {**POLICY, "version": 4}})
    page = world.get("/settings/policy").text
    assert 'name="version" value="3"' in page
    answer = world.post("/settings/policy/save", text=TYPED, version="3")
    assert answer.headers["location"] == "/settings/policy"
    assert world.sent == [("PUT", "/v1/policy", {"caps": [{"at_most": 2, "within": "7d"}]})]
    assert next(one for one in world.asked if one.method == "PUT").headers["if-match"] == '"3"'


def test_the_first_of_a_single_document_starts_from_an_example() -> None:
    page = World({"GET /v1/policy": {"caps": [], "version": 0}}).get("/settings/policy").text
    assert "Nothing is set yet" in page
    assert "Europe/Paris" in page


@pytest.mark.parametrize("status", [400, 409, 412, 422])
def test_a_refused_save_keeps_what_was_typed(status: int) -> None:
    world = World({"PUT /v1/policy": refusal(status, "no", ("caps.0.at_most", "should be at least 1"))})
    answer = world.post("/settings/policy/save", text=TYPED, version="3")
    assert answer.status_code == status
    assert "kept as typed" in answer.text
    assert "should be at least 1" in answer.text
    assert 'name="version" value="3"' in answer.text


def test_text_that_is_no_yaml_reaches_no_service() -> None:
    world = World()
    answer = world.post("/settings/policy/save", text="a: [", version="3")
    assert answer.status_code == 422
    assert "line 1" in answer.text or "line 2" in answer.text
    assert world.sent == []


def test_a_named_one_is_made_once_and_changed_at_its_version() -> None:
    world = World(
        {
            "POST /v1/endpoints": (201, {**ENDPOINT, "version": 1, "secret": "whsec_x"}),
            "PUT /v1/endpoints/crm": ENDPOINT,
            "GET /v1/endpoints/crm": ENDPOINT,
            "GET /v1/endpoints/crm/versions": page_of(
                [{**ENDPOINT, "in_force": True}, {**ENDPOINT, "version": 2}]
            ),
        }
    )
    world.post("/settings/endpoints/save", text="name: crm\nurl: https://x.test", once="o1")
    made = next(one for one in world.asked if one.method == "POST")
    assert made.headers["idempotency-key"].rpartition("-")[0] == "o1"
    page = world.get("/settings/endpoints/crm").text
    assert "whsec_x" in page, "shown this once"
    assert "whsec_x" not in world.get("/settings/endpoints/crm").text
    assert "/settings/endpoints/crm/versions/2/publish" in page
    world.post("/settings/endpoints/save", text="name: crm\nurl: https://y.test", name="crm", version="3")
    assert world.sent[-1] == ("PUT", "/v1/endpoints/crm", {"name": "crm", "url": "https://y.test"})


def test_what_is_in_use_is_not_deleted_and_says_why() -> None:
    world = World(
        {
            "GET /v1/endpoints/crm": ENDPOINT,
            "DELETE /v1/endpoints/crm": refusal(409, "it is used by the playbook p"),
        }
    )
    answer = world.post("/settings/endpoints/crm/delete")
    assert answer.status_code == 409
    assert "it is used by the playbook p" in answer.text
    world.answers["DELETE /v1/endpoints/crm"] = (204, None)
    assert world.post("/settings/endpoints/crm/delete").headers["location"] == "/settings/endpoints/crm"


def test_the_check_tells_and_saves_nothing() -> None:
    world = World({"POST /v1/playbooks/check": {"warnings": [{"field": "steps.0", "message": "odd"}]}})
    page = world.post("/playbooks/check", text="name: p\nsteps: [{wait: 7d}]").text
    assert "waits 7 days" in page
    assert "odd" in page
    assert [path for _, path, _ in world.sent] == ["/v1/playbooks/check"]
    assert "Not yet valid" in world.post("/playbooks/check", text="a: [").text


def test_publishing_puts_a_version_into_force() -> None:
    world = World({"POST /v1/playbooks/p/versions/2/publish": {}})
    assert world.post("/playbooks/p/versions/2/publish").headers["location"] == "/playbooks/p/edit"
    world.answers["POST /v1/playbooks/p/versions/2/publish"] = refusal(422, "there is no template t")
    world.post("/playbooks/p/versions/2/publish")
    world.answers["GET /v1/playbooks"] = page_of([])
    assert "there is no template t" in world.get("/playbooks").text


def test_who_may_only_read_finds_no_button() -> None:
    me = {"name": "x", "scopes": ["actions:read", "rules:read"], "email": None}
    answers = {
        "GET /v1/endpoints/crm": ENDPOINT,
        "GET /v1/endpoints": page_of([ENDPOINT]),
        "GET /v1/policy": POLICY,
    }
    world = World(answers, me=me)
    for path in ("/settings/endpoints", "/settings/endpoints/crm", "/settings/policy"):
        main = world.get(path).text.split("<main", 1)[1].split("</main>")[0]
        assert "<button" not in main
        assert "New endpoint" not in main


def test_a_brand_has_a_name_of_its_own_and_is_still_the_only_one() -> None:
    brand = {"name": "Lumen", "postal_address": "1 Main Street", "version": 2}
    page = World({"GET /v1/brand": brand}).get("/settings/brand").text
    assert "<h1>Brand</h1>" in page
    assert "/settings/brand/Lumen" not in page
    assert 'name="name"' not in page


def test_the_example_of_a_source_makes_events_that_rules_know() -> None:
    # `type` stands as it is: quotes, as JMESPath has them around a text, would be part of it
    assert [one["type"] for one in KINDS["source"].example["events"]] == ["ticket.opened"]
