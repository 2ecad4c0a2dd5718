"""What `GET /v1/plays/{id}` tells of a play: everything that happened to it, in order, each with a sentence."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from schemas.event import rfc3339
from schemas.play import PlayDetail
from schemas.playbook import PlaybookIn
from services.actions.tables import actions
from tests.services.actions.kit import House
from tests.services.actions.test_api import client as _client
from tests.unit.plays.kit import DAY, T0, account, event

client = _client  # the fixture
STEPS = [
    {"email": {"template": "hello"}},
    {"id": "held", "wait": {"until_date": "account.attributes.renewal_date"}},
    {
        "branch": {
            "if": {"account.attributes.arr": {"gte": 1}},
            "then": [{"task": {"title": "Call", "assignee": "kim@us.test"}}],
            "else": [{"wait": "1d"}],
        }
    },
    {"wait": "3d"},
    {"webhook": {"endpoint": "crm"}},
]


@pytest.fixture(autouse=True)
def _saved(house: House) -> None:
    house.save(PlaybookIn.model_validate({"name": "chase", "exit_when": {"event": "paid"}, "steps": STEPS}))


def started(house: House, client: TestClient) -> str:
    (place,) = house.post(account())
    house.fire(T0, place, playbook="chase", contact="ann")
    house.settle()
    play: str = client.get("/v1/plays").json()["items"][0]["id"]
    return play


def history(client: TestClient, play: str) -> list[tuple[str, str | None, str]]:
    shown = PlayDetail.model_validate(client.get(f"/v1/plays/{play}").json())
    assert all(entry.sentence.endswith(".") for entry in shown.history)
    made = {entry.action for entry in shown.history} - {None}
    assert made == {action.id for action in shown.actions}
    return [(entry.at, entry.step, str(entry.reason)) for entry in shown.history]


def at(day: int) -> str:
    return rfc3339(T0 + day * DAY)


def test_a_play_from_its_beginning_to_its_end(house: House, client: TestClient) -> None:
    play = started(house, client)
    so_far = [
        (at(0), None, "started"),
        (at(0), "0", "action_made"),
        (at(0), "held", "no_date"),
        (at(0), "2", "condition_false"),
    ]
    assert history(client, play) == so_far
    house.post(event("later", T0 + DAY))
    house.settle()
    so_far.append((at(1), "2.else.0", "wait_over"))
    assert history(client, play) == so_far
    with house.db.write() as conn:
        conn.execute(
            update(actions).values(status="failed", reason="bounced", attempts=1, done_at=T0 + 2 * DAY)
        )
    house.post(event("paid", T0 + 3 * DAY))
    house.settle()
    so_far += [(at(2), "0", "bounced"), (at(3), "3", "exit_event")]
    assert history(client, play) == so_far
    said = client.get(f"/v1/plays/{play}").json()["history"]
    assert said[-2]["sentence"] == "The mail to ann@acme.test bounced: it was refused, or came back."


def test_steps_of_one_moment_stand_in_their_order(house: House, client: TestClient) -> None:
    (place,) = house.post(account(attributes={"arr": 5}))
    house.fire(T0, place, playbook="chase", contact="ann")
    house.settle()
    play = client.get("/v1/plays").json()["items"][0]["id"]
    assert history(client, play) == [
        (at(0), None, "started"),
        (at(0), "0", "action_made"),
        (at(0), "held", "no_date"),
        (at(0), "2", "condition_true"),
        (at(0), "2.then.0", "action_made"),
        (at(0), "2.then.0", "action_done"),
    ]


def test_a_play_that_never_began_tells_why(house: House, client: TestClient) -> None:
    started(house, client)
    (place,) = house.post(event("more", T0 + 1))
    house.fire(T0 + 1, place, playbook="chase", contact="ann")
    house.settle()
    skipped = client.get("/v1/plays?status=skipped").json()["items"][0]
    assert skipped["sentence"] == "A play of the playbook chase was open or held already."
    assert [entry[1:] for entry in history(client, skipped["id"])] == [(None, "play_open")]


def test_what_is_listed_has_its_sentence(house: House, client: TestClient) -> None:
    play = started(house, client)
    assert client.get(f"/v1/plays/{play}").json()["sentence"] is None, (
        "it is open: there is nothing to explain"
    )
    with house.db.write() as conn:
        conn.execute(update(actions).values(status="failed", reason="attempts_exhausted", attempts=9))
    (action,) = client.get("/v1/actions").json()["items"]
    assert action["sentence"] == "All 9 attempts to reach ann@acme.test failed."
