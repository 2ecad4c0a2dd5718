"""Contract, section 6: what another document in force uses is not deleted; the refusal names its users."""

from typing import Any

import httpx
import pytest

WHEN = {"threshold": {"event": "x", "within": "1d", "at_least": 1}}
STEPS = [{"email": {"template": "hello"}}, {"webhook": {"endpoint": "crm"}}]


@pytest.fixture(autouse=True)
def _documents(api: httpx.Client) -> None:
    api.put("/v1/templates/hello", json={"subject": "Hi", "markdown": "Hi"}).raise_for_status()
    api.put("/v1/endpoints/crm", json={"url": "https://crm.test/"}).raise_for_status()
    api.put("/v1/playbooks/outreach", json={"steps": STEPS}).raise_for_status()


def put(api: httpx.Client, name: str, **fields: Any) -> None:
    api.put(f"/v1/rules/{name}", json={"when": WHEN, "playbook": "outreach", **fields}).raise_for_status()


def refused(api: httpx.Client, path: str) -> list[tuple[str, str]]:
    """Who uses it, as the refusal says."""
    answer = api.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use"), answer.text
    assert api.get(path).status_code == 200, "it is there"
    users = [(one["kind"], one["name"]) for one in answer.json()["users"]]
    assert all(name in answer.json()["detail"] for _, name in users)
    return users


def gone(api: httpx.Client, *paths: str) -> None:
    for path in paths:
        assert api.delete(path).status_code == 204, path
        assert api.get(path).status_code == 404, path


def test_a_playbook_is_held_by_rules_that_are_more_than_drafts(api: httpx.Client) -> None:
    for status in ("active", "paused", "shadow", "draft"):
        put(api, f"is-{status}", status=status)
    held = [("rule", "is-active"), ("rule", "is-paused"), ("rule", "is-shadow")]
    assert refused(api, "/v1/playbooks/outreach") == held
    detail = api.delete("/v1/playbooks/outreach").json()["detail"]
    assert detail == "the playbook 'outreach' is in use by the rules is-active, is-paused and is-shadow"
    gone(api, "/v1/rules/is-active")
    put(api, "is-paused", playbook=None)
    assert refused(api, "/v1/playbooks/outreach") == [("rule", "is-shadow")]
    put(api, "is-shadow", status="draft")
    gone(api, "/v1/playbooks/outreach")
    gone(api, *(f"/v1/rules/is-{status}" for status in ("paused", "shadow", "draft")))


def test_a_draft_holds_from_its_activation_on(api: httpx.Client) -> None:
    put(api, "drafted")
    api.post("/v1/rules/drafted/activate").raise_for_status()
    assert refused(api, "/v1/playbooks/outreach") == [("rule", "drafted")]
    gone(api, "/v1/rules/drafted", "/v1/playbooks/outreach")


def test_templates_and_endpoints_are_held_by_playbooks(api: httpx.Client) -> None:
    branch = {"if": {"account.tier": "high"}, "then": STEPS}
    api.put("/v1/playbooks/deep", json={"steps": {"low": [{"branch": branch}]}}).raise_for_status()
    both = [("playbook", "deep"), ("playbook", "outreach")]
    assert refused(api, "/v1/templates/hello") == both
    assert refused(api, "/v1/endpoints/crm") == both
    gone(api, "/v1/playbooks/deep")
    api.put("/v1/playbooks/outreach", json={"steps": [{"wait": "1d"}]}).raise_for_status()
    gone(api, "/v1/templates/hello", "/v1/endpoints/crm", "/v1/playbooks/outreach")


def test_what_is_not_there_is_not_found_whoever_names_it(api: httpx.Client) -> None:
    put(api, "hopeful", playbook="to-come", status="active")
    assert api.delete("/v1/playbooks/to-come").status_code == 404
    gone(api, "/v1/rules/hopeful")


def test_a_rule_in_force_without_its_playbook_is_warned_of(api: httpx.Client) -> None:
    def warned(answer: httpx.Response) -> list[str]:
        return [one["field"] for one in answer.raise_for_status().json().get("warnings", ())]

    body = {"when": WHEN, "playbook": "to-come"}
    assert warned(api.put("/v1/rules/hopeful", json=body)) == []
    assert warned(api.post("/v1/rules/hopeful/activate")) == ["playbook"]
    assert warned(api.put("/v1/rules/hopeful", json=body)) == ["playbook"]
    api.put("/v1/playbooks/to-come", json={"steps": [{"wait": "1d"}]}).raise_for_status()
    assert warned(api.put("/v1/rules/hopeful", json=body)) == []
    gone(api, "/v1/rules/hopeful", "/v1/playbooks/to-come")
