"""Documents in versions, on both databases: which version is in force, and which is only kept."""

import pytest

from backbone.database import Database
from backbone.documents.store import DocumentStore
from backbone.errors import NotFound, PreconditionFailed, StateConflict
from backbone.web.pagination import Paging
from services.actions.tables import documents
from tests.migrated import migrated

STORE = DocumentStore(documents, "template")


@pytest.fixture
def tables(db: Database) -> Database:
    migrated(db, ["actions"])
    return db


def listed(db: Database) -> list[tuple[int, bool]]:
    with db.read() as conn:
        page = STORE.versions(conn, "a", Paging(), lambda one: {"version": one.version})
    return [(one["version"], one["in_force"]) for one in page["items"]]


def test_a_version_comes_into_force_when_it_is_published(tables: Database) -> None:
    with tables.write() as conn:
        STORE.create(conn, "a", {"n": 1}, "ann", 1, publish=False)
        assert STORE.get(conn, "a") is None
        assert (STORE.all(conn), STORE.current_versions(conn)) == ([], {})
        STORE.put(conn, "a", {"n": 2}, "ann", 2, publish=False)
    assert listed(tables) == [(2, False), (1, False)]
    with tables.write() as conn:
        published, before = STORE.publish(conn, "a", 1)
        assert (published.doc, before) == ({"n": 1}, None)
        assert STORE.current_versions(conn) == {"a": 1}
        STORE.put(conn, "a", {"n": 3}, "bob", 3)
    assert listed(tables) == [(3, True), (2, False), (1, False)]
    with tables.write() as conn:
        STORE.publish(conn, "a", 2, '"3"')
        assert STORE.fetch(conn, "a").doc == {"n": 2}
        STORE.delete(conn, "a", "bob", 4)
        assert STORE.get(conn, "a") is None
    assert listed(tables) == [(4, False), (3, False), (2, False), (1, False)]


def test_what_cannot_be_published_leaves_all_as_it_was(tables: Database) -> None:
    with tables.write() as conn:
        for n in (1, 2):
            STORE.put(conn, "a", {"n": n}, "ann", n)
        STORE.delete(conn, "a", "ann", 3)
        STORE.put(conn, "a", {"n": 4}, "ann", 4)
    for version, if_match, error in (
        (9, None, NotFound),
        (3, None, StateConflict),
        (1, '"1"', PreconditionFailed),
    ):
        with pytest.raises(error), tables.write() as conn:
            STORE.publish(conn, "a", version, if_match)
    assert listed(tables)[0] == (4, True)
