"""Contract, sections 4, 6 and 8: rules and accounts over HTTP."""

import time

import httpx

RULE = {"name": "spike", "when": {"threshold": {"event": "ticket", "at_least": 1}}, "status": "active"}


def test_every_change_heeds_if_match(api: httpx.Client) -> None:
    made = api.post("/v1/rules", json=RULE)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/rules/spike")
    stale, first = {"If-Match": '"99"'}, {"If-Match": made.headers["etag"]}
    for verb in ("pause", "shadow", "activate"):
        assert api.post(f"/v1/rules/spike/{verb}", headers=stale).status_code == 412
    assert api.put("/v1/rules/spike", json=RULE, headers=stale).status_code == 412
    assert api.delete("/v1/rules/spike", headers=stale).status_code == 412
    paused = api.post("/v1/rules/spike/pause", headers=first)
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert api.post("/v1/rules/spike/activate", headers=first).status_code == 412


def test_an_account_is_shown_with_all_its_fields(api: httpx.Client) -> None:
    body = {"owner": {"email": "jo@us.test"}, "contacts": [{"id": "ann"}]}
    assert api.put("/v1/accounts/acme", json=body).status_code == 202
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)
    account = api.get("/v1/accounts/acme").json()
    assert account["owner"] == {"name": None, "email": "jo@us.test"}
    assert account["contacts"] == [
        {"id": "ann", "email": None, "name": None, "roles": [], "active": True, "timezone": None, "locale": None,
         "attributes": {}}
    ]  # fmt: skip
