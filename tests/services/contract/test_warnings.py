"""What is legal but probably wrong is said in the answer to the save, whichever of the documents comes last."""

from typing import Any

import httpx
import pytest

STEP = {"task": {"title": "Call"}}
KINDS = {"rule": "rules", "playbook": "playbooks", "template": "templates"}


@pytest.fixture(autouse=True)
def nothing_saved(api: httpx.Client) -> None:
    for path in KINDS.values():
        for item in api.get(f"/v1/{path}").json()["items"]:
            assert api.delete(f"/v1/{path}/{item['name']}").status_code == 204


def put(api: httpx.Client, kind: str, name: str, **body: Any) -> dict[tuple[str, str], None]:
    """Save; the warnings."""
    answer = api.put(f"/v1/{KINDS[kind]}/{name}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    return warned(answer)


def warned(answer: httpx.Response) -> dict[tuple[str, str], None]:
    """The warnings of an answer, each of the one shape."""
    found = answer.json().get("warnings", [])
    assert all(one.keys() == {"field", "message"} for one in found)
    return {(one["field"], one["message"]): None for one in found}


def rule(api: httpx.Client, at_least: Any = 3, **fields: Any) -> dict[tuple[str, str], None]:
    when = {"threshold": {"event": "ticket.opened", "within": "30d", "at_least": at_least}}
    return put(api, "rule", "spike", **{"when": when, "playbook": "outreach", **fields})


def test_a_tier_left_out_is_said_to_whichever_is_saved_last(api: httpx.Client) -> None:
    assert not put(api, "playbook", "outreach", steps={"high": [STEP]})
    to_rule = ("playbook", "outreach has no steps for the tier low, which the rule covers")
    assert list(rule(api, {"high": 1, "low": 2})) == [to_rule]
    to_playbook = ("steps", "the rule spike covers the tier low, for which there are no steps")
    assert list(put(api, "playbook", "outreach", steps={"high": [STEP]})) == [to_playbook]
    assert not put(api, "playbook", "outreach", steps={"high": [STEP], "low": [STEP]})
    assert not rule(api, {"high": 1, "low": 2})


def test_post_warns_and_its_repetition_too(api: httpx.Client) -> None:
    rule(api, cooldown="1d")
    body = {"name": "outreach", "steps": [{"wait": "2d"}, STEP]}
    once = {"Idempotency-Key": "warned"}
    made = api.post("/v1/playbooks", json=body, headers=once)
    expected = ("steps.0.wait", "waits 2d, longer than spike cools down (1d): its next trigger is skipped")
    assert list(warned(made)) == [expected]
    assert api.post("/v1/playbooks", json=body, headers=once).json() == made.json()
    assert "warnings" not in api.get("/v1/playbooks/outreach").json()
    when = {"threshold": {"event": "ticket.opened", "at_least": 1}}
    made = api.post("/v1/rules", json={"name": "rival", "when": when, "playbook": "outreach"})
    assert [field for field, _ in warned(made)] == ["playbook"]


def test_a_template_and_what_its_trigger_cannot_have(api: httpx.Client) -> None:
    hello = {"subject": "Hi", "markdown": "Invoice {{ trigger.key }}"}
    assert not put(api, "template", "hello", **hello)
    assert not put(api, "playbook", "outreach", steps={"low": [STEP, {"email": {"template": "hello"}}]})
    why = "trigger.key, which is empty when the rule fires: the rule has no by"
    assert list(rule(api, {"low": 2})) == [("playbook", f"the template hello uses {why}")]
    empty = "trigger.key is empty when spike fires: the rule has no by"
    assert list(put(api, "template", "hello", **hello)) == [("markdown", empty)]
    saved = put(api, "playbook", "outreach", steps={"low": [STEP, {"email": {"template": "hello"}}]})
    assert [field for field, _ in saved] == ["steps.low.1.email.template"]

    assert not put(api, "template", "hello", subject="Hi", markdown="Invoice {{ trigger.key or '' }}")
    assert not put(api, "template", "hello", subject="Hi", markdown="Hello {{ trigger.value }}")
    assert not rule(api, {"low": 2})
    assert not rule(api, {"low": 2}, by="data.invoice")
    assert not put(api, "template", "hello", **hello)


def test_a_name_that_no_trigger_has(api: httpx.Client) -> None:
    found = put(api, "template", "hello", subject="{{ trigger.invoice }}", markdown="Hi {{ contact.name }}")
    assert [field for field, _ in found] == ["subject"]
    found = put(api, "playbook", "outreach", steps=[{"task": {"title": "{{ account.nmae }}"}}])
    assert [field for field, _ in found] == ["steps.0.task.title"]


def test_what_is_deleted_is_not_held_against_anything(api: httpx.Client) -> None:
    put(api, "playbook", "outreach", steps={"high": [STEP]})
    assert rule(api)
    api.delete("/v1/playbooks/outreach").raise_for_status()
    assert not rule(api)
    api.delete("/v1/rules/spike").raise_for_status()
    assert not put(api, "playbook", "outreach", steps={"high": [STEP]})


def test_a_draft_and_a_paused_rule_count(api: httpx.Client) -> None:
    rule(api, status="active")
    api.post("/v1/rules/spike/pause").raise_for_status()
    assert put(api, "playbook", "outreach", steps={"high": [STEP]})


def test_asking_saves_nothing(api: httpx.Client) -> None:
    rule(api, cooldown="1d")
    body = {"name": "outreach", "steps": [{"wait": "2d"}]}
    assert [field for field, _ in warned(api.post("/v1/playbooks/check", json=body))] == ["steps.0.wait"]
    assert api.post("/v1/playbooks/check?alone=true", json=body).json() == {"warnings": []}
    assert api.get("/v1/playbooks/outreach").status_code == 404

    lost = {"name": "lost", "steps": [{"email": {"template": "nowhere"}}, {"task": {"title": "{{ oops }}"}}]}
    fields = [one["field"] for one in api.post("/v1/playbooks/check", json=lost).json()["errors"]]
    assert fields == ["steps.0.email.template", "steps.1.task.title"]
    fields = [one["field"] for one in api.post("/v1/playbooks/check?alone=1", json=lost).json()["errors"]]
    assert fields == ["steps.1.task.title"]

    broken = {"name": "hello", "subject": "{{", "markdown": "Hi"}
    assert api.post("/v1/templates/check", json=broken).status_code == 422
    fine = {**broken, "subject": "Hi"}
    assert api.post("/v1/templates/check", json=fine).json() == {"warnings": []}
    assert api.get("/v1/templates/hello").status_code == 404

    put(api, "playbook", "outreach", steps={"high": [STEP]})
    when = {"threshold": {"event": "ticket.opened", "at_least": {"low": 1}}}
    asked = {"name": "other", "when": when, "playbook": "outreach"}
    assert [field for field, _ in warned(api.post("/v1/rules/check", json=asked))] == ["playbook", "playbook"]
    assert api.post("/v1/rules/check?alone=true", json=asked).json() == {"warnings": []}
