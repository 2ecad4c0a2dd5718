"""`/playbooks`: the steps as a picture with who stands where, pause, resume and rehearsal."""

from typing import Any

import pytest

from services.console.pages.playbooks import picture
from tests.unit.console.world import World, page_of, refusal

STEPS = {
    "high": [{"task": {"title": "Call {{ account.name }}", "assignee": "owner"}}],
    "low": [
        {"email": {"template": "t"}},
        {"id": "pause", "wait": "7d"},
        {
            "branch": {
                "if": {"account.attributes.plan": "team"},
                "then": [{"email": {"template": "u"}}],
                "else": [{"wait": "1d"}, {"webhook": {"endpoint": "crm"}}],
            }
        },
    ],
}
IMPACT = {
    "treated": {"plays": 3, "complete": 2, "reached": 1, "rate": 0.5},
    "holdout": {"plays": 0, "complete": 0, "reached": 0, "rate": None},
    "lift": None, "verdict": "no_holdout", "needed": None, "sentence": "Nobody is held out.",
}  # fmt: skip
READER = {"name": "x", "scopes": ["actions:read", "rules:read"], "email": None}


def playbook(**more: Any) -> dict[str, Any]:
    return {
        "name": "p", "steps": STEPS, "topic": "lifecycle", "version": 2, "changed_by": "jo",
        "changed_at": "2026-03-01T00:00:00Z", "sentence": "It says.", "status": "active", "paused": None, **more,
    }  # fmt: skip


def paused() -> dict[str, Any]:
    why = {
        "reason": "breaker",
        "by": "touchline",
        "at": "2026-03-01T00:00:00Z",
        "sentence": "The breaker paused it.",
    }
    return playbook(status="paused", paused=why)


def answers(shown: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "GET /v1/playbooks/p": shown or playbook(),
        "GET /v1/playbooks/p/standing": {"items": [{"tier": "low", "step": "pause", "n": 4}]},
        "GET /v1/playbooks/p/impact": IMPACT,
        "GET /v1/rules": page_of([{"name": "r", "status": "active", "sentence": "Fires."}]),
        **more,
    }


def test_the_picture_names_every_step_and_who_stands_there() -> None:
    standing = [{"tier": "low", "step": "pause", "n": 4}, {"tier": "low", "step": None, "n": 1}]
    high, low = picture(playbook(), standing)
    assert (high.tier, [place.text for place in high.places]) == (
        "high",
        ['creates a task for the owner, "Call account.name"'],
    )
    assert [(place.id, place.depth, place.way, place.here) for place in low.places] == [
        ("0", 0, "", 0), ("pause", 0, "", 4), ("2", 0, "", 0), ("2.then.0", 1, "if so", 0),
        ("2.else.0", 1, "otherwise", 0), ("2.else.1", 1, "", 0),
    ]  # fmt: skip
    assert low.not_begun == 1


def test_steps_for_all_tiers_are_one_column_with_all_who_stand_there() -> None:
    standing = [{"tier": "low", "step": "0", "n": 4}, {"tier": "high", "step": "0", "n": 2}]
    (column,) = picture(playbook(steps=[{"wait": "1d"}]), standing)
    assert (column.tier, column.places[0].here) == (None, 6)


def test_what_this_release_cannot_read_has_no_picture() -> None:
    assert picture(playbook(steps=[{"sing": {}}]), []) == []
    world = World(answers(playbook(steps=[{"sing": {}}], unhealthy="unknown step sing", sentence=None)))
    assert "unknown step sing" in world.get("/playbooks/p").text


def test_a_number_leads_to_what_it_counts() -> None:
    standing = [{"tier": "low", "step": "pause", "n": 4}, {"tier": "low", "step": None, "n": 1}]
    page = World(answers(**{"GET /v1/playbooks/p/standing": {"items": standing}})).get("/playbooks/p").text
    assert 'href="/plays?playbook=p&amp;status=open&amp;tier=low&amp;step=pause">4 here now' in page
    assert 'href="/plays?playbook=p&amp;status=open&amp;tier=low&amp;any_step=false">1 about to begin' in page
    assert "Nobody is held out." in page
    assert 'href="/rules/r"' in page


def test_pausing_and_resuming() -> None:
    world = World(
        answers(**{"POST /v1/playbooks/p/pause": paused(), "POST /v1/playbooks/p/resume": playbook()})
    )
    world.post("/playbooks/p/pause", reason=" wrong prices ")
    world.post("/playbooks/p/pause", reason="")
    world.post("/playbooks/p/resume", held="discard")
    assert [body for _, _, body in world.sent] == [{"reason": "wrong prices"}, {}, {"held": "discard"}]


@pytest.mark.parametrize("me", [None, READER])
def test_a_paused_one_says_why_and_what_becomes_of_the_held(me: Any) -> None:
    world = World(answers(paused()), **({"me": me} if me else {}))
    page = world.get("/playbooks/p").text
    assert "The breaker paused it." in page
    assert "/plays?playbook=p&amp;status=held" in page
    assert ("Resume and release" in page) is (me is None)
    assert "Pause the playbook" not in page


def test_a_refused_change_is_told() -> None:
    world = World(answers(**{"POST /v1/playbooks/p/resume": refusal(409, "it is not paused")}))
    answer = world.post("/playbooks/p/resume", held="release")
    assert answer.status_code == 409
    assert "it is not paused" in answer.text


def test_a_rehearsal_is_of_the_triggers_of_its_rules() -> None:
    world = World(
        answers(
            **{"GET /v1/triggers": page_of([{"id": "t1"}]), "POST /v1/rehearsals": (202, {"id": "reh_1"})}
        )
    )
    assert world.post("/playbooks/p/rehearse").headers["location"] == "/rehearsals/reh_1"
    assert world.query("/v1/triggers") == {"rule": "r", "limit": "1000"}
    assert world.sent == [("POST", "/v1/rehearsals", {"playbook": "p", "triggers": [{"id": "t1"}]})]


def test_nothing_to_rehearse_with_is_told() -> None:
    world = World(answers(**{"GET /v1/triggers": page_of([])}))
    world.post("/playbooks/p/rehearse")
    assert world.sent == []
    assert "nothing to rehearse with" in world.get("/playbooks/p").text


def test_a_rehearsal_renews_itself_until_it_is_done() -> None:
    job = {"id": "j", "status": "running", "progress": 0.42, "playbook": "p", "error": None}
    world = World({"GET /v1/rehearsals/j": job})
    page = world.get("/rehearsals/j").text
    assert 'http-equiv="refresh"' in page
    assert "42 %" in page
    world.answers["GET /v1/rehearsals/j"] = {
        **job, "status": "done", "plays": 2, "by_status": {"finished": 2}, "skipped": {"suppressed": 1},
        "breaker_at": None, "actions": {"email": 3, "task": 1, "webhook": 0}, "recipients": {
            "people": 2, "most": 2, "p95": 2, "busiest": [{"recipient": "<i>ann</i>", "emails": 2}]},
        "assignees": [{"assignee": "jo@us.test", "tasks": 1, "busiest_week": "2026-03-02", "tasks_that_week": 1}],
        "samples": [], "errors": [],
    }  # fmt: skip
    page = world.get("/rehearsals/j").text
    assert 'http-equiv="refresh"' not in page
    assert "2 plays would send 3 mails to 2 people" in page
    assert "<i>ann" not in page


def test_an_empty_list_says_what_to_do() -> None:
    world = World({"GET /v1/playbooks": page_of([])})
    assert "Choose from the library" in world.get("/playbooks").text
    assert "No playbook fits" in world.get("/playbooks?status=paused").text


def test_the_list_of_those_at_a_step_keeps_the_step_while_it_is_narrowed() -> None:
    world = World({"GET /v1/plays": page_of([])})
    page = world.get("/plays?playbook=p&step=pause").text
    assert world.query("/v1/plays") == {"limit": "50", "playbook": "p", "step": "pause"}
    assert '<input type="hidden" name="step" value="pause">' in page
