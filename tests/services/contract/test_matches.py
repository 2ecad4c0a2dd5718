"""Contract, section 11, who matches now: over HTTP, from what the workers have committed."""

from typing import Any

import httpx
import pytest

from tests.services.contract.test_rules import settled

STORM = {
    "name": "storm",
    "when": {"threshold": {"event": "storm.ticket", "within": "30d", "at_least": {"high": 4, "tech": 8}}},
    "where": {"account.attributes.status": {"ne": "churned"}},
    "status": "shadow",
}
Q = "2026-03-01T00:00:00Z"


def post(api: httpx.Client, *events: dict[str, Any]) -> None:
    answer = api.post("/v1/events", json=list(events))
    assert (answer.status_code, answer.json()["rejected"]) == (202, [])


@pytest.fixture(scope="module")
def storm(api: httpx.Client) -> httpx.Client:
    """Three accounts in a storm, one of them churned, and a quiet one; the clock goes on to the day after."""
    assert api.post("/v1/rules", json=STORM).status_code == 201
    for name, tier in (("high", "high"), ("tech", None), ("gone", "high"), ("quiet", "high")):
        body = {"tier": tier, "attributes": {"status": "churned" if name == "gone" else "live"}}
        assert api.put(f"/v1/accounts/s-{name}?time=2026-02-01T00:00:00Z", json=body).status_code == 202
    for name, count in (("high", 4), ("tech", 7), ("gone", 6), ("quiet", 1)):
        post(
            api,
            *(
                {"id": f"{name}-{n}", "type": "storm.ticket", "account": f"s-{name}", "historical": True,
                 "time": f"2026-02-{20 + n}T12:00:00Z"}
                for n in range(count)
            ),
        )  # fmt: skip
    assert api.post("/v1/clock", json={"time": Q}).status_code == 202
    settled(api)
    return api


def matches(api: httpx.Client, rule: str, **query: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/rules/{rule}/matches", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_an_import_that_fired_nothing_shows_who_stands_where(storm: httpx.Client) -> None:
    assert storm.get("/v1/triggers", params={"rule": "storm"}).json()["items"] == []
    assert matches(storm, "storm") == [
        {"account": "s-high", "contact": None, "key": None, "tier": "high", "share": 1.0, "value": 4, "threshold": 4,
         "due": None, "last_trigger": None, "cooldown_until": None}
    ]  # fmt: skip
    near = matches(storm, "storm", near=0.8)
    assert [(one["account"], one["share"], one["threshold"]) for one in near] == [
        ("s-high", 1.0, 4), ("s-tech", 0.875, 8),
    ]  # fmt: skip
    assert "s-gone" not in [one["account"] for one in matches(storm, "storm", near=0)]


def test_pages_follow_one_another(storm: httpx.Client) -> None:
    whole = [one["account"] for one in matches(storm, "storm", near=0)]
    found, cursor = [], None
    while True:
        query = {"near": 0, "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = storm.get("/v1/rules/storm/matches", params=query).json()
        found += [one["account"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole
    assert found[:3] == ["s-high", "s-tech", "s-quiet"]
    bad = storm.get("/v1/rules/storm/matches", params={"cursor": "eA"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


def test_windows_end_now_and_not_at_the_last_event(storm: httpx.Client) -> None:
    rule = {"name": "week", "when": {"threshold": {"event": "week.seen", "within": "7d", "at_least": 1}}}
    assert storm.post("/v1/rules", json={**rule, "status": "active"}).status_code == 201
    post(storm, {"id": "w1", "type": "week.seen", "account": "w-once", "time": "2026-03-02T00:00:00Z"})
    settled(storm)
    [one] = matches(storm, "week")
    assert (one["account"], one["last_trigger"]) == ("w-once", "2026-03-02T00:00:00Z")
    assert storm.post("/v1/clock", json={"time": "2026-03-09T00:00:00Z"}).status_code == 202
    settled(storm)
    assert matches(storm, "week") == []


def test_who_is_away_is_there_long_after_it_fired(storm: httpx.Client) -> None:
    rule = {
        "name": "away",
        "when": {"absence": {"event": "away.seen", "for": "2d"}},
        "scope": "contact",
        "status": "active",
    }
    assert storm.post("/v1/rules", json=rule).status_code == 201
    for name, day in (("ann", 10), ("bob", 19)):
        post(
            storm,
            {"id": f"a-{name}", "type": "away.seen", "account": "a-home", "contact": name,
             "time": f"2026-03-{day}T00:00:00Z"},
        )  # fmt: skip
    assert storm.post("/v1/clock", json={"time": "2026-03-20T00:00:00Z"}).status_code == 202
    settled(storm)
    [ann] = matches(storm, "away")
    assert (ann["contact"], ann["share"], ann["value"], ann["threshold"]) == ("ann", 5.0, 864000, "2d")
    assert ann["due"] == ann["last_trigger"] == "2026-03-12T00:00:00Z"
    assert [one["contact"] for one in matches(storm, "away", near=0.5)] == ["ann", "bob"]


def test_it_can_be_asked_only_of_a_rule_that_counts(api: httpx.Client) -> None:
    draft = {**STORM, "name": "not-yet", "status": "draft"}
    assert api.post("/v1/rules", json=draft).status_code == 201
    refused = api.get("/v1/rules/not-yet/matches")
    assert refused.status_code == 409
    assert "draft" in refused.json()["detail"]
    assert api.get("/v1/rules/nobody/matches").status_code == 404
    for near in ("2", "-0.1", "nan", "much"):
        wrong = api.get("/v1/rules/not-yet/matches", params={"near": near})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "near")
    assert api.post("/v1/rules/not-yet/activate").status_code == 200
    assert api.post("/v1/rules/not-yet/pause").status_code == 200
    assert api.get("/v1/rules/not-yet/matches").json()["items"] == []


def test_a_date_after_the_last_year_is_shown_without_its_moment(api: httpx.Client) -> None:
    rule = {"name": "far", "when": {"date": {"attribute": "account.attributes.far", "after": "30d"}}}
    assert api.post("/v1/rules", json={**rule, "status": "active"}).status_code == 201
    assert api.put("/v1/accounts/far", json={"attributes": {"far": "9999-12-20"}}).status_code == 202
    settled(api)
    [one] = [each for each in matches(api, "far", near=0) if each["account"] == "far"]
    assert (one["share"], one["due"]) == (0.0, None)
