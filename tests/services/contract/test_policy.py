"""Contract, section 12: the policy is one document in versions. See also the tests of round trips and of the audit."""

import httpx

HOURS = {"from": "08:00", "to": "18:00"}


def test_it_is_one_document_with_versions(api: httpx.Client) -> None:
    first = api.get("/v1/policy")
    assert (first.json(), first.headers["etag"]) == ({"version": 0}, '"0"')
    made = api.put("/v1/policy", json={"hours": HOURS}, headers={"if-match": '"0"'})
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    assert made.json() == api.get("/v1/policy").json()
    assert (made.json()["hours"], made.json()["version"], made.json()["changed_by"]) == (HOURS, 1, "admin")
    assert api.put("/v1/policy", json={}, headers={"if-match": '"0"'}).status_code == 412
    assert api.get("/v1/policy").json() == made.json(), "what was refused changed nothing"
    none = api.put("/v1/policy", json={}, headers={"if-match": '"1"'})
    assert (none.json()["version"], "hours" in none.json()) == (2, False)


def test_what_is_wrong_is_named_and_what_is_doubtful_is_warned_of(api: httpx.Client) -> None:
    before = api.get("/v1/policy").json()
    for method, path in (("PUT", "/v1/policy"), ("POST", "/v1/policy/check")):
        refused = api.request(method, path, json={"hours": {"from": "18:00", "to": "8:00"}, "cap": []})
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["hours.to", "cap"]
    doubtful = {"caps": [{"at_most": 0, "within": "1d"}]}
    checked = api.post("/v1/policy/check", json=doubtful).json()
    assert [warning["field"] for warning in checked["warnings"]] == ["caps.0.at_most"]
    assert api.get("/v1/policy").json() == before, "a check saves nothing"
    saved = api.put("/v1/policy", json=doubtful).json()
    assert saved["warnings"] == checked["warnings"]
    assert "warnings" not in api.get("/v1/policy").json()
    assert "warnings" not in api.put("/v1/policy", json={}).json()


def test_what_does_not_fit_together_is_told_to_whoever_saves_last(api: httpx.Client) -> None:
    api.put("/v1/policy", json={})
    api.put("/v1/templates/hello", json={"subject": "Hi", "markdown": "Hello"})
    mail = {"email": {"template": "hello"}}
    steps = {"steps": [mail, {"wait": "1d"}, mail]}
    narrow = {"caps": [{"at_most": 1, "within": "7d", "except_topics": ["bills"]}], "wait_at_most": "2d"}
    assert "warnings" not in api.put("/v1/playbooks/chase", json=steps).json()
    warned = api.put("/v1/policy", json=narrow).json()["warnings"]
    assert [one["field"] for one in warned] == ["caps.0.except_topics.0", "caps.0"]
    assert "the mail steps.2.email of chase never goes out" in warned[1]["message"]
    again = api.put("/v1/playbooks/chase", json=steps).json()["warnings"]
    assert [one["field"] for one in again] == ["steps.2.email"]
    assert "warnings" not in api.put("/v1/playbooks/chase", json={"steps": [mail]}).json()
    api.put("/v1/playbooks/chase", json={"steps": [mail], "topic": "bills"})
    assert "warnings" not in api.put("/v1/policy", json=narrow).json()
    api.put("/v1/policy", json={})
