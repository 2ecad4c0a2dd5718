"""Contract, sections 4, 6 and 8: rules and accounts over HTTP."""

import time
from typing import Any

import httpx
import pytest

RULE = {"name": "spike", "when": {"threshold": {"event": "ticket", "at_least": 1}}, "status": "active"}


def settled(api: httpx.Client) -> None:
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)


def test_every_change_heeds_if_match(api: httpx.Client) -> None:
    made = api.post("/v1/rules", json=RULE)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/rules/spike")
    stale, first = {"If-Match": '"99"'}, {"If-Match": made.headers["etag"]}
    for verb in ("pause", "shadow", "activate"):
        assert api.post(f"/v1/rules/spike/{verb}", headers=stale).status_code == 412
    assert api.put("/v1/rules/spike", json=RULE, headers=stale).status_code == 412
    assert api.delete("/v1/rules/spike", headers=stale).status_code == 412
    for body in ({"plays": "stop"}, {"bogus": 1}):  # what it does not do is not taken without a word
        wrong = api.post("/v1/rules/spike/pause", json=body, headers=first)
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, next(iter(body)))
    paused = api.post("/v1/rules/spike/pause", json={"plays": "go_on"}, headers=first)
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert api.post("/v1/rules/spike/activate", headers=first).status_code == 412


def test_an_account_is_shown_with_all_its_fields(api: httpx.Client) -> None:
    body = {"owner": {"email": "jo@us.test"}, "contacts": [{"id": "ann"}]}
    assert api.put("/v1/accounts/acme", json=body).status_code == 202
    settled(api)
    account = api.get("/v1/accounts/acme").json()
    assert account["owner"] == {"name": None, "email": "jo@us.test"}
    assert (account["domains"], account["external_ids"]) == ([], {})
    assert account["contacts"] == [
        {"id": "ann", "email": None, "phone": None, "name": None, "roles": [], "active": True, "timezone": None,
         "locale": None, "attributes": {}}
    ]  # fmt: skip


def test_what_other_systems_call_an_account_is_kept_and_shown(api: httpx.Client) -> None:
    ids = {"stripe": "cus_1", "zendesk": ["36", "37"]}
    body = {
        "external_ids": ids,
        "domains": ["ACME.test"],
        "contacts": [{"id": "ann", "phone": "+49 30 123456"}],
    }
    assert api.put("/v1/accounts/acme", json=body).status_code == 202
    assert (
        api.put("/v1/accounts/acme", json={"external_ids": {"zendesk": None, "crm": "7"}}).status_code == 202
    )
    settled(api)
    account = api.get("/v1/accounts/acme").json()
    assert (account["external_ids"], account["domains"]) == ({"stripe": "cus_1", "crm": "7"}, ["acme.test"])
    assert account["contacts"][0]["phone"] == "+4930123456"
    refused = api.put("/v1/accounts/acme", json={"external_ids": {"crm": 7}, "domains": ["mailinator.com"]})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["errors"]] == ["domains.0", "external_ids.crm"]
    assert api.put("/v1/accounts/acme", json=account).status_code == 202, "what GET shows may be written back"


def test_an_accounts_name_may_be_any_text(api: httpx.Client) -> None:
    assert api.put("/v1/accounts/a%2Fb%20%C3%A9", json={"name": "Odd"}).status_code == 202
    settled(api)
    assert api.get("/v1/accounts/a%2Fb%20%C3%A9").json()["id"] == "a/b é"


def test_numbers_are_answered_as_they_were_sent(api: httpx.Client) -> None:
    when = {"threshold": {"event": "x", "within": "1d", "at_least": {"high": 10, "low": 2.5}}}
    assert '"high":10,' in api.put("/v1/rules/numbers", json={"when": when}).text
    trend = {"trend": {"event": "x", "over": "7d", "baseline": "7d", "falls_by": 20}}
    assert '"falls_by":20}' in api.put("/v1/rules/numbers", json={"when": trend}).text


def test_every_key_that_a_rule_counts_by_is_explained(api: httpx.Client) -> None:
    """A key may be as long as the engine takes it, and a longer one is refused with its name."""
    when = {"threshold": {"event": "invoiced", "at_least": 1}}
    rule = {"name": "by-key", "when": when, "by": "data.invoice", "status": "active", "cooldown": "1d"}
    assert api.post("/v1/rules", json=rule).status_code == 201
    long = "i" * 1024
    event = {"id": "k1", "type": "invoiced", "account": "keyed", "data": {"invoice": long}}
    assert api.post("/v1/events", json=event).status_code == 202
    settled(api)
    asked = {"account": "keyed", "key": long}
    assert api.get("/v1/rules/by-key/explain", params=asked).json()["value"] == 1
    assert api.get("/v1/rules/by-key/explain", params=asked | {"key": "other"}).json()["value"] == 0
    refused = api.get("/v1/rules/by-key/explain", params=asked | {"key": long + "i"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "key")


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("tier=hihg", "tier", "'high', 'low' or 'tech'"),
        ("rule=", "rule", "at least 1 character"),
        ("after=20260101", "after", "RFC 3339 with an offset"),
        ("before=2026-01-01T00:00:00", "before", "RFC 3339 with an offset"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("cursor=x", "cursor", "is not a cursor of this list"),
    ],
)
def test_a_filter_that_cannot_work_is_refused(api: httpx.Client, query: str, field: str, said: str) -> None:
    answer = api.get(f"/v1/triggers?{query}")
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["message"]


def test_a_plus_in_a_time_need_not_be_escaped(api: httpx.Client) -> None:
    assert api.get("/v1/triggers?after=2026-01-01T00:00:00+01:00").status_code == 200
    assert api.post("/v1/clock", json={"time": 1764576000}).status_code == 422


def told(api: httpx.Client, rule: str, account: str) -> dict[str, Any]:
    settled(api)
    answer = api.get(f"/v1/rules/{rule}/explain", params={"account": account})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_right_after_it_fired_an_explanation_says_so_first(api: httpx.Client) -> None:
    when = {"threshold": {"event": "upset", "within": "30d", "at_least": {"tech": 2}}}
    api.post("/v1/rules", json={"name": "upset", "when": when, "status": "active"})
    for day in (1, 2):
        body = {"type": "upset", "account": "told", "time": f"2027-06-0{day}T09:00:00Z", "id": f"u{day}"}
        assert api.post("/v1/events", json=body).status_code == 202
    shown = told(api, "upset", "told")
    assert (shown["fires"], shown["reason"]) == (False, "cooldown")
    assert shown["sentence"] == (
        "It last fired on 2 June 2027, 09:00 UTC. It cannot fire again before 2 July 2027, 09:00 UTC: its cooldown is "
        "30 days. 2 upset events in 30 days; 2 are needed for the tech tier."
    )
    (trigger,) = api.get("/v1/triggers?rule=upset").json()["items"]
    assert trigger["sentence"] == (
        "2 upset events in the 30 days to 2 June 2027, 09:00 UTC; 2 are needed for the tech tier."
    )
    assert api.get(f"/v1/triggers/{trigger['id']}").json() == trigger
    other = told(api, "upset", "nobody")
    assert other["sentence"] == "Nothing has been heard of the account nobody."


def test_a_trend_is_explained_with_its_figures(api: httpx.Client) -> None:
    trend = {"event": "use", "over": "7d", "baseline": "7d", "falls_by": 50, "min_baseline": 4}
    api.post("/v1/rules", json={"name": "less", "when": {"trend": trend}, "status": "active"})
    days = ["2027-07-01", *["2027-07-08"] * 5, *["2027-07-03"] * 2, "2027-07-15"]
    events = [
        {"type": "use", "account": "user", "time": f"{day}T09:00:00Z", "id": f"x{n}"}
        for n, day in enumerate(days)
    ]
    assert api.post("/v1/events", json=events).status_code == 202
    shown = told(api, "less", "user")
    assert (shown["fires"], shown["reason"], shown["figures"]) == (
        True,
        "trend_fell",
        {"recent": 1, "baseline": 7},
    )
    assert shown["sentence"] == (
        "1 use event in the last 7 days against 7 in the 7 days before: the rate fell by 85.7%; 50% is needed. "
        "If nothing more comes until then, it fires on 16 July 2027, 00:00 UTC."
    )


def test_a_draft_and_a_missing_contact_are_explained(api: httpx.Client) -> None:
    when = {"threshold": {"event": "x", "within": "1d", "at_least": 1}}
    api.put("/v1/rules/silent", json={"when": when})
    assert (
        told(api, "silent", "told")["sentence"] == "The rule is a draft: it counts nothing and fires nothing."
    )
    api.put("/v1/rules/silent", json={"when": when, "scope": "contact", "status": "active"})
    assert told(api, "silent", "told")["sentence"] == "The rule counts for each contact, and none is named."
