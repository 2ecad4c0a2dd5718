"""`/plays` and `/triggers`: filters, what may be done to which play, and the calls that a change makes."""

from typing import Any

import pytest

from services.console.pages.plays import tabs_of
from tests.unit.console.world import World, page_of, refusal

HOSTILE = "<b onclick=x>{{ 7 * 7 }}</b>"
READER = {"name": "x", "scopes": ["actions:read", "rules:read"], "email": None}


def play(**more: Any) -> dict[str, Any]:
    return {
        "id": "ply_1", "playbook": "p", "playbook_version": 1, "rule": "r", "trigger": "trg_1", "account": "a/1",
        "contact": None, "key": None, "tier": "high", "status": "open", "reason": None, "sentence": None, "step": "1",
        "started_at": "2026-03-01T00:00:00Z", "held_at": None, "ended_at": None,
        "waits_until": "2026-03-12T00:00:00Z", "goal_until": None, "goal_reached_at": None, **more,
    }  # fmt: skip


def detail(**more: Any) -> dict[str, Any]:
    history = [
        {
            "at": "2026-03-01T00:00:00Z",
            "step": None,
            "reason": "started",
            "sentence": "It began.",
            "action": None,
        }
    ]
    return {**play(), "trigger_event": None, "actions": [], "history": history, **more}


def trigger(**more: Any) -> dict[str, Any]:
    return {
        "id": "trg_1", "rule": "r", "rule_version": 2, "account": "a/1", "contact": None, "key": None, "tier": "low",
        "at": "2026-03-01T00:00:00Z", "event_id": None, "event": None, "value": 7, "value_exact": True,
        "window": {"from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "threshold": 5, "reason": "x",
        "playbook": "p", "evidence": ["e1"], "position": {}, "figures": None, "shadow": False, "depth": 0,
        "scope": "account", "sentence": "7 events; 5 are needed.", **more,
    }  # fmt: skip


def test_a_tab_keeps_the_other_filters() -> None:
    tabs = {
        text: (link, now)
        for text, link, now in tabs_of({"status": "held", "reason": "breaker", "playbook": "p"})
    }
    assert tabs["Held"] == ("/plays?playbook=p&status=held", True)
    assert tabs["All"] == ("/plays?playbook=p", False)


def test_held_ones_are_released_and_discarded_by_what_was_shown() -> None:
    world = World({f"POST /v1/plays/{one}/{verb}": {} for one in "ab" for verb in ("release", "discard")})
    world.answers["POST /v1/plays/b/release"] = refusal(409, "it is not held")
    world.answers["GET /v1/plays"] = page_of([play(status="held")])
    page = world.get("/plays?status=held&playbook=p")
    assert 'name="id" value="ply_1"' in page.text
    answer = world.post("/plays/release", id=["a", "b"], status="held")
    assert [path for _, path, _ in world.sent] == ["/v1/plays/a/release", "/v1/plays/b/release"]
    assert answer.headers["location"] == "/plays?status=held"
    assert "1 play released. 1 left out: it is not held" in world.get("/plays").text
    world.post("/plays/discard", id=["a"])
    assert world.sent[-1][1] == "/v1/plays/a/discard"


def test_nothing_chosen_changes_nothing() -> None:
    world = World()
    world.post("/plays/release")
    assert world.sent == []


@pytest.mark.parametrize(
    ("status", "shown"), [("open", {"/exit"}), ("held", {"/release", "/discard"}), ("finished", set())]
)
def test_what_may_be_done_to_one(status: str, shown: set[str]) -> None:
    page = World({"GET /v1/plays/ply_1": detail(status=status)}).get("/plays/ply_1").text
    assert {verb for verb in ("/exit", "/release", "/discard") if f"/plays/ply_1{verb}" in page} == shown
    reader = World({"GET /v1/plays/ply_1": detail(status=status)}, me=READER).get("/plays/ply_1").text
    assert "<form" not in reader.split("<main", 1)[1].split("</main>")[0]


@pytest.mark.parametrize("verb", ["exit", "release", "discard"])
def test_a_change_is_one_call_and_a_refusal_is_told(verb: str) -> None:
    world = World({"GET /v1/plays/ply_1": detail(), f"POST /v1/plays/ply_1/{verb}": detail()})
    assert world.post(f"/plays/ply_1/{verb}").headers["location"] == "/plays/ply_1"
    assert world.sent == [("POST", f"/v1/plays/ply_1/{verb}", None)]
    world.answers[f"POST /v1/plays/ply_1/{verb}"] = refusal(409, "it has ended")
    answer = world.post(f"/plays/ply_1/{verb}")
    assert answer.status_code == 409
    assert "it has ended" in answer.text


def test_triggers_are_told_in_a_sentence_and_lead_on() -> None:
    world = World({"GET /v1/triggers": page_of([trigger()], "next"), "GET /v1/triggers/trg_1": trigger()})
    page = world.get("/triggers?rule=r&tier=low&after=2026-01-01T00:00:00Z").text
    assert world.query("/v1/triggers") == {
        "limit": "50", "rule": "r", "tier": "low", "after": "2026-01-01T00:00:00Z"
    }  # fmt: skip
    assert "7 events; 5 are needed." in page
    assert "cursor=next" in page
    assert "/accounts/a%2F1" in page
    assert "a moment" in world.get("/triggers/trg_1").text


def test_hostile_texts_are_text() -> None:
    world = World(
        {
            "GET /v1/triggers": page_of(
                [trigger(rule=HOSTILE, account=HOSTILE, sentence=HOSTILE, key=HOSTILE)]
            ),
            "GET /v1/triggers/trg_1": trigger(rule=HOSTILE, account=HOSTILE, evidence=[HOSTILE]),
            "GET /v1/plays": page_of([play(playbook=HOSTILE, account=HOSTILE, sentence=HOSTILE)]),
            "GET /v1/plays/ply_1": detail(playbook=HOSTILE, account=HOSTILE, key=HOSTILE),
        }
    )
    for path in (
        "/triggers",
        "/triggers/trg_1",
        "/plays",
        "/plays/ply_1",
        f"/plays?rule={'%3Cb%20onclick%3D'}",
    ):
        page = world.get(path)
        assert page.status_code == 200
        assert "<b onclick" not in page.text
