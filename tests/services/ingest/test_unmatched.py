"""`/v1/unmatched`: what is shown, assigned, learned and deleted, and how much is kept."""

from typing import Any

import httpx
import pytest

from backbone.log import EVENTS, Entry
from backbone.web.api_keys import create_key
from schemas.event import Event, encode
from schemas.forwarding import ABSORBED
from services.ingest.identity import unmatched
from services.ingest.identity.unmatched import HEADERS
from services.ingest.identity.whose import Way, Whose
from services.ingest.source_acceptor import Parked, Went
from tests.services.ingest.kit import Kit
from tests.services.ingest.test_source_acceptor import (
    accept,
    by_domain,
    by_email,
    by_id,
    event,
    put,
    service,
    settled,
    tell,
    went,
)


async def call(kit: Kit, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key or kit.admin}"}
    return await kit.http.request(method, path, json=body, headers=headers)


async def listed(kit: Kit, query: str = "") -> list[dict[str, Any]]:
    answer = await call(kit, "GET", f"/v1/unmatched{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_what_was_tried_is_shown(kit: Kit) -> None:
    ways = (
        Way("external_id", "crm", "7"),
        Way("external_id", "stripe", "cus_9"),
        Way("email", None, "Ann@Acme.test"),
    )
    [parked] = await accept(kit, (event("1", contact="ann"), Whose(ways)))
    assert isinstance(parked, Parked)
    [shown] = await listed(kit)
    assert shown == {
        "id": parked.id,
        "source": "crm",
        "event": {
            "id": "1", "source": "crm", "type": "deal.won", "time": "2026-11-22T09:00:00Z",
            "contact": "ann", "data": {"amount": 1},
        },
        "tried": [
            {"way": "external_id", "value": "7"},
            {"way": "external_id", "value": "cus_9", "system": "stripe"},
            {"way": "email", "value": "Ann@Acme.test"},
        ],
        "received_at": "2026-11-22T09:00:00Z",
    }  # fmt: skip
    assert await listed(kit, "?source=desk") == []
    assert len(await listed(kit, "?source=crm&after=2026-11-22T08:00:00Z")) == 1


async def test_an_event_is_assigned_once(kit: Kit) -> None:
    [parked] = await accept(kit, (event("1"), by_id("7")))
    assert isinstance(parked, Parked)
    path = f"/v1/unmatched/{parked.id}/assign"
    answer = await call(kit, "POST", path, {"account": "acme"})
    assert (answer.status_code, answer.json()) == (200, {"id": parked.id, "account": "acme"})
    assert (await call(kit, "POST", path, {"account": "beta"})).status_code == 404
    assert await listed(kit) == []
    assert await accept(kit, (event("1"), by_id("7"))) == [Went(("acme",))]
    [other] = await accept(kit, (event("2"), by_id("7")))
    assert isinstance(other, Parked), "nothing was learned"
    assert went(kit) == [("1", "acme"), ("1", "acme")], "the second is a repeat, by its id"
    [entry] = (await call(kit, "GET", "/v1/audit?object=unmatched")).json()["items"]
    assert (entry["object"], entry["after"]) == (
        f"unmatched/{parked.id}",
        {"account": "acme", "learn": False},
    )


@pytest.mark.parametrize(
    ("whose", "learned"),
    [
        (by_id("7"), {"external_ids": {"crm": ["6", "7"]}}),
        (by_domain("x@acme.test"), {"domains": ["acme.com", "acme.test"]}),
        (by_email("Ann@acme.test"), {"email": "Ann@acme.test"}),
        (
            Whose((Way("id", None, "old"), Way("external_id", "crm", "7"))),
            {"external_ids": {"crm": ["6", "7"]}},
        ),
    ],
)
async def test_what_is_learned_brings_the_others_in(kit: Kit, whose: Whose, learned: Any) -> None:
    await put(kit, "acme", external_ids={"crm": "6"}, domains=["acme.com"])
    first, _ = await accept(kit, (event("1"), whose), (event("2"), whose))
    assert isinstance(first, Parked)
    await call(kit, "POST", f"/v1/unmatched/{first.id}/assign", {"account": "acme", "learn": True})
    await settled(kit)
    assert went(kit) == [("1", "acme"), ("2", "acme")]
    assert [one.data for one in kit.events() if one.id == f"learn-{first.id}"] == [learned]
    assert await accept(kit, (event("3"), whose)) == [Went(("acme",))]


@pytest.mark.parametrize(
    ("contact", "person", "learned"),
    [
        ({"email": "ann@acme.test"}, "ann@acme.test", "ann@acme.test"),
        ({"email": "eve@acme.test"}, None, "ann@acme.test"),  # another's address says nothing of this person
        ({"id": "new"}, "new", "new"),
        ({"id": "bob"}, "bob", "ann@acme.test"),  # who has an address keeps it
        ({}, None, "ann@acme.test"),
    ],
)
async def test_an_address_that_is_learned_is_the_contact_s_own(
    kit: Kit, contact: dict[str, str], person: str | None, learned: str
) -> None:
    await put(kit, "acme", contacts=[{"id": "bob", "email": "bob@acme.test"}])
    whose = Whose((Way("email", None, "ann@acme.test"),), contact_email=contact.get("email"))
    [parked] = await accept(kit, (event("1", contact=contact.get("id")), whose))
    assert isinstance(parked, Parked)
    await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", {"account": "acme", "learn": True})
    await settled(kit)
    assert [one.contact for one in kit.events() if one.id == "1"] == [person]
    assert [one.contact for one in kit.events() if one.id == f"learn-{parked.id}"] == [learned]


async def test_an_address_that_fits_several_accounts_makes_no_second_contact(kit: Kit) -> None:
    for account in ("acme", "beta"):
        await put(kit, account, contacts=[{"id": "ann", "email": "ann@both.test"}])
    [parked] = await accept(kit, (event("1"), by_email("Ann@both.test")))
    assert isinstance(parked, Parked)
    await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", {"account": "acme", "learn": True})
    assert [one.contact for one in kit.events() if one.id == f"learn-{parked.id}"] == ["ann"]


async def test_an_account_that_was_merged_is_taught_nothing(kit: Kit) -> None:
    """Its updates go to the account that goes on, and would replace the external ids there."""
    await put(kit, "old", external_ids={"crm": "1"})
    await put(kit, "acme", external_ids={"crm": "2"})
    [parked] = await accept(kit, (event("1"), by_id("7")))
    assert isinstance(parked, Parked)
    await tell(kit, "account.merged", "old", data={"into": "acme"})
    absorbed = Event(type=ABSORBED, account="acme", id="a", source="touchline", data={"account": "old"})
    kit.rooms.log.append(EVENTS, [Entry(encode(absorbed), "acme", None, HEADERS)]).result(timeout=30)
    await settled(kit)
    path = f"/v1/unmatched/{parked.id}/assign"
    answer = await call(kit, "POST", path, {"account": "old", "learn": True})
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, ["account"])
    assert len(await listed(kit)) == 1
    assert (await call(kit, "POST", path, {"account": "old"})).status_code == 200


async def test_what_cannot_be_learned_is_refused(kit: Kit) -> None:
    public = Whose((Way("id", None, "old"), Way("domain", None, "ann@gmail.com")))
    [parked] = await accept(kit, (event("1"), public))
    assert isinstance(parked, Parked)
    answer = await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", {"account": "acme", "learn": True})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["learn"]
    assert len(await listed(kit)) == 1
    for wrong in ({}, {"account": ""}, {"account": "x" * 257}, {"account": "acme", "lern": True}):
        answer = await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", wrong)
        assert answer.status_code == 422


async def test_an_event_is_deleted(kit: Kit) -> None:
    [parked] = await accept(kit, (event("1"), by_id("7")))
    assert isinstance(parked, Parked)
    path = f"/v1/unmatched/{parked.id}"
    reader = create_key(kit.rooms.db, kit.rooms.clock, "reader", ["rules:read"])
    assert (await call(kit, "DELETE", path, key=reader)).status_code == 403
    assert (await call(kit, "GET", "/v1/unmatched", key=reader)).status_code == 200
    assert (await call(kit, "GET", "/v1/unmatched", key=kit.writer)).status_code == 403
    assert (await call(kit, "DELETE", path)).status_code == 204
    assert (await call(kit, "DELETE", path)).status_code == 404
    await put(kit, "acme", external_ids={"crm": "7"})
    await settled(kit)
    assert went(kit) == []


async def test_the_oldest_leave_where_there_are_too_many(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmatched, "MOST", 3)
    await accept(kit, (event("0"), by_id("0")))
    await accept(kit, *((event(str(at)), by_id(str(at))) for at in range(1, 5)))
    assert [one["event"]["id"] for one in await listed(kit)] == ["4", "3", "2"]
    await put(kit, "acme", external_ids={"crm": ["1", "4"]})
    await settled(kit)
    assert went(kit) == [("4", "acme")]


async def test_one_that_waits_on_the_way_is_sent_by_the_worker(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the choice of its account and the append."""
    [parked] = await accept(kit, (event("1"), by_id("7")))
    assert isinstance(parked, Parked)
    monkeypatch.setattr(service(kit).unmatched, "send", lambda rows: None)
    assert (
        await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", {"account": "acme"})
    ).status_code == 200
    again = {"account": "beta"}
    assert (await call(kit, "POST", f"/v1/unmatched/{parked.id}/assign", again)).status_code == 409
    assert (await call(kit, "DELETE", f"/v1/unmatched/{parked.id}")).status_code == 409
    monkeypatch.undo()
    await settled(kit)
    assert went(kit) == [("1", "acme")]
