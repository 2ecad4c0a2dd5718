"""Lists of rules and playbooks with filters, every rule explained for one account, and where plays stand."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

OPENED = {"threshold": {"event": "seek.opened", "within": "7d", "at_least": 4}}
RULES: dict[str, dict[str, Any]] = {
    "seek-half": {"when": OPENED, "status": "active", "playbook": "seek-waits", "description": "100% Ours_"},
    "seek-most": {
        "when": {"threshold": {"event": "seek.opened", "within": "7d", "at_least": {"high": 3, "low": 9}}},
        "status": "shadow",
        "cooldown": "30d",
    },
    "seek-each": {"when": OPENED, "by": "data.key", "status": "paused", "playbook": "seek-waits"},
    "seek-none": {
        "when": {"date": {"attribute": "account.attributes.seek", "before": "90d"}},
        "status": "active",
    },
    "seek-draft": {"when": OPENED},
}


@pytest.fixture(scope="module")
def seek(api: httpx.Client) -> httpx.Client:
    steps = {"high": [{"wait": "30d"}, {"task": {"title": "Call"}}], "low": [{"wait": "30d"}]}
    for name in ("seek-waits", "seek-stops"):
        assert api.put(f"/v1/playbooks/{name}", json={"steps": steps, "description": "Äpfel"}).is_success
    assert api.post("/v1/playbooks/seek-stops/pause").is_success
    starts = {"when": {"threshold": {"event": "seek.starts", "at_least": 1}}, "playbook": "seek-waits"}
    assert api.put("/v1/rules/seek-starts", json={**starts, "status": "active"}).is_success
    for name, rule in RULES.items():
        assert api.put(f"/v1/rules/{name}", json=rule).is_success
    for account, tier in (("seek", "high"), ("seek-2", "low"), ("seek-3", "high")):
        assert api.put(f"/v1/accounts/{account}", json={"tier": tier}).is_success
        assert api.post("/v1/events", json={"type": "seek.starts", "account": account}).is_success
    opened = [{"type": "seek.opened", "account": "seek", "data": {"key": key}} for key in ("a", "b")]
    assert api.post("/v1/events", json=opened).is_success
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)
    return api


def names(api: httpx.Client, path: str, **asked: Any) -> list[str]:
    """Of all pages, those of this file."""
    found: list[str] = []
    cursor = None
    while True:
        answer = api.get(path, params={"limit": 2, **asked, **({} if cursor is None else {"cursor": cursor})})
        assert answer.status_code == 200, answer.text
        found += [one["name"] for one in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return sorted(name for name in found if name.startswith("seek"))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"status": "active"}, ["seek-half", "seek-none", "seek-starts"]),
        ({"status": "shadow"}, ["seek-most"]),
        ({"status": "draft", "q": "seek"}, ["seek-draft"]),
        ({"playbook": "seek-waits"}, ["seek-each", "seek-half", "seek-starts"]),
        ({"playbook": "seek-waits", "status": "paused"}, ["seek-each"]),
        ({"playbook": "seek"}, []),
        ({"q": "SEEK-M"}, ["seek-most"]),
        ({"q": "100% ours_"}, ["seek-half"]),
        ({"q": "%seek"}, []),
        ({"q": "seek_half"}, []),
        ({"q": "seek.opened events in 7 days is at least 3"}, ["seek-most"]),
        ({"q": "separately for each value of data.key"}, ["seek-each"]),
    ],
)
def test_rules(seek: httpx.Client, asked: dict[str, Any], wanted: list[str]) -> None:
    assert names(seek, "/v1/rules", **asked) == wanted


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"status": "paused"}, ["seek-stops"]),
        ({"status": "active"}, ["seek-waits"]),
        ({"q": "ÄPFEL"}, ["seek-stops", "seek-waits"]),
        ({"q": "seek-W"}, ["seek-waits"]),
        ({"q": "waits 30 days, then creates a task", "status": "active"}, ["seek-waits"]),
        ({"q": "se%"}, []),
    ],
)
def test_playbooks(seek: httpx.Client, asked: dict[str, Any], wanted: list[str]) -> None:
    assert names(seek, "/v1/playbooks", **asked) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "rules?status=on",
        "rules?q=",
        "rules?tier=high",
        "playbooks?status=draft",
        "templates?q=x",
        "accounts?p=1",
    ],
)
def test_what_a_list_does_not_know_is_refused(seek: httpx.Client, path: str) -> None:
    assert seek.get(f"/v1/{path}").status_code == 422


def test_every_rule_is_explained_nearest_first(seek: httpx.Client) -> None:
    items = seek.get("/v1/accounts/seek/explain").json()["items"]
    mine = [one for one in items if one["rule"].startswith("seek-") and one["rule"] != "seek-starts"]
    assert [(one["rule"], one["share"], one["key"], one["reason"]) for one in mine] == [
        ("seek-most", pytest.approx(2 / 3), None, "below_threshold"),
        ("seek-half", 0.5, None, "below_threshold"),
        ("seek-each", 0.25, "a", "below_threshold"),
        ("seek-none", None, None, "no_date"),
    ]
    shares = [one["share"] for one in items if one["share"] is not None]
    assert shares == sorted(shares, reverse=True)
    assert [one["share"] for one in items[len(shares) :]] == [None] * (len(items) - len(shares))
    for one in mine:
        asked = {"account": "seek", **({} if one["key"] is None else {"key": one["key"]})}
        alone = seek.get(f"/v1/rules/{one['rule']}/explain", params=asked).json()
        passing = {"window": one["window"], "next_check": one["next_check"]}
        assert alone | passing == {name: one[name] for name in alone}
    assert seek.get("/v1/accounts/seek-nobody/explain").status_code == 404


def test_open_plays_by_tier_and_step(seek: httpx.Client) -> None:
    items = seek.get("/v1/playbooks/seek-waits/standing").json()["items"]
    assert items == [{"tier": "high", "step": "0", "n": 2}, {"tier": "low", "step": "0", "n": 1}]
    plays = seek.get("/v1/plays", params={"playbook": "seek-waits", "status": "open"}).json()["items"]
    assert len(plays) == 3
    for item in items:
        there = {"playbook": "seek-waits", "status": "open", "tier": item["tier"], "step": item["step"]}
        assert len(seek.get("/v1/plays", params=there).json()["items"]) == item["n"]
    assert seek.get("/v1/plays", params={"playbook": "seek-waits", "step": "1"}).json()["items"] == []
    seek.post(f"/v1/plays/{plays[0]['id']}/exit")
    assert sum(one["n"] for one in seek.get("/v1/playbooks/seek-waits/standing").json()["items"]) == 2
    assert seek.get("/v1/playbooks/seek-stops/standing").json() == {"items": []}
    assert seek.get("/v1/playbooks/seek-nothing/standing").status_code == 404
