"""What the door keeps and looks up, on SQLite and PostgreSQL alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backbone.audit import AuditTrail
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.documents import registry
from backbone.errors import DatabaseUnavailable, PreconditionFailed
from schemas.aliases import AliasesDoc
from schemas.event import Event, from_microseconds
from schemas.lint.outline import TiersOutline, outline_rule
from schemas.lint.readings import ReadPath
from schemas.rule import RuleIn
from services.ingest.acceptor import Accepted
from services.ingest.event_type_aliases import Aliases
from services.ingest.event_warnings import EventWarnings
from services.ingest.saved_sources import SOURCES, SavedSources
from tests.migrated import migrated
from tests.services.ingest.kit import NOW


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables."""
    url = f"sqlite:///{tmp_path / 'touchline.db'}"
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        url = make().replace("postgresql://", "postgresql+psycopg://")
    made = Database(url)
    migrated(made)
    yield made
    made.close()


def doc(**names: str) -> AliasesDoc:
    return AliasesDoc(aliases=names)


def by(name: str) -> AuditTrail:
    return AuditTrail(ManualClock(NOW), "ingest", name, "PUT")


async def test_aliases_of_one_process_are_read_by_another(db: Database) -> None:
    here, there = Aliases(db, ManualClock(NOW)), Aliases(db, ManualClock(NOW))
    assert (await here.names(), here.stored()) == ({}, None)
    first = here.save(doc(a="b"), by("ann"), '"0"')
    assert (first.version, await here.names(), await there.names()) == (1, {"a": "b"}, {"a": "b"})
    with pytest.raises(PreconditionFailed):
        there.save(doc(a="c"), by("bob"), '"0"')
    there.save(doc(), by("bob"), first.etag)
    assert await there.names() == {}
    stored = here.stored()
    assert stored is not None
    assert (stored.version, stored.changed_by, stored.doc) == (2, "bob", {"aliases": {}})


async def test_sources_of_one_process_are_read_by_another(db: Database) -> None:
    """By who saved one at once, by the others within a second; also while the database is away."""
    passed = [0.0]
    here, there = SavedSources(db), SavedSources(db, monotonic=lambda: passed[0])
    event = {"type": "x", "account": {"id": "id"}}

    def save(each: str) -> None:
        doc = {"verify": {"scheme": "none"}, "each": each, "events": [event]}
        with db.write() as connection:
            here.note()
            SOURCES.put(connection, "crm", doc, "ann", NOW)

    async def each(sources: SavedSources) -> str | None:
        found = await sources.get("crm")
        return None if found is None else found.doc.each

    assert [await each(here), await each(there)] == [None, None]
    save("a")
    passed[0] += 0.6
    assert [await each(here), await each(there)] == ["a", "a"]
    save("b")
    assert [await each(here), await each(there)] == ["b", "a"]
    passed[0] += 0.6
    assert await each(there) == "b"
    with db.write() as connection:
        here.note()
        SOURCES.delete(connection, "crm", "ann", NOW)
    passed[0] += 0.6
    assert [await each(here), await each(there)] == [None, None]


async def test_a_source_is_not_taken_for_unknown_while_the_database_is_away(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'touchline.db'}")  # without tables
    with pytest.raises(DatabaseUnavailable):
        await SavedSources(db).get("crm")
    migrated(db)
    sources = SavedSources(db)
    assert await sources.get("crm") is None
    db.close()


async def test_the_board_as_the_door_reads_it(db: Database) -> None:
    doubts = EventWarnings(db, wall=True)

    async def told(type_: str, data: Any) -> list[str]:
        event = Event(type=type_, account="acme", data=data, time=from_microseconds(NOW))
        return [one["field"] for one in await doubts.about([event], Accepted(1, [], [], NOW))]

    paid = ("invoice.paid", {"amount": "5"})
    arr = ("account.updated", {"attributes": {"arr": "5"}})
    when = {"threshold": {"event": "invoice.paid", "aggregate": "sum", "of": "data.amount", "at_least": 1}}
    rule = outline_rule(RuleIn.model_validate({"name": "spent", "when": when}))
    assert [await told(*paid), await told(*arr)] == [[], []]
    with db.write() as conn:
        registry.write(conn, rule, 1)
        registry.write(conn, TiersOutline(reads=[ReadPath("account.attributes.arr", "number")]), 1)
    assert [await told(*paid), await told(*arr)] == [["data.amount"], ["data.attributes.arr"]]
    with db.write() as conn:
        registry.remove(conn, "rule", "spent")
        registry.write(conn, TiersOutline(), 2)
    assert [await told(*paid), await told(*arr)] == [[], []]
