"""Events of sources, which say whose they are, accepted for the accounts that they belong to."""

import asyncio
from typing import Any

import pytest

from backbone.clock import ManualClock
from schemas.event import DAY_US, Event
from services.ingest.decoding.refusals import Refusal
from services.ingest.identity.whose import Way, Whose
from services.ingest.service import IngestService
from services.ingest.source_acceptor import Parked, Taken, Went
from tests.services.ingest.kit import Kit


def service(kit: Kit) -> IngestService:
    found = kit.rooms.services[0]
    assert isinstance(found, IngestService)
    return found


async def accept(kit: Kit, *items: tuple[Event, Whose]) -> list[Taken]:
    return await service(kit).sources.accept(items, "crm")


def event(id: str, type_: str = "deal.won", **more: Any) -> Event:
    return Event(type=type_, id=id, source="crm", **{"data": {"amount": 1}, **more})


def by_id(id: str, system: str = "crm") -> Whose:
    return Whose((Way("external_id", system, id),))


def by_email(address: str) -> Whose:
    return Whose((Way("email", None, address),))


def by_domain(domain: str) -> Whose:
    return Whose((Way("domain", None, domain),))


async def put(kit: Kit, account: str, **body: Any) -> None:
    headers = {"authorization": f"Bearer {kit.writer}"}
    answer = await kit.http.put(f"/v1/accounts/{account}", json=body, headers=headers)
    assert answer.status_code == 202, answer.text


async def tell(kit: Kit, type_: str, account: str, **more: Any) -> None:
    answer = await kit.post("/v1/events", {"type": type_, "account": account, **more}, key=kit.admin)
    assert answer.status_code == 202, answer.text


async def settled(kit: Kit) -> None:
    async with asyncio.timeout(20):
        while not service(kit).status()["idle"]:
            await asyncio.sleep(0.01)


def went(kit: Kit, type_: str = "deal.won") -> list[tuple[str, str | None]]:
    """The events of this type on the log: id and account."""
    return sorted((one.id, one.account) for one in kit.events() if one.type == type_)


async def test_an_id_that_makes_its_account_goes_there_and_a_bad_event_takes_no_other_with_it(
    kit: Kit,
) -> None:
    acme = Whose((Way("id", None, "acme"),), create=True)
    found = await accept(
        kit,
        (event("1"), acme),
        (event("2", "account.deleted"), acme),
        (event("3", "touchline.clock"), acme),
        (event("4", "account.merged"), acme),
        (event("5"), by_id("nobody")),
    )
    assert found[0] == Went(("acme",))
    assert [one.field for one in found[1:4] if isinstance(one, Refusal)] == ["type"] * 3
    assert isinstance(found[4], Parked)
    assert [(one.id, one.account, one.type) for one in kit.events()] == [("1", "acme", "deal.won")]


async def test_the_door_knows_what_an_update_says_before_its_answer(kit: Kit) -> None:
    people = [{"id": "ann", "email": "Ann@Acme.test"}]
    await put(
        kit, "acme", external_ids={"crm": "7", "desk": ["36", "37"]}, domains=["ACME.test"], contacts=people
    )
    found = await accept(
        kit,
        (event("1"), by_id("7")),
        (event("2"), by_id("37", "desk")),
        (event("3"), by_email(" ann@ACME.test")),
        (event("4"), by_domain("acme.test")),
        (event("5"), by_domain("somebody@acme.test")),
        (event("6"), Whose((Way("id", None, "acme"),))),
        (event("7"), Whose((Way("external_id", "crm", "8"), Way("email", None, "ann@acme.test")))),
    )
    assert found == [Went(("acme",))] * 7
    missing = [by_id("36"), by_id("7", "desk"), by_email("bob@acme.test"), by_domain("mail.acme.test"),
               by_domain("gmail.com"), Whose((Way("id", None, "nobody"),)), Whose(())]  # fmt: skip
    parked = await accept(kit, *((event(f"m{at}"), one) for at, one in enumerate(missing)))
    assert all(isinstance(one, Parked) for one in parked)


async def test_an_id_may_stand_at_several_accounts_an_address_and_a_domain_at_one(kit: Kit) -> None:
    for account in ("acme", "beta"):
        people = [{"id": "ann", "email": "ann@agency.test"}]
        await put(kit, account, external_ids={"pager": "p1"}, domains=["agency.test"], contacts=people)
    both, *others = await accept(
        kit,
        (event("1"), by_id("p1", "pager")),
        (event("2"), by_email("ann@agency.test")),
        (event("3"), by_domain("agency.test")),
    )
    assert both == Went(("acme", "beta"))
    assert all(isinstance(one, Parked) for one in others)
    await put(kit, "beta", domains=None, contacts=[{"id": "ann", "email": None}])
    await settled(kit)
    assert went(kit) == [("1", "acme"), ("1", "beta"), ("2", "acme"), ("3", "acme")]


async def test_what_is_sent_again_goes_where_it_went_whoever_it_belongs_to_by_then(kit: Kit) -> None:
    await put(kit, "acme", external_ids={"crm": "7"})
    assert await accept(kit, (event("1"), by_id("7"))) == [Went(("acme",))]
    await put(kit, "acme", external_ids={"crm": None})
    await put(kit, "beta", external_ids={"crm": "7"})
    again = await accept(
        kit, (event("1"), by_id("7")), (event("1"), by_email("x@y.test")), (event("2"), by_id("7"))
    )
    assert again == [Went(("acme",)), Went(("acme",)), Went(("beta",))]


@pytest.mark.parametrize(
    ("whose", "update"),
    [
        (by_id("7"), {"external_ids": {"crm": ["7"]}}),
        (by_email("ann@acme.test"), {"contacts": [{"id": "ann", "email": "ANN@acme.test"}]}),
        (by_domain("x@acme.test"), {"domains": ["acme.test"]}),
        (Whose((Way("id", None, "acme"),)), {}),
    ],
    ids=["external_id", "email", "domain", "id"],
)
async def test_a_parked_event_goes_in_by_itself_at_its_own_time_once(
    kit: Kit, whose: Whose, update: Any
) -> None:
    [first] = await accept(kit, (event("1"), whose))
    [again] = await accept(kit, (event("1"), whose))
    assert isinstance(first, Parked)
    assert first == again
    clock = kit.rooms.clock
    assert isinstance(clock, ManualClock)
    at = clock.now()
    clock.set(at + DAY_US)
    await put(kit, "acme", **update)
    await settled(kit)
    assert went(kit) == [("1", "acme")]
    [one] = [one for one in kit.events() if one.type == "deal.won"]
    assert one.time is not None
    assert int(one.time.timestamp() * 1e6) == at
    assert await accept(kit, (event("1"), by_id("other"))) == [Went(("acme",))]


async def test_after_seven_days_a_parked_event_stays_out(kit: Kit) -> None:
    await accept(kit, (event("1"), by_id("7")))
    clock = kit.rooms.clock
    assert isinstance(clock, ManualClock)
    clock.set(clock.now() + 7 * DAY_US + 1)
    await put(kit, "acme", external_ids={"crm": "7"})
    await settled(kit)
    assert went(kit) == []


async def test_a_contact_is_found_by_its_address_and_an_update_makes_one(kit: Kit) -> None:
    await put(kit, "acme", external_ids={"crm": "7"}, contacts=[{"id": "ann", "email": "ann@acme.test"}])
    ways = by_id("7").ways
    ann = Whose(ways, contact_email="Ann@acme.test")
    new = Whose(ways, contact_email="Bob@acme.test")
    await accept(
        kit, (event("1"), ann), (event("2"), new), (event("3", contact="cid"), ann),
        (event("4", "contact.updated", data={"name": "Bob"}), new),
        (event("5", "contact.updated", data={"name": "Ann"}), ann),
    )  # fmt: skip
    nobody = (event("7", "contact.updated", data={"name": "Lou"}), Whose(ways, contact_email="n/a"))
    [refused] = await accept(kit, nobody)
    assert isinstance(refused, Refusal)
    assert refused.field == "contact"
    events = {one.id: one for one in kit.events()}
    assert [events[name].contact for name in "12345"] == ["ann", None, "cid", "bob@acme.test", "ann"]
    assert events["4"].data == {"email": "Bob@acme.test", "name": "Bob"}
    assert await accept(kit, (event("6"), by_email("bob@acme.test"))) == [Went(("acme",))]


async def test_what_a_public_key_says_leads_no_event_anywhere(kit: Kit) -> None:
    site = (await kit.post("/v1/keys", {"name": "site", "scopes": ["track"]}, key=kit.admin)).json()["key"]
    call = {"userId": "eve", "traits": {"email": "ann@acme.test"}, "context": {"groupId": "evil"}}
    assert (await kit.segment("/v1/identify", call, key=site)).status_code == 200
    await settled(kit)
    [found] = await accept(kit, (event("1"), by_email("ann@acme.test")))
    assert isinstance(found, Parked)


async def test_erasure_forgets_by_what_an_account_was_found(kit: Kit) -> None:
    await put(kit, "acme", external_ids={"crm": "7"}, contacts=[{"id": "ann", "email": "ann@acme.test"}])
    await put(kit, "beta", contacts=[{"id": "ann", "email": "ann@acme.test"}])
    await accept(kit, (event("0"), by_email("ann@acme.test")))
    await tell(kit, "contact.deleted", "acme", contact="ann")
    await settled(kit)
    assert went(kit) == [], "the event that asked for the erased address is gone with it"
    assert await accept(kit, (event("1"), by_email("ann@acme.test"))) == [Went(("beta",))]
    await tell(kit, "account.deleted", "acme")
    known, unknown = await accept(
        kit, (event("2"), by_id("7")), (event("3"), Whose((Way("id", None, "acme"),)))
    )
    assert isinstance(known, Parked)
    assert isinstance(unknown, Parked)
