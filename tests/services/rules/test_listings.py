"""The listings of accounts on both databases: after any history they say what the states say, and lists are exact while
they are behind the tiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS
from backbone.migrations import migrate
from schemas.event import Event, from_microseconds
from schemas.profile import Contact, Owner
from schemas.rule import TiersDoc
from schemas.search import searchable, sought
from services.rules.api.account_events import AccountEvents
from services.rules.api.accounts import accounts_router
from services.rules.api.explain import Explainer
from services.rules.engine.account_state import AccountState
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode, encode
from services.rules.storage import listings, queries
from services.rules.storage.revisions import RuleSets
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import accounts
from services.rules.tables import listings as table
from tests.conformance.database.reading import NOW, Reader
from tests.migrated import migrated
from tests.services.rules.test_merging import T0, Merges, ours  # noqa: F401  a fixture

NAMES = st.sampled_from(["a", "globex", "d"])  # partitions 0, 1, 1
WORDS = st.sampled_from(["Acme", "ACNE", "müller", None])
UPDATE = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "tier": st.sampled_from(["high", "low", None]),
        "owner": st.sampled_from([{"email": "Jo@us.test"}, {"email": "kim@US.test"}, None]),
        "domains": st.sampled_from([["acme.test"], []]),
        "attributes": st.sampled_from([{"arr": 5}, {"arr": 50}, {"arr": None}]),
        "contacts": st.lists(st.fixed_dictionaries({"id": st.sampled_from("xy"), "name": WORDS}), max_size=2),
    },
)
HAPPENED = st.one_of(
    st.tuples(NAMES, st.just("account.updated"), UPDATE),
    st.tuples(NAMES, st.just("login"), st.just({})),
    st.tuples(NAMES, st.just("contact.updated"), st.fixed_dictionaries({"id": st.sampled_from("xy"), "name": WORDS})),
    st.tuples(NAMES, st.just("contact.deleted"), st.fixed_dictionaries({"id": st.sampled_from("xy")})),
    st.tuples(NAMES, st.just("account.deleted"), st.just({})),
    st.tuples(NAMES, st.just("account.merged"), st.fixed_dictionaries({"into": NAMES})),
)  # fmt: skip
BY_ARR = TiersDoc.model_validate(
    {"tiers": [{"tier": "high", "where": {"account.attributes.arr": {"gte": 10}}}, {"tier": "tech"}]}
)


def rules_of(db: Database) -> RuleSet:
    with db.read() as conn:
        revision = queries.last_revision(conn)
    return RuleSets(db)(revision)


def is_true(db: Database) -> bool:
    """Whether every account has its row, which says what its state says."""
    rules = rules_of(db)
    with db.read() as conn:
        states = {row.account: (row.seen_at, decode(row.state)) for row in conn.execute(select(accounts))}
        rows = {row.account: listings.Listing(*row) for row in conn.execute(select(table))}
    wanted = {name: listings.row_of(state, rules, seen) for name, (seen, state) in states.items()}
    assert rows == wanted
    return True


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(HAPPENED, min_size=1, max_size=12), st.sets(st.integers(0, 12)), st.booleans())
def test_after_any_history_it_says_what_the_states_say(
    ours: Merges,  # noqa: F811
    happened: list[tuple[str, str, dict[str, Any]]],
    deaths: set[int],
    retiered: bool,
) -> None:
    for place, (account, type_, data) in enumerate(happened):
        if type_ == "account.merged" and data["into"] == account:
            continue
        ours.posted += 1
        contact = data.get("id") if type_.startswith("contact.") else None
        event = Event(
            type=type_, account=account, contact=contact, id=f"h{ours.posted}", source="t", data=data
        )
        event.time = from_microseconds(T0 + ours.posted * 60_000_000)
        ours.post(event)
        if place in deaths:
            ours.catch_up()
            ours.die()
    ours.catch_up()
    if retiered:
        saver = RuleRepository(ours.db, ours.log, ours.clock)
        saver.run(lambda conn: saver.tiers(conn, BY_ARR, None, "t"))
        ours.catch_up()
    listings.refresh(ours.db, lambda: rules_of(ours.db))
    assert is_true(ours.db)
    assert ours.log.end_offsets(EVENTS)


# -- lists

PEOPLE = ["Jo@us.test", "kim@us.test", None]
ACCOUNT = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Acme 100% GmbH", "acme_100", "Straße AG", "STRASSE", None]),
        "owner": st.sampled_from(PEOPLE),
        "tier": st.sampled_from(["high", "low", None]),
        "contact": st.sampled_from(["Ann@acme.test", "bob\\@x.test", None]),
        "closed": st.integers(0, 5).map(lambda n: n == 0),
        "row": st.sampled_from(["right", "right", "old", "unknown"]),
    }
)
ASKED = st.fixed_dictionaries(
    {
        "limit": st.integers(1, 3),
        "q": st.sampled_from(
            [None, "ACME", "100%", "%", "_", "e_1", "\\", "strasse", "STRAßE", "ann@", "x.TEST", "t-1"]
        ),
        "owner": st.sampled_from([None, "jo@US.test", "kim@us.test", "nobody@us.test"]),
        "tier": st.sampled_from([None, "high", "low", "tech"]),
    }
)


@pytest.fixture
def reader(ours: Merges, tmp_path: Path) -> Iterator[Reader]:  # noqa: F811
    made = reader_of(ours.db, tmp_path / "lists")
    yield made
    made.close()


def reader_of(db: Database, folder: Path) -> Reader:
    explainer = Explainer(db, ManualClock(NOW), wall=True, partition_of=lambda _: 0, unhealthy=lambda _: None)
    return Reader(db, folder, accounts_router(db, explainer, AccountEvents(db, None, wall=True)))  # type: ignore[arg-type]


def state_of(number: int, row: dict[str, Any]) -> AccountState:
    state = AccountState(f"T-{number}")
    profile = state.profile
    profile.name, profile.tier = row["name"], row["tier"]
    profile.owner = None if row["owner"] is None else Owner(email=row["owner"])
    if row["contact"] is not None:
        profile.contacts["c"] = Contact(id="c", email=row["contact"])
    return state


def stored(state: AccountState, seen_at: int, into: str | None = None) -> queries.AccountRow:
    return queries.AccountRow(state.account, 0, seen_at, None, into, encode(state), 0, 0, 0)


def fits(number: int, row: dict[str, Any], asked: dict[str, Any]) -> bool:
    texts = [f"T-{number}", row["name"], row["contact"], "c" if row["contact"] else None]
    return (
        not row["closed"]
        and asked["tier"] in (None, row["tier"] or "tech")
        and (asked["owner"] is None or asked["owner"].lower() == (row["owner"] or "").lower())
        and (asked["q"] is None or any(asked["q"].casefold() in text.casefold() for text in texts if text))
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ACCOUNT, max_size=9), asked=ASKED)
def test_lists_are_exact_whatever_the_rows_are_by(
    reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    rules, made, told = rules_of(reader.db), [], []
    for number, row in enumerate(rows):
        state = state_of(number, row)
        into = "other" if row["closed"] else None
        made.append(stored(state, NOW + number // 2, into))
        entry = listings.row_of(state, rules, NOW + number // 2)
        if row["row"] == "old":
            entry = entry._replace(tier="high", tiers=rules.tiers_revision - 1)
        elif row["row"] == "unknown":
            entry = entry._replace(text="", owner=None, tier="", tiers=listings.UNKNOWN)
        told.append(entry._asdict())
    with reader.db.write() as conn:
        conn.execute(delete(accounts))
        conn.execute(delete(table))
        queries.save_accounts(conn, made)
        if told:
            conn.execute(insert(table), told)
    wanted = [number for number, row in enumerate(rows) if fits(number, row, asked)]
    wanted.sort(key=lambda number: (number // 2, f"T-{number}"), reverse=True)
    found = [one["id"] for one in reader.whole("/v1/accounts", **asked)]
    assert found == [f"T-{number}" for number in wanted]
    listings.refresh(reader.db, lambda: rules)
    assert [one["id"] for one in reader.whole("/v1/accounts", **asked)] == found


def test_what_no_account_has_is_refused_or_finds_nothing(reader: Reader) -> None:
    ask: Callable[..., Any] = lambda **asked: reader.client.get("/v1/accounts", params=asked)  # noqa: E731
    for wrong in ({"tier": "gold"}, {"owner": "jo"}, {"q": ""}, {"name": "acme"}):
        assert ask(**wrong).status_code == 422, wrong
    for odd in ("'; --", "%" * 256):
        assert ask(q=odd).json()["items"] == [], odd


def test_accounts_of_before_are_found_at_once_and_get_their_rows(
    tmp_path: Path,
) -> None:
    db = Database(f"sqlite:///{tmp_path / 'old.db'}")
    migrated(db, ["backbone"])
    migrate(db, "rules", "r017")
    state = state_of(1, {"name": "Acme", "tier": "high", "owner": "jo@us.test", "contact": None})
    with db.write() as conn:
        queries.save_accounts(conn, [stored(state, NOW)])
    migrate(db, "rules")
    reader = reader_of(db, tmp_path / "log")
    for _ in range(2):
        for asked in ({"q": "acme"}, {"tier": "high"}, {"owner": "jo@us.test"}):
            assert [one["id"] for one in reader.whole("/v1/accounts", limit=5, **asked)] == ["T-1"]
        assert reader.whole("/v1/accounts", limit=5, tier="low") == []
        listings.refresh(db, lambda: rules_of(db))
    assert is_true(db)
    reader.close()
    db.close()


def test_the_worker_has_the_last_word_over_a_refresh(ours: Merges) -> None:  # noqa: F811
    ours.post(("a", "login"))
    ours.catch_up()
    with ours.db.write() as conn:
        conn.execute(update(table).values(tiers=listings.UNKNOWN, text="", tier=None))
    assert listings.refresh(ours.db, lambda: rules_of(ours.db)) == 1
    assert listings.refresh(ours.db, lambda: rules_of(ours.db)) == 0
    assert is_true(ours.db)


@given(st.lists(st.text(), max_size=4), st.text(min_size=1))
def test_a_text_is_found_exactly_where_it_stands(texts: list[str], q: str) -> None:
    wanted = any(sought(q) in sought(text) for text in texts)
    assert (sought(q) in searchable(texts)) == wanted
