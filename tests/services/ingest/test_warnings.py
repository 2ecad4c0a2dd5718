"""What is taken and can work with nothing that reads it is said in the answer (contract, section 3)."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.documents import registry
from backbone.settings import Settings, load_settings
from services.app import running
from tests.services.ingest.kit import Kit

TIERS = {"tiers": [{"tier": "high", "where": {"account.attributes.arr": {"gte": 50000}}}, {"tier": "tech"}]}
SPENT = {"threshold": {"event": "invoice.paid", "aggregate": "sum", "of": "data.amount", "at_least": 100}}
RENEWAL = {"date": {"attribute": "account.attributes.renewal_date", "before": "30d"}}
WAITS = {"steps": [{"wait": {"until_date": "contact.attributes.starts"}}]}
BRANCH = {"steps": [{"branch": {"if": {"trigger.event.data.seats": {"gt": 5}}, "then": [], "else": []}}]}
DAY_S = 86_400


def settings_of(tmp_path: Path, **more: Any) -> Settings:
    return load_settings(data_dir=tmp_path, port=0, partitions=1, **more)


def client(settings: Settings, url: str) -> httpx.Client:
    key = (settings.data_dir / "admin.key").read_text().strip()
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = settings_of(tmp_path_factory.mktemp("data"))
    with running(settings) as (_, url), client(settings, url) as http:
        documents = {
            "/v1/tiers": TIERS,
            "/v1/rules/spent": {"when": SPENT, "playbook": "outreach"},
            "/v1/rules/renewal": {"when": RENEWAL},
            "/v1/playbooks/waits": WAITS,
            "/v1/playbooks/outreach": BRANCH,
        }
        for path, document in documents.items():
            assert http.put(path, json=document).status_code in {200, 201}, path
        yield http


def put(api: httpx.Client, body: dict[str, Any], **params: Any) -> list[tuple[int, str, str]]:
    answer = api.put("/v1/accounts/acme", json=body, params=params)
    assert answer.status_code == 202, answer.text
    return said(answer)


def post(api: httpx.Client, events: Any) -> list[tuple[int, str, str]]:
    answer = api.post("/v1/events", json=events)
    assert answer.status_code == 202, answer.text
    return said(answer)


def said(answer: httpx.Response) -> list[tuple[int, str, str]]:
    body = answer.json()
    if "warnings" not in body:
        return []
    assert body["warnings"] != []
    return [(one["index"], one["field"], one["message"]) for one in body["warnings"]]


def test_a_number_written_as_text(api: httpx.Client) -> None:
    message = '"240,000" means nothing to the tier policy: should be a number, such as 240000'
    assert put(api, {"attributes": {"arr": "240,000"}}) == [(0, "attributes.arr", message)]
    event = {"type": "account.updated", "account": "acme", "data": {"attributes": {"arr": "240,000"}}}
    assert post(api, [{"type": "x", "account": "acme"}, event]) == [(1, "data.attributes.arr", message)]
    for fine in (240_000, 2.5, None):
        assert put(api, {"attributes": {"arr": fine, "plan": "240,000"}}) == []


def test_a_field_of_an_update_that_nothing_reads(api: httpx.Client) -> None:
    update = {"type": "account.updated", "account": "acme", "data": {"arr": 5, "name": "Acme"}}
    person = {"type": "contact.updated", "account": "acme", "contact": "ann", "data": {"mail": "a@acme.test"}}
    other = {"type": "x", "account": "acme", "data": {"arr": 5}}
    found = post(api, [other, update, person])
    assert [(index, field) for index, field, _ in found] == [(1, "data.arr"), (2, "data.mail")]
    assert "stands in attributes" in found[0][2]
    assert "did you mean email?" in found[1][2]


def test_a_date_that_is_none(api: httpx.Client) -> None:
    [(_, field, message)] = put(api, {"attributes": {"renewal_date": "12/31/2026"}})
    assert field == "attributes.renewal_date"
    assert message.startswith(
        '"12/31/2026" means nothing to the rule "renewal": should be a date, such as 2026-12-31'
    )
    for fine in ("2026-12-31", "2026-12-31T09:00:00Z", None):
        assert put(api, {"attributes": {"renewal_date": fine}}) == []


def test_of_contacts_too(api: httpx.Client) -> None:
    contacts = [
        {"id": "ann", "attributes": {"starts": "2026-12-31"}},
        {"id": "bob", "attributes": {"starts": 5}},
    ]
    [(_, field, message)] = put(api, {"contacts": contacts})
    assert field == "contacts.1.attributes.starts"
    assert 'the playbook "waits"' in message
    event = {
        "type": "contact.updated",
        "account": "acme",
        "contact": "bob",
        "data": {"attributes": {"starts": "soon"}},
    }
    assert [field for _, field, _ in post(api, event)] == ["data.attributes.starts"]


def test_what_a_rule_reads_of_an_event(api: httpx.Client) -> None:
    event = {"type": "invoice.paid", "account": "acme", "data": {"amount": "99.00", "seats": "6"}}
    found = post(
        api, [event, {**event, "type": "invoice.sent"}, {**event, "data": {"amount": 99, "seats": 6}}]
    )
    assert [(index, field) for index, field, _ in found] == [(0, "data.amount"), (0, "data.seats")]
    assert 'the rule "spent"' in found[0][2]
    assert 'the playbook "outreach"' in found[1][2]  # of the event that started it


def test_refused_events_are_refused_and_not_warned_of(api: httpx.Client) -> None:
    bad = {"type": "invoice.paid", "data": {"amount": "1"}}
    answer = api.post("/v1/events", json=[bad, {**bad, "account": "acme"}])
    assert [one["index"] for one in answer.json()["rejected"]] == [0]
    assert [one["index"] for one in answer.json()["warnings"]] == [1]
    assert "warnings" not in api.post("/v1/events", json=bad).json()


def test_late_and_ahead(api: httpx.Client) -> None:
    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    def one(seconds: float, **more: Any) -> dict[str, Any]:
        return {"type": "x", "account": "acme", "time": at(seconds), **more}

    events = [one(0), one(-8 * DAY_S), one(-6 * DAY_S), one(3_600), one(60), one(-8 * DAY_S, historical=True)]
    found = post(api, events)
    assert [(index, field) for index, field, _ in found] == [(1, "time"), (3, "time")]
    assert "7 days behind" in found[0][2]
    assert "set to the receipt" in found[1][2]
    assert [field for _, field, _ in put(api, {"name": "Acme"}, time=at(-8 * DAY_S))] == ["time"]
    assert put(api, {"name": "Acme"}, time=at(-8 * DAY_S), historical=True) == []


def test_a_save_is_known_at_once_and_so_is_its_end(api: httpx.Client) -> None:
    rule = {"when": {"becomes": {"is": {"account.attributes.seats": {"lt": 3}}}}}
    assert put(api, {"attributes": {"seats": "2"}}) == []
    api.put("/v1/rules/few-seats", json=rule)
    assert [field for _, field, _ in put(api, {"attributes": {"seats": "2"}})] == ["attributes.seats"]
    api.put("/v1/rules/fewer-seats", json=rule)
    [(_, _, message)] = put(api, {"attributes": {"seats": "2"}})
    assert 'the rule "few-seats" and 1 other' in message
    for name in ("few-seats", "fewer-seats"):
        api.delete(f"/v1/rules/{name}")
    assert put(api, {"attributes": {"seats": "2"}}) == []


def test_a_door_of_its_own_knows_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service is a process of its own, on one database: nothing but that tells the door of a save."""
    monkeypatch.setattr(registry.changes, "note", lambda: None)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    door = settings_of(tmp_path / "door", database_url=url)
    judge = settings_of(tmp_path / "judge", database_url=url)
    with ExitStack() as stack:
        _, rules_url = stack.enter_context(running(judge, ["rules"]))
        _, ingest_url = stack.enter_context(running(door, ["ingest"]))
        rules = stack.enter_context(client(judge, rules_url))
        ingest = stack.enter_context(client(door, ingest_url))
        assert put(ingest, {"attributes": {"arr": "1"}}) == []
        assert rules.put("/v1/tiers", json=TIERS).status_code == 200
        deadline = time.monotonic() + 10
        while not put(ingest, {"attributes": {"arr": "1"}}):
            assert time.monotonic() < deadline


@pytest.mark.parametrize("kit", [{"clock": "log"}], indirect=True)
async def test_an_account_said_at_a_time_moves_the_log_clock(kit: Kit) -> None:
    key = {"authorization": f"Bearer {kit.writer}"}
    put = {"time": "2020-01-01T01:00:00+01:00"}
    answer = await kit.http.put("/v1/accounts/acme", json={"name": "Acme"}, params=put, headers=key)
    assert (answer.status_code, "warnings" in answer.json()) == (202, False)
    [event] = kit.events()
    assert str(event.time) == "2020-01-01 00:00:00+00:00"
    for wrong in ("soon", "2020-01-01T00:00:00", "0001-01-01T00:00:00Z"):
        answer = await kit.http.put("/v1/accounts/acme", json={}, params={"time": wrong}, headers=key)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "time")
