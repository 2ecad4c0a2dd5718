"""Contract, section 6, `…/pause {"plays": …}`: what becomes of the open plays of a paused rule."""

from typing import Any

import httpx
import pytest

from tests.services.contract.test_rules import settled

WHEN = {"threshold": {"event": "pause.ticket", "at_least": 1}}
STEPS = [
    {"task": {"title": "Call"}},
    {"email": {"template": "pause-mail"}},
    {"wait": "7d"},
    {"task": {"title": "Call again"}},
]


@pytest.fixture(scope="module")
def pausing(api: httpx.Client) -> httpx.Client:
    template = {"name": "pause-mail", "subject": "Hi", "markdown": "Hello"}
    assert api.post("/v1/templates", json=template).status_code == 201
    assert api.post("/v1/playbooks", json={"name": "pause-steps", "steps": STEPS}).status_code == 201
    for name in ("mine", "other"):
        rule = {
            "name": f"pause-{name}",
            "when": WHEN,
            "where": {"account.attributes.of": name},
            "cooldown": "0s",
        }
        assert (
            api.post("/v1/rules", json={**rule, "playbook": "pause-steps", "status": "active"}).status_code
            == 201
        )
    for name, of in (("p-1", "mine"), ("p-2", "mine"), ("p-3", "other")):
        body = {
            "attributes": {"of": of},
            "contacts": [{"id": "ann", "email": "ann@acme.test", "roles": ["admin"]}],
        }
        assert api.put(f"/v1/accounts/{name}", json=body).status_code == 202
    events = [{"id": f"p{n}", "type": "pause.ticket", "account": f"p-{n}"} for n in (1, 2, 3)]
    assert api.post("/v1/events", json=events).status_code == 202
    settled(api)
    return api


def plays(api: httpx.Client, rule: str) -> list[tuple[str, str | None]]:
    items = api.get("/v1/plays", params={"rule": rule}).json()["items"]
    return sorted((one["status"], one["reason"]) for one in items)


def pause(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/rules/pause-mine/pause", json=body)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    assert said["status"] == "paused"
    return said


def test_by_default_they_go_on_and_are_counted(pausing: httpx.Client) -> None:
    assert plays(pausing, "pause-mine") == [("open", None)] * 2
    assert pause(pausing)["concerned"] == {"plays": 2, "mails": 0}
    assert pausing.get("/v1/rules/pause-mine").json().get("concerned") is None
    settled(pausing)
    assert plays(pausing, "pause-mine") == [("open", None)] * 2


def test_they_are_held_until_the_rule_is_active_again(pausing: httpx.Client) -> None:
    assert pause(pausing, plays="hold")["concerned"] == {"plays": 2, "mails": 0}
    assert pause(pausing, plays="hold")["concerned"] == {"plays": 2, "mails": 0}, "twice paused is once held"
    assert pause(pausing)["concerned"] == {"plays": 2, "mails": 0}, "and a pause without it lets nothing go"
    assert pausing.post("/v1/rules/pause-mine/shadow").status_code == 200
    assert pausing.get("/v1/rules/pause-mine").json()["plays"] == "hold"
    assert "plays" not in pausing.get("/v1/rules/pause-other").json()
    held, free = (
        pausing.get("/v1/plays", params={"rule": f"pause-{one}"}).json()["items"] for one in ("mine", "other")
    )
    answers = {
        one["id"]: pausing.post(f"/v1/plays/{one['id']}/release", json={}).status_code
        for one in (held[0], free[0])
    }
    assert answers == {held[0]["id"]: 200, free[0]["id"]: 409}, (
        "one goes on; of a rule that was not paused none is held"
    )
    assert "plays" not in pausing.post("/v1/rules/pause-mine/activate").json()
    settled(pausing)
    assert pausing.post(f"/v1/plays/{held[1]['id']}/release", json={}).status_code == 409, "nothing holds it"
    assert plays(pausing, "pause-mine") == [("open", None)] * 2
    entries = pausing.get("/v1/audit", params={"object": "rule/pause-mine"}).json()["items"]
    said = [(one["after"]["status"], one["after"].get("plays")) for one in entries]
    assert said[:4] == [("active", None), ("shadow", "hold"), ("paused", "hold"), ("paused", None)]


def test_they_exit_and_nothing_more_of_them_comes(pausing: httpx.Client) -> None:
    said = pause(pausing, plays="exit")
    assert said["concerned"] == {"plays": 2, "mails": 0}
    assert plays(pausing, "pause-mine") == [("exited", "rule_paused")] * 2
    assert plays(pausing, "pause-other") == [("open", None)]
    tasks = pausing.get("/v1/tasks", params={"account": "p-1"}).json()["items"]
    assert [(one["title"], one["status"], one["reason"]) for one in tasks] == [
        ("Call", "closed", "rule_paused")
    ]
    assert pause(pausing, plays="exit")["concerned"] == {"plays": 0, "mails": 0}
    assert "plays" not in said, "nothing is held"
    put = {"plays": "hold", **{key: said[key] for key in ("name", "when", "concerned")}}
    assert pausing.put("/v1/rules/pause-mine", json=put).status_code == 200, (
        "what pause answers is taken back"
    )


def test_it_says_what_it_does_not_do(pausing: httpx.Client) -> None:
    answer = pausing.post("/v1/rules/pause-other/pause", json={"plays": "melt"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "plays")
    settled(pausing)
    assert plays(pausing, "pause-other") == [("open", None)]
