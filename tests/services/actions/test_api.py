"""The API of playbooks, templates, endpoints, plays, actions and tasks."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from backbone.settings import Settings
from backbone.web.api_keys import create_key
from backbone.web.app import create_app
from schemas.answers import page_of
from schemas.play import ActionDetail, ActionOut, PlayDetail, PlayOut, TaskOut
from schemas.play_reasons import EXPLAINED, ActionReason, HistoryReason, PlayReason, StepReason
from services.actions.api import approval, holding, impact, plays, retry, tasks
from services.actions.api import documents as api_documents
from services.actions.api.details import Details
from services.actions.rendering import RenderPool
from services.actions.status import status
from services.actions.tables import documents
from services.actions.tables import plays as play_rows
from tests.services.actions.kit import House
from tests.unit.plays.kit import DAY, T0, account, event

PLAYBOOK = {
    "name": "chase",
    "exit_when": {"event": "paid", "by": "data.invoice"},
    "steps": {
        "low": [
            {"email": {"template": "hello"}},
            {"task": {"title": "Call", "due": "2d", "priority": "high"}},
            {"wait": "7d"},
            {"webhook": {"endpoint": "crm", "body": {"a": "b"}}},
        ]
    },
}
TEMPLATE = {"name": "hello", "subject": "Hi", "markdown": "Hello"}
ENDPOINT = {"name": "crm", "url": "https://crm.test/hook"}


class Api:
    """The service's routes over the house's tables."""

    name = "actions"

    def __init__(self, house: House) -> None:
        self.house = house
        self.changes = 0
        self.pool = RenderPool()  # for edited mails: it starts nothing before it is asked
        times = plays.Times(house.db, house.clock, log_clock=house.mode == "log")
        self.routers = [
            *api_documents.routers(house.db, house.clock, house.renderer, self.changed, self.changed),
            impact.router(house.db, house.clock, log_clock=house.mode == "log"),
            plays.router(house.db, house.clock, times, house.log.partitions, self.changed),
            holding.router(
                house.db,
                house.clock,
                times,
                house.log.partitions,
                api_documents.playbook_view(house.db),
                self.changed,
            ),
            tasks.router(house.db, times, house.log.partitions, self.changed),
            retry.router(house.db, house.clock, times, house.log.partitions, Details(), self.changed),
            approval.router(
                house.db, house.clock, times, house.log.partitions, self.pool, Details(), self.changed
            ),
        ]

    def changed(self) -> None:
        self.changes += 1
        self.house.worker.wake()
        self.house.worker.playbook_saved()
        self.house.worker.holds_changed()

    def start(self) -> None: ...

    def stop(self) -> None:
        self.pool.close()

    def ready(self) -> bool:
        return True

    def status(self) -> Any:
        return status(self.house.db, self.house.log, self.house.clock, log_clock=self.house.mode == "log")


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    app = create_app(
        "t", settings=settings, db=house.db, log=house.log, clock=house.clock, services=[Api(house)]
    )
    key = create_key(house.db, house.clock, "tester", ["admin"])
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=True) as made:
        yield made


def saved(client: TestClient) -> None:
    for path, doc in (("templates", TEMPLATE), ("endpoints", ENDPOINT), ("playbooks", PLAYBOOK)):
        answer = client.post(f"/v1/{path}", json=doc)
        assert answer.status_code == 201, answer.text


def fields(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]


def test_documents_are_versioned(client: TestClient) -> None:
    saved(client)
    made = client.get("/v1/playbooks/chase")
    assert made.headers["etag"] == '"1"'
    body = made.json()
    assert {key: body[key] for key in PLAYBOOK} == PLAYBOOK
    assert (body["version"], body["changed_by"]) == (1, "tester")
    assert client.post("/v1/playbooks", json=PLAYBOOK).status_code == 409
    changed = client.put(
        "/v1/playbooks/chase", json=PLAYBOOK | {"topic": "billing"}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    stale = client.put("/v1/playbooks/chase", json=PLAYBOOK, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert [one["version"] for one in client.get("/v1/playbooks/chase/versions").json()["items"]] == [2, 1]
    assert client.delete("/v1/playbooks/chase").status_code == 204
    assert client.get("/v1/playbooks/chase").status_code == 404
    assert client.put("/v1/playbooks/chase", json=PLAYBOOK).status_code == 201


def test_a_playbook_that_cannot_be_read_any_more_says_why(house: House, client: TestClient) -> None:
    saved(client)
    assert "unhealthy" not in client.get("/v1/playbooks/chase").json()
    versions = documents.versions
    with house.db.write() as conn:
        conn.execute(
            update(versions).where(versions.c.name == "chase").values(doc=PLAYBOOK | {"mood": "grim"})
        )
    for answer in (
        client.get("/v1/playbooks/chase").json(),
        client.get("/v1/playbooks").json()["items"][0],
        client.get("/v1/playbooks/chase/versions").json()["items"][0],
    ):
        assert "mood" in answer["unhealthy"]
        assert answer["version"] == 1
    assert "unhealthy" not in client.put("/v1/playbooks/chase", json=PLAYBOOK).json()
    assert "unhealthy" not in client.get("/v1/playbooks/chase").json()


def test_unknown_templates_and_endpoints_are_named_by_their_field(client: TestClient) -> None:
    assert fields(client.post("/v1/playbooks", json=PLAYBOOK)) == [
        "steps.low.0.email.template",
        "steps.low.3.webhook.endpoint",
    ]
    assert client.get("/v1/playbooks/chase").status_code == 404


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ({"low": [{"email": {"template": "hello"}}, {"wait": "1q"}]}, "steps.low.1.wait"),
        ({"low": [{"task": {"title": "x", "colour": "red"}}]}, "steps.low.0.task.colour"),
        ([{"task": {"title": "x {{"}}], "steps.0.task.title"),
        ([{"webhook": {"endpoint": "crm", "body": {"a": ["{{"]}}}], "steps.0.webhook.body.a.0"),
        ([{"task": {"title": "x"}, "wait": "1d"}], "steps.0"),
        ([{"email": {"template": "hello", "to": "nobody"}}], "steps.0.email.to"),
        ([{"wait": {"for": "1d", "until": {"event": "x", "by": "nothing.at"}}}], "steps.0.wait.until.by"),
        ([{"branch": {"if": {"data.x": 1}}}], "steps.0.branch.if.data.x"),
        ({"middle": []}, "steps.middle"),
        ({}, "steps"),
        ([{"task": {"title": "x", "assignee": "me"}}], "steps.0.task.assignee"),
    ],
)
def test_wrong_steps_are_named_by_their_field(client: TestClient, steps: Any, field: str) -> None:
    saved(client)
    assert fields(client.put("/v1/playbooks/new", json={"steps": steps})) == [field]


def test_wrong_templates_and_endpoints(client: TestClient) -> None:
    assert fields(client.post("/v1/templates", json=TEMPLATE | {"markdown": "{{"})) == ["markdown"]
    assert fields(client.post("/v1/templates", json=TEMPLATE | {"html": "x"})) == ["markdown"]
    assert fields(client.post("/v1/endpoints", json=ENDPOINT | {"url": "ftp://x"})) == ["url"]
    assert fields(client.post("/v1/endpoints", json=ENDPOINT | {"secret": "short"})) == ["secret"]


def test_an_endpoints_secret_is_shown_once(client: TestClient) -> None:
    made = client.post("/v1/endpoints", json=ENDPOINT).json()
    assert made["secret"].startswith("whsec_")
    assert "secret" not in client.get("/v1/endpoints/crm").json()
    assert "secret" not in client.get("/v1/endpoints").json()["items"][0]
    assert "secret" not in client.get("/v1/endpoints/crm/versions").json()["items"][0]
    kept = client.put("/v1/endpoints/crm", json=ENDPOINT | {"url": "https://new.test/"})
    assert "secret" not in kept.json()
    given = "whsec_" + "A" * 32
    assert client.put("/v1/endpoints/crm", json=ENDPOINT | {"secret": given}).json()["secret"] == given


def played(house: House, client: TestClient, **fields: Any) -> dict[str, Any]:
    (place,) = house.post(account())
    house.fire(T0, place, **({"playbook": "chase", "contact": "ann", "key": "88"} | fields))
    house.settle()
    play: dict[str, Any] = client.get("/v1/plays").json()["items"][0]
    return play


def test_plays_and_actions_can_be_looked_at(house: House, client: TestClient) -> None:
    saved(client)
    play = played(house, client)
    named = ("playbook", "playbook_version", "rule", "account", "contact", "key", "tier")
    assert {name: play[name] for name in named} == {
        "playbook": "chase", "playbook_version": 1, "rule": "rule", "account": "acme", "contact": "ann", "key": "88",
        "tier": "low",
    }  # fmt: skip
    assert (play["status"], play["reason"], play["step"], play["ended_at"]) == ("open", None, "2", None)
    assert play["started_at"] == "2026-01-01T00:00:00Z"
    assert client.get(f"/v1/plays/{play['id']}").json()["waits_until"] == "2026-01-08T00:00:00Z"
    listed = client.get("/v1/actions", params={"play": play["id"]}).json()["items"]
    assert [(one["channel"], one["status"]) for one in listed] == [("task", "done"), ("email", "pending")]
    mail = client.get(f"/v1/actions/{listed[1]['id']}").json()
    assert (mail["recipient"], mail["attempts"], mail["history"]) == ("ann@acme.test", 0, [])
    assert mail["rendered"]["subject"] == "Hi"
    for query in ({"account": "beta"}, {"channel": "webhook"}, {"status": "failed"}, {"play": "none"}):
        assert client.get("/v1/actions", params=query).json()["items"] == []
    for query in ({"account": "beta"}, {"playbook": "none"}, {"status": "exited"}):
        assert client.get("/v1/plays", params=query).json()["items"] == []
    assert client.get("/v1/plays", params={"status": "open", "playbook": "chase"}).json()["items"] == [play]
    assert client.get("/v1/plays/none").status_code == client.get("/v1/actions/none").status_code == 404
    assert client.get("/v1/plays", params={"status": "odd"}).status_code == 422


def test_a_play_can_be_ended_by_hand_once(house: House, client: TestClient) -> None:
    saved(client)
    play = played(house, client)
    wrong = client.post(f"/v1/plays/{play['id']}/exit", json={"reason": "moved"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "reason")
    ended = client.post(f"/v1/plays/{play['id']}/exit")
    assert ended.status_code == 200
    assert (ended.json()["status"], ended.json()["reason"]) == ("exited", "by_hand")
    assert ended.json()["waits_until"] is None
    assert client.post(f"/v1/plays/{play['id']}/exit").status_code == 409
    assert client.post("/v1/plays/none/exit").status_code == 404
    assert [one["status"] for one in client.get("/v1/actions").json()["items"]] == ["done", "skipped"]
    (task,) = client.get("/v1/tasks").json()["items"]
    assert (task["status"], task["reason"]) == ("closed", "by_hand")
    house.settle()
    assert [one.type for one in house.told()][-1] == "touchline.play.exited"
    house.post(event("clock", T0 + 30 * DAY))
    house.settle()
    assert len(client.get("/v1/actions").json()["items"]) == 2


def test_tasks_by_hand(house: House, client: TestClient) -> None:
    saved(client)
    play = played(house, client)
    (task,) = client.get("/v1/tasks", params={"assignee": "jo@us.test", "status": "open"}).json()["items"]
    assert {name: task[name] for name in ("play", "account", "contact", "title", "priority", "key", "status")} == {
        "play": play["id"], "account": "acme", "contact": "ann", "title": "Call", "priority": "high",
        "key": "chase/1", "status": "open",
    }  # fmt: skip
    assert (task["due_at"], task["completed_at"]) == ("2026-01-03T00:00:00Z", None)
    path = f"/v1/tasks/{task['id']}"
    assert (
        client.post(f"{path}/reassign", json={"assignee": "kim@us.test"}).json()["assignee"] == "kim@us.test"
    )
    assert client.post(f"{path}/reassign", json={"assignee": "kim"}).status_code == 422
    assert client.post(f"{path}/reassign", json={"assignee": "owner"}).json()["assignee"] == "jo@us.test"
    assert fields(client.post(f"{path}/snooze", json={"until": "2025-01-01T00:00:00Z"})) == ["until"]
    assert fields(client.post(f"{path}/snooze", json={"until": "tomorrow"})) == ["until"]
    snoozed = client.post(f"{path}/snooze", json={"until": "2026-01-02T00:00:00Z"}).json()
    assert (snoozed["status"], snoozed["snoozed_until"]) == ("snoozed", "2026-01-02T00:00:00Z")
    assert client.get("/v1/tasks", params={"status": "open"}).json()["items"] == []
    house.post(event("later", T0 + 2 * DAY))
    house.settle()
    assert client.get("/v1/tasks", params={"status": "open"}).json()["items"][0]["status"] == "open"
    done = client.post(f"{path}/complete")
    assert (done.json()["status"], done.json()["completed_at"]) == ("completed", "2026-01-03T00:00:00Z")
    for verb, body in (
        ("complete", None),
        ("snooze", {"until": "2027-01-01T00:00:00Z"}),
        ("reassign", {"assignee": "owner"}),
    ):
        assert client.post(f"{path}/{verb}", json=body).status_code == 409
    assert client.post("/v1/tasks/none/complete").status_code == 404
    house.settle()
    completed = [one for one in house.told() if one.type == "touchline.task.completed"]
    assert [one.data["action"] for one in completed] == [task["id"]]


def test_keys_need_the_scope(house: House, client: TestClient) -> None:
    reader = create_key(house.db, house.clock, "reader", ["actions:read"])
    other = create_key(house.db, house.clock, "other", ["rules:write"])
    headers = {"Authorization": f"Bearer {reader}"}
    assert client.get("/v1/plays", headers=headers).status_code == 200
    assert client.post("/v1/plays/x/exit", headers=headers).status_code == 403
    assert client.post("/v1/templates", json=TEMPLATE, headers=headers).status_code == 403
    assert client.get("/v1/tasks", headers={"Authorization": f"Bearer {other}"}).status_code == 403
    assert client.get("/v1/actions", headers={"Authorization": ""}).status_code == 401


def test_status_counts_what_is_left(house: House, client: TestClient) -> None:
    saved(client)
    house.work()

    def actions() -> Any:
        return client.get("/v1/status").json()["services"]["actions"]

    assert (actions()["lag"], actions()["due"], actions()["clock"]) == (0, 0, None)
    (place,) = house.post(account())
    assert actions()["lag"] == 1
    house.fire(T0, place, playbook="chase")
    assert actions()["lag"] == 2
    house.settle()
    after = actions()
    assert (after["lag"], after["due"], after["clock"]) == (0, 1, "2026-01-01T00:00:00Z")
    assert client.get("/v1/status").json()["idle"] is False


def test_plays_that_have_reached_no_step_are_listed_by_themselves(house: House, client: TestClient) -> None:
    saved(client)
    at_a_step = played(house, client)["id"]
    (place,) = house.post(account())
    house.fire(T0, place, id="trg_new", key="new", playbook="chase")
    house.settle()
    (about_to_begin,) = [
        one["id"] for one in client.get("/v1/plays").json()["items"] if one["id"] != at_a_step
    ]
    with house.db.write() as conn:
        conn.execute(
            update(play_rows).where(play_rows.c.id == about_to_begin).values(step=None, status="open")
        )

    def listed(asked: str) -> list[str]:
        return [one["id"] for one in client.get(f"/v1/plays?{asked}").json()["items"]]

    assert listed("any_step=false") == [about_to_begin]
    assert listed("any_step=true") == [at_a_step]
    assert len(listed("")) == 2
    assert listed("status=open&any_step=false") == [about_to_begin]


def test_idempotency_key_on_creation(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/templates", json=TEMPLATE, headers=headers)
    again = client.post("/v1/templates", json=TEMPLATE, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.headers["location"] == again.headers["location"] == "/v1/templates/hello"


def test_answers_are_as_the_openapi_page_says(house: House, client: TestClient) -> None:
    saved(client)
    play = played(house, client)
    for path, model in (("plays", PlayOut), ("actions", ActionOut), ("tasks", TaskOut)):
        assert page_of(model).model_validate(client.get(f"/v1/{path}").json()).items  # type: ignore[attr-defined]
    PlayDetail.model_validate(client.get(f"/v1/plays/{play['id']}").json())
    for action in client.get("/v1/actions").json()["items"]:
        ActionDetail.model_validate(client.get(f"/v1/actions/{action['id']}").json())
    page = client.get("/openapi.json").json()
    assert (
        "$ref"
        in page["paths"]["/v1/plays"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    )


def test_every_reason_is_explained() -> None:
    assert set(EXPLAINED) == {*PlayReason, *StepReason, *HistoryReason, *ActionReason}


@pytest.mark.parametrize("odd", ["%00", "a%00b", "%ED%A0%80", "%FF", "x" * 300, "%F0%9F%98%80"])
def test_odd_names_are_answered_like_any_other(client: TestClient, odd: str) -> None:
    for path in (
        f"/v1/plays/{odd}",
        f"/v1/actions/{odd}",
        f"/v1/tasks/{odd}",
        f"/v1/playbooks/{odd}",
        f"/v1/plays?account={odd}",
        f"/v1/tasks?assignee={odd}",
    ):
        assert client.get(path).status_code < 500, path
    for path in (f"/v1/plays/{odd}/exit", f"/v1/tasks/{odd}/complete"):
        assert 400 <= client.post(path).status_code < 500, path
