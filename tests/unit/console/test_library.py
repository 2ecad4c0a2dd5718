"""`/library` and `/start`: each canned play can be added, and the sample events make its rule fire."""

from typing import Any

import pytest

from schemas.conditions.model import Scope, compile_condition
from schemas.event import Event
from schemas.rule import RuleIn
from services.console.library import library
from services.console.samples import sample_of
from tests.unit.console.world import World, page_of, refusal

RULES = [
    (play.name, document) for play in library().values() for document in play.of("rule")
]  # every rule of the library
SPIKE: dict[str, Any] = {
    "name": "spike", "status": "active", "playbook": "p",
    "when": {"threshold": {"event": "ticket.opened", "where": {"data.severity": "urgent"}, "within": "30d",
                           "at_least": {"high": 3, "low": 5}}},
}  # fmt: skip


def start_answers(**more: Any) -> dict[str, Any]:
    return {
        "GET /v1/rules": page_of([{**SPIKE, "sentence": "s", "version": 1}]),
        "GET /v1/triggers": page_of([]),
        "GET /v1/actions": page_of([]),
        **more,
    }


@pytest.mark.parametrize(("folder", "document"), RULES, ids=lambda one: getattr(one, "name", one))
def test_a_sample_satisfies_the_rule_that_it_is_for(folder: str, document: Any) -> None:
    rule = RuleIn.model_validate(document.body)
    for tier in ("high", "low", "tech"):
        sample = sample_of(document.body, tier)
        if sample is None:
            continue
        threshold = rule.when.threshold
        assert threshold is not None
        event = Event(id="x", type=sample.event, account="a", data=sample.data)
        assert threshold.where is None or compile_condition(threshold.where)(Scope(event=event))


def test_what_is_quick_to_try_can_be_made_to_fire() -> None:
    for name in ("support-spike", "payment-failed", "nps-detractor"):
        assert any(sample_of(rule.body, "low") for rule in library()[name].of("rule")), name


def test_samples_are_of_the_tier() -> None:
    assert sample_of(SPIKE, "high") == ("ticket.opened", {"severity": "urgent"}, 3)
    assert sample_of(SPIKE, "low") == ("ticket.opened", {"severity": "urgent"}, 5)
    assert sample_of(SPIKE, "tech") is None


@pytest.mark.parametrize(
    "when",
    [
        {"absence": {"event": "login", "for": "7d"}},
        {"threshold": {"event": "x", "at_most": 2, "within": "7d"}},
        {"threshold": {"event": "x", "aggregate": "sum", "of": "data.n", "at_least": 2}},
        {"threshold": {"event": "x", "at_least": 500}},
        {"threshold": {"event": "x", "at_least": 1, "where": {"not": {"data.a": 1}}}},
        {"nonsense": {}},
    ],
)
def test_what_events_alone_do_not_do_has_no_sample(when: dict[str, Any]) -> None:
    sample = sample_of({"name": "r", "when": when}, "high")
    assert sample is None or sample.data == {}


def test_every_canned_play_has_a_page() -> None:
    world = World({"GET /v1/rules": page_of([{"name": "support-spike"}])})
    page = world.get("/library").text
    assert page.count("data-row") == len(library())
    assert ">added<" in page
    for name in library():
        assert world.get(f"/library/{name}").status_code == 200
    assert world.get("/library/..%2Fsecret").status_code == 404


def test_adding_makes_its_documents_in_an_order_that_works() -> None:
    ok = {f"POST /v1/{kind}": (201, {}) for kind in ("templates", "playbooks", "rules")}
    world = World({**ok, "POST /v1/templates": refusal(409, "there is one already")})
    answer = world.post("/library/support-spike/add")
    kinds = [path for _, path, _ in world.sent]
    assert kinds == sorted(kinds, key=["/v1/templates", "/v1/playbooks", "/v1/rules"].index)
    assert {body["name"] for _, path, body in world.sent if path == "/v1/rules"} == {"support-spike"}
    assert answer.headers["location"] == "/rules/support-spike"
    assert all("status" not in body for _, path, body in world.sent if path == "/v1/rules"), "drafts"


def test_what_cannot_be_added_says_why() -> None:
    world = World(
        {"POST /v1/templates": (201, {}), "POST /v1/playbooks": refusal(422, "there is no endpoint crm")}
    )
    answer = world.post("/library/payment-failed/add")
    assert answer.status_code == 422
    assert "there is no endpoint crm" in answer.text


def test_the_first_steps_tick_as_they_come_true() -> None:
    empty = start_answers(**{"GET /v1/rules": page_of([])})
    assert World(empty).get("/start").text.count(">done<") == 0
    done = start_answers(
        **{"GET /v1/triggers": page_of([{"account": "a"}]), "GET /v1/actions": page_of([{}])}
    )
    assert World(done).get("/start").text.count(">done<") == 4


def test_a_sample_account_and_its_events_are_sent() -> None:
    world = World(start_answers(**{"PUT /v1/accounts/acme": {}, "POST /v1/events": (202, {})}))
    page = world.get("/start?tier=high").text
    assert "Send 3 events" in page
    form = {
        "account": "acme",
        "name": "Acme",
        "email": "me@us.test",
        "tier": "high",
        "event": "ticket.opened",
    }
    answer = world.post("/start/sample", **form, count="3", data='{"severity": "urgent"}')
    assert answer.headers["location"] == "/accounts/acme"
    (_, _, account), (_, _, events) = world.sent
    assert account["contacts"] == [
        {"id": "sample", "email": "me@us.test", "name": "Acme", "roles": ["admin"]}
    ]
    assert len({event["id"] for event in events}) == 3
    assert {event["data"]["severity"] for event in events} == {"urgent"}


@pytest.mark.parametrize("count", ["", "0", "-3", "x", "999999"])
def test_the_number_of_samples_is_held_to_a_limit(count: str) -> None:
    world = World(start_answers(**{"PUT /v1/accounts/a": {}, "POST /v1/events": (202, {})}))
    world.post("/start/sample", account="a", event="e", count=count, data="{}")
    assert 1 <= len(world.sent[-1][2]) <= 100


def test_wrong_data_is_told_and_kept() -> None:
    world = World(start_answers())
    answer = world.post(
        "/start/sample", rule="spike", tier="high", account="kept", event="e", data="{no json"
    )
    assert answer.status_code == 422
    assert "{no json" in answer.text
    assert 'value="kept"' in answer.text
    assert world.sent == []


def test_the_first_steps_do_not_guess_what_the_key_cannot_see() -> None:
    me = {"name": "x", "scopes": ["actions:read"], "email": None}
    answer = World(me=me).get("/start")
    assert answer.status_code == 403
    assert "<code>rules:read</code>" in answer.text
