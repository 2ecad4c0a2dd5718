"""Contract, section 11: a rule is started by hand, decided on the log, once for a subject and request."""

from itertools import count
from typing import Any

import httpx
import pytest

from tests.services.contract.test_rules import settled

_keys = count(1)
T = "2026-02-10T00:00:00Z"
WHEN = {"threshold": {"event": "hand.ticket", "within": "30d", "at_least": {"high": 3, "tech": 3}}}
RULE = {"name": "hand", "when": WHEN, "status": "active", "cooldown": "7d", "playbook": "call-them"}
PLAYBOOK = {"name": "call-them", "steps": [{"task": {"title": "Call {{ account.name }}"}}]}


@pytest.fixture(scope="module")
def hand(api: httpx.Client) -> httpx.Client:
    """Six accounts with 0 to 5 tickets from an import: three of them match, and nothing has fired."""
    assert api.post("/v1/playbooks", json=PLAYBOOK).status_code == 201
    assert api.post("/v1/rules", json=RULE).status_code == 201
    for number in range(6):
        body = {"name": f"H{number}", "owner": {"name": "Jo", "email": "jo@us.test"}}
        assert api.put(f"/v1/accounts/h-{number}?time=2026-02-01T00:00:00Z", json=body).status_code == 202
        events = [
            {"id": f"h{number}-{n}", "type": "hand.ticket", "account": f"h-{number}", "historical": True,
             "time": f"2026-02-0{n + 2}T00:00:00Z"}
            for n in range(number)
        ]  # fmt: skip
        assert not events or api.post("/v1/events", json=events).status_code == 202
    assert api.post("/v1/clock", json={"time": "2026-02-10T00:00:00Z"}).status_code == 202
    settled(api)
    return api


def start(api: httpx.Client, rule: str = "hand", key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key or f"k-{next(_keys)}"} if key != "" else {}
    return api.post(f"/v1/rules/{rule}/start", json=body, headers=headers)


def who(answer: httpx.Response) -> tuple[list[str], list[tuple[str, str]]]:
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return (
        [one["account"] for one in said["triggers"]],
        [(one["account"], one["reason"]) for one in said["left_out"]],
    )


def triggers(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/triggers", params=query).json()["items"]
    return items


def test_a_dry_run_says_who_and_changes_nothing(hand: httpx.Client) -> None:
    answer = start(hand, key="", subjects="matching", dry_run=True)
    assert who(answer) == (["h-5", "h-4", "h-3"], [])
    said = answer.json()
    assert said["triggers"][0]["window"] == {"from": "2026-01-11T00:00:00Z", "to": T}  # mails tell it
    assert said["dry_run"] is True
    assert (said["triggers"][0]["id"], said["triggers"][0]["position"]) == (None, None)
    assert said["triggers"][0]["value"] == 5
    named = [{"account": name} for name in ("h-0", "h-4", "nobody")]
    assert who(start(hand, key="", subjects=named, dry_run=True)) == (
        ["h-0", "h-4"],
        [("nobody", "unknown_account")],
    )
    settled(hand)
    assert triggers(hand, rule="hand") == []


def test_day_one_after_an_import_is_not_empty(hand: httpx.Client) -> None:
    first = start(hand, key="day-one", subjects="matching", limit=2)
    assert who(first) == (["h-5", "h-4"], [])
    again = start(hand, key="day-one", subjects="matching", limit=2)
    assert again.json() == first.json()
    settled(hand)
    found = triggers(hand, rule="hand")
    assert sorted(one["id"] for one in found) == sorted(one["id"] for one in first.json()["triggers"])
    assert {one["reason"] for one in found} == {"by_hand"}
    assert found[0]["sentence"].startswith("Somebody started it by hand on 10 February 2026")
    assert {one["at"] for one in found} == {"2026-02-10T00:00:00Z"}
    [most] = [one for one in found if one["account"] == "h-5"]
    assert (most["event_id"], most["event"]["time"]) == ("h5-4", "2026-02-06T00:00:00Z")
    assert most["window"] == {"from": "2026-01-11T00:00:00Z", "to": "2026-02-10T00:00:00Z"}
    assert most["evidence"] == [f"h5-{n}" for n in range(5)]
    plays = hand.get("/v1/plays", params={"playbook": "call-them"}).json()["items"]
    assert sorted((one["account"], one["status"]) for one in plays) == [
        ("h-4", "finished"),
        ("h-5", "finished"),
    ]
    other = hand.post(
        "/v1/rules/hand/start", json={"subjects": "matching"}, headers={"Idempotency-Key": "day-one"}
    )
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_the_cooldown_has_begun_and_holds_for_named_ones_too(hand: httpx.Client) -> None:
    assert who(start(hand, subjects="matching")) == (
        ["h-3"],
        [("h-4", "cooldown"), ("h-5", "cooldown")][::-1],
    )
    assert who(start(hand, subjects=[{"account": "h-3"}, {"account": "h-0"}, {"account": "h-0"}])) == (
        ["h-0"], [("h-3", "cooldown")],
    )  # fmt: skip
    explained = hand.get("/v1/rules/hand/explain", params={"account": "h-0"}).json()
    assert explained["last_trigger"] == "2026-02-10T00:00:00Z"
    assert explained["cooldown_until"] == "2026-02-17T00:00:00Z"
    [one] = [m for m in hand.get("/v1/rules/hand/matches").json()["items"] if m["account"] == "h-5"]
    assert one["last_trigger"] == "2026-02-10T00:00:00Z"


def test_who_cannot_be_started_is_left_out_with_the_reason(hand: httpx.Client) -> None:
    merged = {"id": "hm", "type": "account.merged", "account": "h-2", "time": T, "data": {"into": "h-1"}}
    gone = {"id": "hd", "type": "account.deleted", "account": "h-del", "time": T}
    assert hand.put(f"/v1/accounts/h-del?time={T}", json={"name": "gone"}).status_code == 202
    assert hand.put(f"/v1/accounts/h-low?time={T}", json={"tier": "low"}).status_code == 202
    assert hand.post("/v1/events", json=[merged, gone]).status_code == 202
    named = [{"account": name} for name in ("h-2", "h-del", "h-low", "h-none", "h-1")]
    started, left_out = who(start(hand, subjects=named))
    assert started == ["h-1"]
    assert sorted(left_out) == [
        ("h-2", "account_merged"), ("h-del", "erased"), ("h-low", "tier_not_covered"), ("h-none", "unknown_account"),
    ]  # fmt: skip
    settled(hand)
    assert not {"h-2", "h-del", "h-low", "h-none"} & {one["account"] for one in triggers(hand, rule="hand")}


def test_of_named_ones_a_limit_takes_the_greatest_shares(hand: httpx.Client) -> None:
    rule = {**RULE, "name": "hand-limit", "status": "shadow"}
    assert hand.post("/v1/rules", json={**rule, "backfill": True}).status_code == 201
    settled(hand)
    named = [{"account": name} for name in ("h-1", "h-5", "h-none", "h-4")]
    answer = start(hand, "hand-limit", subjects=named, limit=2)
    assert who(answer) == (["h-5", "h-4"], [("h-none", "unknown_account")])
    assert {one["shadow"] for one in answer.json()["triggers"]} == {True}
    settled(hand)
    assert not hand.get("/v1/plays", params={"rule": "hand-limit"}).json()["items"]


def test_subjects_are_those_that_the_rule_counts_for(hand: httpx.Client) -> None:
    rule = {"name": "hand-people", "when": WHEN, "scope": "contact", "by": "data.k", "status": "active"}
    assert hand.post("/v1/rules", json=rule).status_code == 201
    wrong = start(
        hand, "hand-people", subjects=[{"account": "h-1", "contact": "ann"}, {"account": "h-1", "key": "k"}]
    )
    assert [one["field"] for one in wrong.json()["errors"]] == ["subjects.0.key", "subjects.1.contact"]
    wrong = start(hand, subjects=[{"account": "h-1", "contact": "ann"}])
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "subjects.0.contact")
    assert hand.put(f"/v1/accounts/h-1?time={T}", json={"contacts": [{"id": "ann"}]}).status_code == 202
    named = [{"account": "h-1", "contact": name, "key": "k"} for name in ("ann", "bob")]
    answer = start(hand, "hand-people", subjects=named)
    assert who(answer) == (["h-1"], [("h-1", "unknown_contact")])
    assert (answer.json()["triggers"][0]["contact"], answer.json()["triggers"][0]["key"]) == ("ann", "k")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"subjects": []}, "subjects"), ({"subjects": "everybody"}, "subjects"), ({}, "subjects"),
        ({"subjects": [{"contact": "ann"}]}, "subjects.0.account"),
        ({"subjects": [{"account": "a" * 257}]}, "subjects.0.account"),
        ({"subjects": "matching", "limit": 0}, "limit"), ({"subjects": "matching", "dry_run": 1}, "dry_run"),
        ({"subjects": "matching", "near": 0.5}, "near"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(hand: httpx.Client, body: dict[str, Any], field: str) -> None:
    answer = start(hand, **body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_without_a_key_nothing_is_started(hand: httpx.Client) -> None:
    before = len(triggers(hand, rule="hand"))
    answer = start(hand, key="", subjects=[{"account": "h-1"}])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    for verb in ("draft", "paused"):
        rule = {**RULE, "name": f"hand-{verb}", "status": verb}
        assert hand.post("/v1/rules", json=rule).status_code == 201
        assert start(hand, f"hand-{verb}", subjects=[{"account": "h-1"}]).status_code == 409
    assert start(hand, "hand-nobody", subjects=[{"account": "h-1"}]).status_code == 404
    settled(hand)
    assert len(triggers(hand, rule="hand")) == before
