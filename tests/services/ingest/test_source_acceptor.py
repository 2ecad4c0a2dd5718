"""Events of sources, which say whose they are, accepted for the accounts they belong to."""

from schemas.event import Event
from services.ingest.decoding.refusals import Refusal
from services.ingest.identity.whose import Way, Whose
from services.ingest.service import IngestService
from services.ingest.source_acceptor import Parked, SourceAcceptor, Taken, Went
from tests.services.ingest.kit import Kit


async def accept(kit: Kit, *items: tuple[Event, Whose]) -> list[Taken]:
    service = kit.rooms.services[0]
    assert isinstance(service, IngestService)
    return await SourceAcceptor(service.intake).accept(items, "crm")


def event(id: str, type_: str = "deal.won") -> Event:
    return Event(type=type_, id=id, source="crm", data={"amount": 1})


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
        (event("5"), Whose((Way("external_id", "crm", "nobody"),))),
    )
    assert found[0] == Went(("acme",))
    assert [one.field for one in found[1:4] if isinstance(one, Refusal)] == ["type"] * 3
    assert isinstance(found[4], Parked)
    assert [(one.id, one.account, one.type) for one in kit.events()] == [("1", "acme", "deal.won")]
