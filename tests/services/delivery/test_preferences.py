"""What readers stop and come back to by the page, and that a page lifts only what a page did."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from backbone.database import Database
from backbone.migrations import migrate
from services.actions.storage import preferences, suppressions
from services.actions.storage.library import TOPICS
from services.actions.storage.preferences import Choice, Reader
from services.actions.storage.suppressions import ALL_TOPICS, Origin
from services.actions.tables import actions, topic_returns
from services.actions.tables import suppressions as table
from tests.services.delivery.kit import HASHER, House

ANN = Reader(HASHER.digest("ann@acme.test"), "Ann@acme.test", "billing")
NAMES = ("billing", "news", "lifecycle")


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("preferences"))
    yield house
    house.close()


@pytest.fixture
def house(on_sqlite: House) -> House:
    """One for all tests, emptied for each."""
    with on_sqlite.db.write() as conn:
        for each in (actions, table, topic_returns):
            conn.execute(delete(each))
        for stored in TOPICS.all(conn):
            TOPICS.delete(conn, stored.name, "test", 0)
    return on_sqlite


def off(house: House) -> set[str]:
    """The topics about which Ann gets nothing, as sends see it."""
    with house.db.read() as conn:
        found = suppressions.suppressed(conn, ((ANN.digest, name) for name in NAMES))
        for name in NAMES:
            assert (ANN.digest in suppressions.without_mail(conn, name)) == ((ANN.digest, name) in found)
        shown = {one.name: one.choice for one in preferences.topics_for(conn, ANN)}
    assert all(
        (shown[name] == Choice.ON) == ((ANN.digest, name) not in found) for name in shown if name in NAMES
    )
    return {name for _, name in found}


def do(house: House, what: str, topic: str) -> None:
    with house.db.write() as conn:
        match what:
            case "stop":
                preferences.stop(conn, ANN, topic, 1)
            case "back":
                preferences.come_back(conn, ANN, topic, 2)
            case "lift":
                suppressions.remove(conn, ANN.digest, topic or None)
            case _:
                origin = Origin(what)
                suppressions.add(conn, ANN.digest, topic, "ann@acme.test", what, 3, origin)


def test_stopping_and_coming_back(house: House) -> None:
    do(house, "stop", "billing")
    assert off(house) == {"billing"}
    do(house, "back", "billing")
    assert off(house) == set()
    do(house, "stop", ALL_TOPICS)
    assert off(house) == set(NAMES)
    do(house, "back", "news")
    assert off(house) == {"billing", "lifecycle"}, "and topics that nobody knew of do not begin by themselves"
    do(house, "stop", "news")
    assert off(house) == set(NAMES)
    do(house, "back", ALL_TOPICS)
    assert off(house) == set()


@pytest.mark.parametrize("origin", ["hand", "bounce", "complaint"])
@pytest.mark.parametrize("topic", ["billing", ALL_TOPICS])
@pytest.mark.parametrize("first", [True, False])
def test_a_page_lifts_only_what_a_page_did(house: House, origin: str, topic: str, first: bool) -> None:
    """Whoever came first, and whatever is asked for."""
    for what in (origin, "stop") if first else ("stop", origin):
        do(house, what, topic)
    before = off(house)
    for back in ("billing", "news", ALL_TOPICS):
        do(house, "back", back)
    assert off(house) == before
    do(house, "lift", ALL_TOPICS)
    assert off(house) == set()


CHANGES = st.tuples(
    st.sampled_from(["stop", "stop", "back", "back", "hand", "bounce", "lift"]), st.sampled_from(["", *NAMES])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(changes=st.lists(CHANGES, max_size=8))
def test_it_is_what_two_lists_would_say(house: House, changes: list[tuple[str, str]]) -> None:
    """What the page did, with the returns from a stop of all, and what others did: kept apart, slow and obvious."""
    with house.db.write() as conn:
        conn.execute(delete(table))
        conn.execute(delete(topic_returns))
    page: set[str] = set()
    others: set[str] = set()
    returns: set[str] = set()
    for what, topic in changes:
        do(house, what, topic)
        if what == "stop":
            returns = returns - {topic} if topic else set()
            page |= {topic} - others
        elif what == "back" and topic:
            page.discard(topic)
            returns |= {topic} if "" in page else set()
        elif what == "back":
            page, returns = set(), set()
        elif what == "lift":
            page, others, returns = (
                (page - {topic}, others - {topic}, returns) if topic else (set(), set(), set())
            )
        else:
            page.discard(topic)
            others.add(topic)
    gone = {
        name for name in NAMES if {name, ""} & others or name in page or ("" in page and name not in returns)
    }
    assert off(house) == gone


def test_the_page_lists_what_has_a_title_and_what_came(house: House) -> None:
    mails = {"act_1": "lifecycle", "act_2": "secret", "act_3": "never-tried"}
    for action, topic in mails.items():
        tried = {"status": "done", "attempts": 1} if topic != "never-tried" else {}
        whose = {"recipient": "bob@acme.test"} if topic == "secret" else {}
        house.put(action, topic=topic, addressee=whose.get("recipient", "ann@acme.test"), **tried, **whose)
    with house.db.write() as conn:
        TOPICS.put(conn, "news", {"title": "A title", "description": "What it is"}, "test", 0)
        preferences.stop(conn, ANN, "gone-by-now", 1)
        listed = preferences.topics_for(conn, ANN)
    assert [(one.name, one.title, one.description, one.choice.value) for one in listed] == [
        ("billing", "billing", None, "on"),  # the mail's own comes first
        ("news", "A title", "What it is", "on"),
        ("gone-by-now", "gone-by-now", None, "off"),
        ("lifecycle", "lifecycle", None, "on"),
    ]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_yesterdays_suppressions_get_their_origin(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'touchline.db'}"
    if kind == "postgresql":
        new: Callable[[], str] = request.getfixturevalue("new_database")
        url = new().replace("postgresql://", "postgresql+psycopg://")
    db = Database(url)
    try:
        migrate(db, "actions", "a045")
        names = ("address", "topic", "shown", "reason", "created_at")
        old = sa.Table("actions_suppressions", sa.MetaData(schema="actions"), *map(sa.Column, names))
        reasons = ("unsubscribed", "bounced", "by_hand", "asked by phone")
        with db.write() as conn:
            rows = [
                {"address": reason, "topic": "", "shown": None, "reason": reason, "created_at": 1}
                for reason in reasons
            ]
            conn.execute(sa.insert(old), rows)
        migrate(db, "actions")
        with db.read() as conn:
            found: Any = conn.execute(sa.select(table.c.reason, table.c.origin)).all()
        assert dict(map(tuple, found)) == {
            "unsubscribed": "page", "bounced": "bounce", "by_hand": "hand", "asked by phone": "hand",
        }  # fmt: skip
        with db.write() as conn:
            reader = Reader("unsubscribed", None, "billing")
            preferences.come_back(conn, reader, ALL_TOPICS, 1)
            assert not suppressions.suppressed(conn, [("unsubscribed", "billing")])
    finally:
        db.close()
