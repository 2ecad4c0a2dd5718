"""Tasks that people make and complete: what is kept, what is told, and that they live like any other."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backbone.settings import Settings
from backbone.web.api_keys import create_key
from backbone.web.app import create_app
from schemas.play import TaskMade, TaskOut
from schemas.playbook import PlaybookIn
from schemas.profile import Closing, Profile
from services.actions.storage.plays import PlayStore
from tests.services.actions.kit import TASKS, House
from tests.services.actions.test_api import Api, fields
from tests.unit.plays.kit import DAY, T0, account, event

BODY = {"title": "Call Acme", "account": "acme", "assignee": "kim@us.test"}


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    app = create_app(
        "t", settings=settings, db=house.db, log=house.log, clock=house.clock, services=[Api(house)]
    )
    key = create_key(house.db, house.clock, "jo at work", ["admin"])
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def known(house: House) -> None:
    house.post(account())
    house.settle()


def told(house: House, kind: str) -> list[Any]:
    house.settle()
    return [one for one in house.told() if one.type == f"touchline.task.{kind}"]


def test_a_task_made_by_hand_lives_like_any_other(house: House, client: TestClient) -> None:
    known(house)
    asked = {
        **BODY,
        "contact": "ann",
        "body": "They asked twice.",
        "priority": "high",
        "due_at": "2026-01-02T09:00:00Z",
    }
    made = client.post("/v1/tasks", json=asked)
    task = TaskMade.model_validate(made.json())
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/tasks/{task.id}")
    assert made.headers["etag"]
    assert {name: made.json()[name] for name in asked} == asked
    assert (task.play, task.playbook, task.step, task.rule, task.tier) == (None, None, None, None, None)
    assert (task.status, task.key, task.warnings) == ("open", task.id, None)
    assert client.get("/v1/tasks", params={"assignee": "KIM@us.test", "account": "acme"}).json()["items"] == [
        client.get(f"/v1/tasks/{task.id}").json()
    ]
    path = f"/v1/tasks/{task.id}"
    assert client.post(f"{path}/reassign", json={"assignee": "owner"}).json()["assignee"] == "jo@us.test"
    assert client.post(f"{path}/snooze", json={"until": "2026-03-01T00:00:00Z"}).json()["status"] == "snoozed"
    done = TaskOut.model_validate(client.post(f"{path}/complete", json={}).json())
    assert (done.status, done.completed_by, done.note, done.outcome) == (
        "completed",
        "jo at work",
        None,
        None,
    )
    (created,) = told(house, "created")
    assert (created.account, created.contact) == ("acme", "ann")
    assert created.data == {"action": task.id, "key": task.id, "depth": 0}


def test_what_was_said_at_the_end_is_kept_and_told(house: House, client: TestClient) -> None:
    known(house)
    task = client.post("/v1/tasks", json=BODY).json()["id"]
    how = {"note": "They will sign on Monday.", "outcome": "reached"}
    done = client.post(f"/v1/tasks/{task}/complete", json=how).json()
    shown = client.get(f"/v1/tasks/{task}").json()
    for one in (done, shown):
        assert {name: one[name] for name in how} == how
        assert (one["status"], one["completed_by"]) == ("completed", "jo at work")
    again = client.post(f"/v1/tasks/{task}/complete", json={"note": "another"})
    assert again.status_code == 409
    assert client.get(f"/v1/tasks/{task}").json() == shown
    (completed,) = told(house, "completed")
    assert completed.data == {"action": task, "key": task, "depth": 0, "completed_by": "jo at work", **how}


def test_what_cannot_be_said_at_the_end_is_refused(house: House, client: TestClient) -> None:
    task = client.post("/v1/tasks", json=BODY).json()["id"]
    for body, field in (({"notes": "x"}, "notes"), ({"outcome": ""}, "outcome"), ({"note": 5}, "note")):
        assert fields(client.post(f"/v1/tasks/{task}/complete", json=body)) == [field]
    assert client.get(f"/v1/tasks/{task}").json()["status"] == "open"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": None}, "title"),
        ({"assignee": "kim"}, "assignee"),
        ({"assignee": "owner"}, "assignee"),
        ({"due_at": "2026-12-01"}, "due_at"),
        ({"due_at": 1764576000}, "due_at"),
        ({"account": None, "contact": "ann"}, "account"),
        ({"account": None, "assignee": "owner"}, "assignee"),
        ({"assigne": "x"}, "assigne"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, change: dict[str, Any], field: str) -> None:
    assert fields(client.post("/v1/tasks", json={**BODY, **change})) == [field]
    assert client.get("/v1/tasks").json()["items"] == []


def test_a_name_that_nobody_knows_is_taken_and_warned_of(house: House, client: TestClient) -> None:
    known(house)
    for change, field in (({"account": "acne"}, "account"), ({"contact": "anne"}, "contact")):
        made = client.post("/v1/tasks", json={**BODY, **change})
        assert (made.status_code, [one["field"] for one in made.json()["warnings"]]) == (201, [field])


def test_an_account_that_was_merged_takes_no_tasks(house: House, client: TestClient) -> None:
    known(house)
    store = PlayStore(0, house.log.partitions, lambda: conn)
    with house.db.write() as conn:
        store.put_profile(Profile(id="acme", closed=Closing("globex")))
        store.flush(conn, T0)
    refused = client.post("/v1/tasks", json=BODY)
    assert fields(refused) == ["account"]
    assert "'globex'" in refused.text


def test_a_task_about_no_account_is_told_to_nobody(house: House, client: TestClient) -> None:
    task = client.post("/v1/tasks", json={"title": "Order cake", "assignee": "kim@us.test"}).json()
    assert (task["account"], task["contact"]) == (None, None)
    assert client.post(f"/v1/tasks/{task['id']}/complete").json()["status"] == "completed"
    house.settle()
    assert house.told() == []
    assert house.waiting() == 0


def test_the_same_request_makes_one_task(client: TestClient) -> None:
    once = {"Idempotency-Key": "cake"}
    first, again = (client.post("/v1/tasks", json=BODY, headers=once) for _ in range(2))
    assert first.json() == again.json()
    assert (again.status_code, again.headers["location"]) == (201, first.headers["location"])
    assert len(client.get("/v1/tasks").json()["items"]) == 1
    assert client.post("/v1/tasks", json={**BODY, "title": "Other"}, headers=once).status_code == 409


def test_what_get_gives_may_be_posted_again(client: TestClient) -> None:
    shown = client.post("/v1/tasks", json=BODY).json()
    other = client.post("/v1/tasks", json={**shown, "key": None}).json()
    assert other["id"] != shown["id"]


def test_a_key_is_open_once_whoever_makes_the_task(house: House, client: TestClient) -> None:
    known(house)
    body = {**BODY, "key": "renewal-call"}
    task = client.post("/v1/tasks", json=body).json()["id"]
    taken = client.post("/v1/tasks", json=body)
    assert (taken.status_code, taken.json()["code"]) == (409, "key_taken")
    assert task in taken.json()["detail"]
    assert client.post("/v1/tasks", json={**body, "account": "globex"}).status_code == 201, (
        "another account's key"
    )
    step = {"task": {"title": "Renew", "key": "renewal-call", "assignee": "owner"}}
    house.save(PlaybookIn.model_validate({"name": "renew", "steps": [step]}))
    (place,) = house.post(event("due", T0))
    house.fire(T0, place, playbook="renew")
    house.settle()
    shown = client.get(f"/v1/tasks/{task}").json()
    assert (shown["title"], shown["playbook"], shown["tier"]) == ("Renew", "renew", "low")
    client.post(f"/v1/tasks/{task}/complete")
    assert client.post("/v1/tasks", json=body).status_code == 201, "the key is free again"


def test_of_requests_at_once_with_one_key_one_makes_the_task(house: House, client: TestClient) -> None:
    codes: list[int] = []
    body = {**BODY, "key": "once"}
    threads = [
        threading.Thread(target=lambda: codes.append(client.post("/v1/tasks", json=body).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201, *[409] * 5]


def test_it_goes_with_the_erasure_of_its_account_or_contact(house: House, client: TestClient) -> None:
    known(house)
    lone = client.post("/v1/tasks", json={"title": "Cake", "assignee": "kim@us.test"}).json()["id"]
    client.post("/v1/tasks", json={**BODY, "contact": "ann"})
    mine = client.post("/v1/tasks", json=BODY).json()["id"]
    house.post(event("contact.deleted", T0 + DAY, contact="ann"))
    house.settle()
    assert [row.id for row in house.rows(TASKS)] == [lone, mine]
    house.post(event("account.deleted", T0 + 2 * DAY))
    house.settle()
    assert [row.id for row in house.rows(TASKS)] == [lone]
