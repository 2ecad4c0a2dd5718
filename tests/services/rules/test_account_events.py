"""The events of an account, on the embedded log and SQLite and on Kafka and PostgreSQL: each once, newest first, as far
as the log keeps them, without what was erased."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import Invalid, NotFound
from backbone.log import EVENTS, Entry, Log
from backbone.log.embedded.log import EmbeddedLog
from backbone.web.pagination import Paging, decode_cursor
from schemas.event import Event, encode, from_microseconds
from schemas.rule import RuleIn
from services.rules.api import account_events
from services.rules.api.account_events import AccountEvents, Wanted
from services.rules.engine.state_codec import decode
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import accounts
from services.rules.worker import RulesWorker
from tests.conformance.log.conftest import kafka_twin
from tests.migrated import migrated

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR
WHEN = {"threshold": {"event": "rare", "within": "365d", "at_least": 2}}


class Past:
    """A log of one partition, and what the rules worker made of it."""

    def __init__(self, db: Database, log: Log) -> None:
        self.db, self.log = db, log
        migrated(db)
        saver = RuleRepository(db, log, ManualClock(T0))
        rule = RuleIn.model_validate({"name": "rare", "status": "active", "when": WHEN})
        saver.run(lambda conn: saver.create(conn, rule, "test"))
        self.worker = RulesWorker(db, log, ManualClock(T0), clock_mode="log")
        self.worker.join()
        self.events = AccountEvents(db, log, wall=False)
        self.count = 0

    def post(self, type_: str = "login", at: int | None = None, account: str = "acme", **fields: Any) -> str:
        """An event; an hour after the one before it unless told. Its id."""
        self.count += 1
        name = fields.pop("id", f"e{self.count}")
        time = from_microseconds(T0 + (self.count * HOUR if at is None else at))
        event = Event(id=name, source="t", type=type_, account=account, time=time, **fields)
        self.log.append(EVENTS, [Entry(key=account, value=encode(event))]).result(30)
        return str(name)

    def judge(self) -> None:
        """Until all is decided."""
        for _ in range(2_000):
            self.worker.run_once()
            tasks, ends = self.worker.tasks, self.log.end_offsets(EVENTS)
            if tasks and all(
                tasks[p].row.next_offset >= end and not tasks[p].dirty for p, end in ends.items()
            ):
                return
        raise AssertionError("it never comes to rest")

    def page(self, limit: int = 100, cursor: str | None = None, account: str = "acme", **wanted: Any) -> Any:
        paging = Paging(limit, None if cursor is None else decode_cursor(cursor))
        return self.events.page(account, Wanted(**wanted), paging)

    def ids(self, limit: int = 1_000, **wanted: Any) -> list[str]:
        """The ids of every page, joined."""
        found, cursor, pages = [], None, 0
        while True:
            page = self.page(limit, cursor, **wanted)
            assert len(page["items"]) <= limit
            found += [item["id"] for item in page["items"]]
            cursor, pages = page["next_cursor"], pages + 1
            if cursor is None:
                return found
            assert pages < 100

    def forgotten(self) -> int:
        """How many of the account's ids its state has forgotten."""
        with self.db.read() as conn:
            state = decode(
                conn.execute(select(accounts.c.state).where(accounts.c.account == "acme")).scalar_one()
            )
        return self.count - len(state.seen)


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def past(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Past]:
    if request.param == "embedded":
        made = Past(Database(f"sqlite:///{tmp_path / 'touchline.db'}"), EmbeddedLog(tmp_path, 1))
    else:
        make: Callable[[], str] = request.getfixturevalue("new_database")
        twin = kafka_twin(request.getfixturevalue("kafka_server").bootstrap_servers)
        made = Past(Database(make().replace("postgresql://", "postgresql+psycopg://")), twin.open(1))
    yield made
    made.worker.stop()
    made.log.close()
    made.db.close()


def test_an_event_as_it_is_shown(past: Past) -> None:
    past.post("login", contact="ann", data={"from": "phone"}, historical=True)
    past.post("ticket.opened", subject="ticket-9", unvouched=True)
    past.judge()
    ticket, item = past.page()["items"]
    assert (ticket["subject"], ticket["unvouched"]) == ("ticket-9", True)
    offset = item["position"].pop("offset")
    assert offset >= 0
    assert item == {
        "id": "e1", "source": "t", "type": "login", "time": "2026-09-21T15:13:20Z", "account": "acme", "contact": "ann",
        "data": {"from": "phone"}, "historical": True, "position": {"partition": 0},
    }  # fmt: skip


def test_a_long_past_is_found_to_its_beginning(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_events, "STRETCH", 50)
    mine = []
    for n in range(300):
        mine.append(past.post("rare" if n % 50 == 0 else "login"))
        past.post("noise", account=f"other{n % 5}")
    past.judge()
    assert past.forgotten() > 50, "the state alone does not know all of them"
    mine.reverse()
    for limit in (7, 100, 1_000):
        assert past.ids(limit) == mine
    assert past.ids(type="rare") == [f"e{n * 2 + 1}" for n in range(250, -1, -50)]
    late = 590 * HOUR
    assert past.ids(after=from_microseconds(T0 + late)) == [f"e{n}" for n in range(599, 590, -2)]
    monkeypatch.setattr(account_events, "LOOKED_THROUGH", 60)
    assert past.ids(1_000) == mine, "also where each page looks through a little only"
    first = past.page(1_000)
    assert first["next_cursor"] is not None


def test_evidence_resolves_however_long_ago_it_was(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = [past.post("rare")]
    for _ in range(300):
        past.post()
    past.judge()
    monkeypatch.setattr(
        account_events._Reading, "_before", None
    )  # nothing is looked for: it is known where it lies
    assert past.ids(id=evidence[0]) == evidence
    assert [item["type"] for item in past.page(id="e1")["items"]] == ["rare"]


def test_an_unknown_id_is_looked_for_and_not_found(past: Past) -> None:
    for _ in range(100):
        past.post()
    past.judge()
    assert past.ids(id="nothing") == []
    assert past.ids(id="e2") == ["e2"]


def test_repeats_and_others_are_not_shown(past: Past) -> None:
    past.post(id="same", at=HOUR)
    past.post(id="same", at=HOUR)
    past.post(account="acme/2")
    past.log.append(EVENTS, [Entry(key="acme", value=b"no event")]).result(30)
    past.judge()
    assert past.ids() == ["same"]
    assert past.ids(account="acme/2") == ["e3"]


def test_an_erased_account_and_what_comes_after(past: Past) -> None:
    for _ in range(3):
        past.post()
    past.post("account.deleted")
    past.judge()
    with pytest.raises(NotFound):
        past.page()
    again = past.post()
    past.judge()
    assert past.ids() == [again]
    old = past.page(cursor=None)
    assert old["next_cursor"] is None
    for _ in range(100):
        past.post()
    past.judge()
    assert past.ids()[-1] == again, "also once its state has forgotten where that was"


def test_events_of_an_erased_contact_are_not_shown(past: Past) -> None:
    both = {"contacts": [{"id": "ann", "email": "ann@acme.test"}, {"id": "bob", "email": "bob@acme.test"}]}
    past.post("account.updated", data=both)
    past.post("login", contact="ann")
    bobs = past.post("login", contact="bob")
    past.post("contact.updated", contact="ann", data={"name": "Ann"})
    past.post("contact.deleted", contact="ann")
    back = past.post("login", contact="ann")
    past.judge()
    assert past.ids() == [back, "e5", bobs, "e1"]
    (update,) = past.page(type="account.updated")["items"]
    assert update["data"] == {"contacts": both["contacts"][1:]}
    for _ in range(100):
        past.post()
    past.judge()
    assert "e2" not in past.ids()
    assert past.ids(id="e2") == []
    assert "ann@acme" not in str(past.page(1_000)["items"])


def test_a_cursor_of_another_list_is_refused(past: Past) -> None:
    past.post()
    past.judge()
    for place in (["x"], [1, 2]):
        with pytest.raises(Invalid):
            past.events.page("acme", Wanted(), Paging(10, tuple(place)))
