"""What documents and reasons say in words, wherever the API shows them."""

from __future__ import annotations

from typing import Any

import httpx

from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.sentences import of_playbooks, of_rules

RULE: dict[str, Any] = {
    "when": {"threshold": {"event": "said.twice", "within": "7d", "at_least": {"high": 2, "low": 3}}}
}
OTHER: dict[str, Any] = {"when": {"absence": {"event": "said.twice", "for": "14d"}}, "cooldown": "30d"}
PLAYBOOK: dict[str, Any] = {"steps": [{"wait": "7d"}, {"task": {"title": "Call {{ account.name }}"}}]}


def of_rule(body: dict[str, Any]) -> str:
    return of_rules.sentence(RuleIn.model_validate({"name": "said", **body}))


def shown(api: httpx.Client, path: str, **more: Any) -> Any:
    answer = api.get(path, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_rule_says_what_it_does_in_every_answer(api: httpx.Client) -> None:
    saved = api.put("/v1/rules/said", json=RULE)
    assert saved.json()["sentence"] == of_rule(RULE)
    assert "2 for the high tier and 3 for the low tier" in of_rule(RULE)
    assert shown(api, "/v1/rules/said")["sentence"] == of_rule(RULE)
    assert api.post("/v1/rules/said/shadow").json()["sentence"] == of_rule(RULE)
    apart = api.put("/v1/rules/said", params={"publish": "false"}, json=OTHER)
    assert apart.json()["sentence"] == of_rule(OTHER)
    assert shown(api, "/v1/rules/said")["sentence"] == of_rule(RULE)
    (listed,) = [one for one in shown(api, "/v1/rules")["items"] if one["name"] == "said"]
    assert listed["sentence"] == of_rule(RULE)
    versions = shown(api, "/v1/rules/said/versions")["items"]
    assert [one["sentence"] for one in versions] == [of_rule(OTHER), of_rule(RULE)]
    api.delete("/v1/rules/said")


def test_what_is_sent_back_as_a_sentence_is_not_kept(api: httpx.Client) -> None:
    for path, body in (("/v1/rules/said-back", RULE), ("/v1/playbooks/said-back", PLAYBOOK)):
        said = api.put(path, json={**body, "sentence": "It does as it likes."}).json()["sentence"]
        assert "likes" not in said
        entry = shown(api, "/v1/audit", params={"object": f"{path.split('/')[2][:-1]}/said-back"})["items"][0]
        assert "sentence" not in entry["after"]
        api.delete(path)


def test_a_playbook_says_what_it_does_and_why_it_is_paused(api: httpx.Client) -> None:
    wanted = of_playbooks.sentence(PlaybookIn.model_validate({"name": "said", **PLAYBOOK}))
    assert 'waits 7 days, then creates a task for the owner, "Call account.name"' in wanted
    assert api.put("/v1/playbooks/said", json=PLAYBOOK).json()["sentence"] == wanted
    paused = api.post("/v1/playbooks/said/pause", json={"reason": "wrong prices."}).json()
    assert paused["sentence"] == wanted
    assert paused["paused"]["sentence"].startswith(f"{paused['paused']['by'].capitalize()} paused it on ")
    assert paused["paused"]["sentence"].endswith(" UTC: wrong prices.")
    (version,) = shown(api, "/v1/playbooks/said/versions")["items"]
    assert version["sentence"] == wanted
    api.delete("/v1/playbooks/said")


def test_how_things_stand_is_said_too(api: httpx.Client) -> None:
    made = api.post(
        "/v1/suppressions", json={"address": "said@acme.test", "topic": "billing", "reason": "by phone"}
    )
    assert made.json()["sentence"].startswith("said@acme.test gets no mail about billing since ")
    assert made.json()["sentence"].endswith(" UTC: by phone.")
    api.delete("/v1/suppressions/said@acme.test")
    api.put("/v1/rules/said-start", json={**OTHER, "status": "shadow"})
    nobody = {"subjects": [{"account": "said-nobody"}], "dry_run": True}
    (left,) = api.post("/v1/rules/said-start/start", json=nobody).json()["left_out"]
    assert left["sentence"] == "Nothing has been heard of the account said-nobody."
    several = api.post("/v1/actions/approve", json={"ids": ["said-nothing"]}).json()["left_out"]
    assert [one["sentence"] for one in several] == ["There is no such action."]
    api.delete("/v1/rules/said-start")
