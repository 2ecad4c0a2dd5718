"""Contract, section 6: the events of an account over HTTP, whatever the account is called."""

import time
from typing import Any

import httpx
import pytest

ODD = ["a/b", "a/b/c", "events", "a/events", "a%2Fb", "é b/ü", "//", "..", "a?b#c"]


def settled(api: httpx.Client) -> None:
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)


def escaped(name: str) -> str:
    return "".join(f"%{byte:02X}" for byte in name.encode())


def listed(api: httpx.Client, account: str, **asked: Any) -> list[str]:
    answer = api.get(f"/v1/accounts/{escaped(account)}/events", params=asked)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


@pytest.mark.parametrize("name", ODD)
def test_a_name_may_be_any_text(api: httpx.Client, name: str) -> None:
    put = api.put(f"/v1/accounts/{escaped(name)}", json={"name": "Odd"})
    event = {"type": "odd", "account": name, "id": f"of {name}"}
    assert api.post("/v1/events", json=event).status_code == 202
    settled(api)
    shown = api.get(f"/v1/accounts/{escaped(name)}")
    assert (shown.status_code, shown.json().get("id"), shown.json().get("name")) == (200, name, "Odd")
    assert listed(api, name) == [f"of {name}", put.json()["id"]]
    assert listed(api, name, type="odd") == listed(api, name, id=f"of {name}") == [f"of {name}"]


def test_an_account_whose_name_ends_in_events_is_none_of_the_other(api: httpx.Client) -> None:
    for name in ("plain", "plain/events"):
        api.post("/v1/events", json={"type": "t", "account": name, "id": f"in {name}"}).raise_for_status()
    settled(api)
    assert listed(api, "plain") == ["in plain"]
    assert listed(api, "plain/events") == ["in plain/events"]
    assert api.get("/v1/accounts/plain%2Fevents").json()["id"] == "plain/events"


def test_evidence_is_what_the_events_are(api: httpx.Client) -> None:
    when = {"threshold": {"event": "burst", "within": "1d", "at_least": 3}}
    api.post("/v1/rules", json={"name": "burst", "when": when, "status": "active"}).raise_for_status()
    events = [
        {"type": "burst", "account": "ev", "id": f"b{n}", "contact": "ann", "data": {"n": n}}
        for n in range(3)
    ]
    api.post("/v1/events", json=events).raise_for_status()
    settled(api)
    (trigger,) = api.get("/v1/triggers?rule=burst").json()["items"]
    explained = api.get("/v1/rules/burst/explain?account=ev").json()
    assert trigger["evidence"] == explained["evidence"] == ["b0", "b1", "b2"]
    shown = {item["id"]: item for item in api.get("/v1/accounts/ev/events").json()["items"]}
    assert [shown[one]["data"] for one in trigger["evidence"]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert shown["b2"]["position"] == trigger["position"]


def test_who_is_not_there_has_no_events(api: httpx.Client) -> None:
    api.post("/v1/events", json={"type": "t", "account": "brief"}).raise_for_status()
    settled(api)
    assert len(listed(api, "brief")) == 1
    api.post("/v1/events", json={"type": "account.deleted", "account": "brief"}).raise_for_status()
    settled(api)
    for name in ("brief", "never"):
        assert api.get(f"/v1/accounts/{name}/events").status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("after=yesterday", "after"),
        ("type=", "type"),
        ("cursor=x", "cursor"),
        ("since=1", "since"),
    ],
)
def test_what_cannot_be_asked(api: httpx.Client, query: str, field: str) -> None:
    api.post("/v1/events", json={"type": "t", "account": "asked"}).raise_for_status()
    settled(api)
    answer = api.get(f"/v1/accounts/asked/events?{query}")
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


def test_a_suppressed_address_may_hold_a_slash(api: httpx.Client) -> None:
    made = api.post("/v1/suppressions", json={"address": "a/b@acme.test"})
    assert made.status_code == 201
    assert api.delete(made.headers["location"]).status_code == 204
    assert api.get("/v1/suppressions?address=a/b@acme.test").json()["items"] == []
