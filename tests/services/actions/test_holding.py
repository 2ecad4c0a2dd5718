"""Pause, resume, release and discard over the API, and the breaker, on the database."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from backbone.documents import registry
from backbone.ownership import Fenced
from backbone.tables import notices
from schemas.lint.outline import outline_tiers
from schemas.rule import TiersDoc
from services.actions.api import holding
from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.plays.model import Leased
from services.actions.status import status
from services.actions.storage import holds
from services.actions.storage.due import Wanted
from services.actions.storage.holds import Key
from services.actions.storage.suppressions import Hasher
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.services.actions.test_api import client  # noqa: F401  a fixture
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

WAITING: list[dict[str, Any]] = [{"wait": "2d"}, {"task": {"title": "Call"}}]
MAIL = [{"email": {"template": "hello"}}]
BOOK = Key("playbook", "book")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "BEGINS_S", 0.0)


def verb(client: TestClient, what: str, status: int = 200, **body: Any) -> dict[str, Any]:  # noqa: F811
    answer = client.post(f"/v1/{what}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


def fire(house: House, number: int, name: str | None = None, **fields: Any) -> None:
    """Plays for so many accounts, decided at one event each."""
    names = [f"{name or 'a'}{n}" for n in range(number)]
    places = house.post(*[account(T0, one) for one in names])
    for one, place in zip(names, places, strict=True):
        house.fire(T0, place, account=one, **fields)
    house.settle()


def by_status(house: House) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in house.rows(PLAYS):
        key = f"{row.status} {row.reason or ''}".strip()
        found[key] = found.get(key, 0) + 1
    return found


def sender(house: House) -> AttemptWriter:
    return AttemptWriter("me", Hasher(b"k"), house.log.partitions, log_clock=True)


def write(house: House, batch: Batch) -> Any:
    with house.db.write() as conn:
        return sender(house).write(conn, batch, house.clock.now())


def leased(house: House) -> list[Leased]:
    return list(write(house, Batch(lease=Wanted(50))).leased)


def test_a_playbook_is_paused_and_goes_on(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book())
    paused = verb(client, "playbooks/book/pause", reason="wrong text")
    assert (paused["status"], paused["paused"]["reason"], paused["paused"]["by"]) == (
        "paused",
        "wrong text",
        "tester",
    )
    assert verb(client, "playbooks/book/pause", 409)["code"]
    kept = client.put(
        "/v1/playbooks/book", json={"steps": [{"wait": "1d"}], "status": "active", "paused": None}
    )
    assert (kept.json()["status"], kept.json()["version"]) == ("paused", 2)
    (listed,) = client.get("/v1/playbooks").json()["items"]
    assert listed["status"] == "paused"
    assert verb(client, "playbooks/book/resume", 422)["errors"][0]["field"] == "held"
    assert verb(client, "playbooks/book/resume", 422, held="keep")["errors"][0]["field"] == "held"
    assert client.get("/v1/playbooks/book").json()["status"] == "paused"
    after = verb(client, "playbooks/book/resume", held="release")
    assert (after["status"], after["paused"]) == ("active", None)
    verb(client, "playbooks/book/resume", 409, held="release")
    verb(client, "playbooks/nowhere/pause", 404)
    verb(client, "playbooks/nowhere/resume", 404, held="release")


def test_versions_have_no_status(client: TestClient) -> None:  # noqa: F811
    body = {"name": "book", "topic": "t", "steps": WAITING}
    client.post("/v1/playbooks", json=body)
    verb(client, "playbooks/book/pause")
    apart = client.put("/v1/playbooks/book?publish=false", json={**body, "topic": "u"}).json()
    listed = client.get("/v1/playbooks/book/versions").json()["items"]
    assert [one["topic"] for one in listed] == ["u", "t"]
    for one in (apart, *listed):
        assert not {"status", "paused"} & one.keys()
    assert client.get("/v1/playbooks/book").json()["status"] == "paused"


def test_held_plays_begin_when_they_are_released_in_the_order_of_their_triggers(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book())
    verb(client, "playbooks/book/pause")
    fire(house, 6)
    assert by_status(house) == {"held paused": 6}
    assert house.rows(TASKS) == []
    order = [row.account for row in house.rows(PLAYS)]
    house.tick(event("touchline.clock", T0 + DAY))
    house.save(book(steps=[{"task": {"title": "Phone"}}]))
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert by_status(house) == {"finished completed": 6}
    assert {(row.started_at, row.held_at, row.playbook_version, row.counts) for row in house.rows(PLAYS)} == {
        (T0 + DAY, T0, 2, False)
    }
    assert {row.title for row in house.rows(TASKS)} == {"Phone"}
    for partition in range(house.log.partitions):
        mine = [row.account for row in house.rows(PLAYS) if row.partition == partition]
        began = [
            one.account
            for one in house.told()
            if one.type == "touchline.play.started" and one.account in mine
        ]
        assert began == [one for one in order if one in mine]
    house.restart()
    house.settle()
    assert len(house.rows(TASKS)) == 6


def publish(house: House, *entries: dict[str, Any]) -> None:
    """What rules publishes when tiers are saved."""
    with house.db.write() as conn:
        version = (registry.tier_policy(conn) or (0, None))[0] + 1
        registry.write(conn, outline_tiers(TiersDoc.model_validate({"tiers": list(entries)})), version)


def test_released_plays_begin_in_the_tier_that_the_policy_of_now_says(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    """Their own tier comes first; what the policy said when they were held counts no more."""
    big = {"account.attributes.arr": {"gte": 50_000}}
    house.save(book(steps={tier: [{"task": {"title": tier}}] for tier in ("high", "low", "tech")}))
    publish(house, {"tier": "low"})
    verb(client, "playbooks/book/pause")
    names = ("big", "small", "own")
    places = house.post(
        account(T0, "big", attributes={"arr": 60_000}),
        account(T0, "small", attributes={"arr": 10}),
        account(T0, "own", attributes={"arr": 60_000}, tier="tech"),
    )
    for name, place in zip(names, places, strict=True):
        house.fire(T0, place, account=name, tier="low")
    house.settle()
    assert by_status(house) == {"held paused": 3}
    publish(house, {"tier": "high", "where": big}, {"tier": "tech"})
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert {row.account: row.tier for row in house.rows(PLAYS)} == {
        "big": "high",
        "small": "tech",
        "own": "tech",
    }
    assert sorted(row.title for row in house.rows(TASKS)) == ["high", "tech", "tech"]


def test_where_no_policy_is_known_the_tier_of_the_trigger_counts(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps={tier: [{"task": {"title": tier}}] for tier in ("high", "low", "tech")}))
    verb(client, "playbooks/book/pause")
    fire(house, 1, tier="low")
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert [row.tier for row in house.rows(PLAYS)] == ["low"]


def test_discarded_plays_never_begin(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book())
    verb(client, "playbooks/book/pause")
    fire(house, 3)
    verb(client, "playbooks/book/resume", held="discard")
    house.settle()
    assert by_status(house) == {"skipped discarded": 3}
    assert house.rows(TASKS) == []
    fire(house, 3, "b")
    assert by_status(house)["finished completed"] == 3


def test_one_play_is_released_or_discarded_while_the_playbook_is_paused(
    house: House,
    client: TestClient,  # noqa: F811
) -> None:
    house.save(book(steps=[*MAIL, *WAITING]))
    verb(client, "playbooks/book/pause")
    fire(house, 3)
    one, two, three = (row.id for row in house.rows(PLAYS))
    verb(client, f"plays/{one}/release")
    verb(client, f"plays/{one}/release", 409)
    gone = verb(client, f"plays/{two}/discard")
    assert (gone["status"], gone["reason"]) == ("skipped", "discarded")
    house.settle()
    assert len(leased(house)) == 1
    verb(client, f"plays/{one}/discard", 409)
    verb(client, f"plays/{two}/release", 409)
    verb(client, "plays/nowhere/release", 404)
    verb(client, "plays/nowhere/discard", 404)
    house.tick(event("touchline.clock", T0 + 3 * DAY))
    house.settle()
    assert by_status(house) == {"finished completed": 1, "skipped discarded": 1, "held paused": 1}
    history = client.get(f"/v1/plays/{one}").json()["history"]
    assert [entry["reason"] for entry in history][:2] == ["held", "started"]
    assert client.get("/v1/plays?status=held&reason=paused").json()["items"][0]["id"] == three


def test_nothing_of_a_paused_playbook_is_sent(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps=MAIL))
    house.save(book("other", steps=MAIL))
    fire(house, 2)
    fire(house, 1, "o", playbook="other")
    begun, waits, other = sorted(leased(house), key=lambda one: one.playbook)
    assert list(write(house, Batch(begins=[begun])).begun) == [begun.id]
    verb(client, "playbooks/book/pause")
    assert list(write(house, Batch(begins=[waits, other])).begun) == [other.id]
    assert leased(house) == []
    row = next(row for row in house.rows(ACTIONS) if row.id == waits.id)
    assert (row.status, row.next_attempt_at, row.attempting, row.attempts) == ("pending", None, False, 0)
    fire(house, 2, "p", playbook="other")
    assert {one.playbook for one in leased(house)} == {"other"}
    verb(client, "playbooks/book/resume", held="release")
    assert [one.id for one in leased(house)] == [waits.id]


def test_open_plays_stand_still_and_are_not_due(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(steps=WAITING))
    fire(house, 2)
    verb(client, "playbooks/book/pause")
    house.tick(event("touchline.clock", T0 + 5 * DAY))
    house.settle()
    assert by_status(house) == {"open": 2}
    assert status(house.db, house.log, house.clock, log_clock=True)["idle"]
    one, two = (row.id for row in house.rows(PLAYS))
    verb(client, f"plays/{one}/release")
    house.settle()
    assert by_status(house) == {"finished completed": 1, "open": 1}
    verb(client, f"plays/{two}/discard", 409)
    verb(client, "playbooks/book/resume", held="discard")
    house.settle()
    assert by_status(house) == {"finished completed": 2}
    assert {row.ended_at for row in house.rows(PLAYS)} == {T0 + 5 * DAY}


def test_by_the_wall_clock_plays_go_on_when_somebody_says_so(build: Any) -> None:
    house = build(mode="wall")
    house.save(book(steps=WAITING))
    fire(house, 1)
    with house.db.write() as conn:
        holds.pause(conn, BOOK, holds.OF_PLAYBOOK[0], None, "me", T0)
    fire(house, 1, "b")
    began = house.rows(PLAYS)[0].started_at  # by the log's own time
    house.clock.set(began + 5 * DAY)
    house.settle()
    assert by_status(house) == {"open": 1, "held paused": 1}
    with house.db.write() as conn:
        holds.resume(conn, BOOK, T0)
        holds.release_plays(conn, BOOK, holds.OF_PLAYBOOK)
    house.worker.holds_changed()
    house.settle()
    assert by_status(house) == {"finished completed": 1, "open": 1}
    assert house.rows(PLAYS)[1].due_at > began + 6 * DAY


def test_a_batch_of_300_triggers_does_not_pass_the_breaker(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(limit={"plays": 25, "within": "1h"}))
    fire(house, 300)
    assert by_status(house) == {"finished completed": 25, "held breaker": 275}
    assert len(house.rows(TASKS)) == 25
    shown = client.get("/v1/playbooks/book").json()
    assert (shown["status"], shown["paused"]["reason"], shown["paused"]["by"]) == (
        "paused",
        "breaker",
        "touchline",
    )
    with house.db.read() as conn:
        (told,) = conn.execute(notices.select()).all()
    assert (told.kind, told.object, told.over_at) == ("breaker", "book", None)
    verb(client, "playbooks/book/resume", held="release")
    house.settle()
    assert by_status(house) == {"finished completed": 300}
    fire(house, 25, "b")
    assert by_status(house) == {"finished completed": 325}
    fire(house, 1, "c")
    assert by_status(house) == {"finished completed": 325, "held breaker": 1}


@pytest.mark.parametrize(("known", "limit"), [(0, 20), (99, 20), (150, 30)])
def test_the_default_limit_follows_the_accounts_known(build: Any, known: int, limit: int) -> None:
    house = build()
    one = book()
    house.save(type(one).model_validate(one.model_dump(by_alias=True, exclude={"limit"}, exclude_unset=True)))
    places = house.post(*[account(T0, f"k{n}") for n in range(known)], event("it", T0))
    house.settle()
    for number in range(40):
        house.fire(T0, places[-1], key=str(number))
    house.settle()
    assert by_status(house) == {"finished completed": limit, "held breaker": 40 - limit}


def test_without_a_limit_any_number_begins(house: House) -> None:
    house.save(book(limit=None))
    fire(house, 60)
    assert by_status(house) == {"finished completed": 60}


def test_a_pause_between_reading_and_writing_drops_the_batch(build: Any) -> None:
    house = build()
    house.save(book())
    (place,) = house.post(account())
    house.fire(T0, place)
    house.pass_all()

    def pause(*_: Any) -> Any:
        with house.db.write() as conn:
            holds.pause(conn, BOOK, holds.OF_PLAYBOOK[0], None, "me", T0)
        return render(*_)

    render, house.renderer.render_many = house.renderer.render_many, pause
    with pytest.raises(Fenced):
        house.work()
    house.renderer.render_many = render
    house.restart()
    house.settle()
    assert by_status(house) == {"held paused": 1}
    assert house.rows(TASKS) == []


def test_what_a_limit_must_be(client: TestClient) -> None:  # noqa: F811
    for field, value, where in (
        ("limit", {"plays": 0, "within": "1h"}, "limit.plays"),
        ("limit", {"plays": 5}, "limit.within"),
        ("limit", {"plays": 5, "within": "0s"}, "limit.within"),
        ("limit", 5, "limit"),
        ("held_for", "soon", "held_for"),
        ("held_for", "0s", "held_for"),
    ):
        answer = client.put("/v1/playbooks/p", json={"steps": [{"wait": "1d"}], field: value})
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [where]
    kept = client.put(
        "/v1/playbooks/p", json={"steps": [{"wait": "1d"}], "limit": None, "held_for": "3d"}
    ).json()
    assert (kept["limit"], kept["held_for"]) == (None, "3d")


def test_held_too_long(house: House, client: TestClient) -> None:  # noqa: F811
    house.save(book(held_for="2d"))
    verb(client, "playbooks/book/pause")
    fire(house, 2)
    house.tick(event("touchline.clock", T0 + 2 * DAY - SECOND))
    house.settle()
    assert by_status(house) == {"held paused": 2}
    house.tick(event("touchline.clock", T0 + 2 * DAY))
    house.settle()
    assert by_status(house) == {"skipped held_too_long": 2}
