"""Erasure while delivery and people write about the same actions: nothing of them stays."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, Batch
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import attempts as store
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.erasure import ToErase, erase
from services.actions.tables import actions, attempts, outbox
from tests.services.delivery.kit import HASHER, House
from tests.services.leases import lease_due

WHOLE = ToErase("acme", None, ["ann@acme.test"])
PERSON = ToErase("acme", "ann", ["ann@acme.test"])


@pytest.fixture
def shared(tmp_path: Path, fresh_postgres_url: str) -> Iterator[House]:
    """A house on PostgreSQL, where several write at once."""
    made = House(tmp_path, "postgresql+psycopg" + fresh_postgres_url[fresh_postgres_url.index(":") :])
    yield made
    made.close()


def erased(house: House, erasure: ToErase) -> None:
    with house.db.write() as conn:
        erase(conn, erasure, house.clock.now())


@contextmanager
def meanwhile(house: House, write: Callable[[Connection], Any], erasure: ToErase) -> Iterator[None]:
    """`write` has been done and is not committed when the erasure begins."""
    with ThreadPoolExecutor(1) as pool:
        with house.db.write() as conn:
            write(conn)
            erasing = pool.submit(erased, house, erasure)
            house.until(lambda: erasing.done() or waits(house))
        erasing.result(30)
        yield


def waits(house: House) -> bool:
    with house.db.read() as conn:
        return bool(conn.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


@pytest.mark.postgres
@pytest.mark.parametrize("erasure", [WHOLE, PERSON])
def test_an_attempt_that_begins_meanwhile_goes_too(shared: House, erasure: ToErase) -> None:
    shared.put("act_1")
    with shared.db.write() as conn:
        lease_due(conn, shared.clock.now(), "me", 10)

    def begin(conn: Connection) -> None:
        assert store.start_attempts(conn, ["act_1"], "me", shared.clock.now()) == {"act_1": 1}

    with meanwhile(shared, begin, erasure):
        assert [shared.rows(table) for table in (actions, attempts)] == [[], []]


@pytest.mark.postgres
@pytest.mark.parametrize("erasure", [WHOLE, PERSON])
def test_a_bounce_that_is_written_meanwhile_keeps_no_address(shared: House, erasure: ToErase) -> None:
    shared.put("act_1")
    recorder = AttemptWriter("me", HASHER, 2, log_clock=False)
    with shared.db.write() as conn:
        (action,) = recorder.write(conn, Batch(lease=Wanted(10)), shared.clock.now()).leased
        recorder.write(conn, Batch(begins=[action]), shared.clock.now())

    def bounce(conn: Connection) -> None:
        gone = Outcome(kind="permanent", reason="bounced", detail="550 5.1.1 ann@acme.test")
        recorder.write(conn, Batch(ends=[AttemptEnd(action, 1, gone)]), shared.clock.now())

    with meanwhile(shared, bounce, erasure):
        assert shared.suppressed() == [(None, "", "bounced")]
        assert [shared.rows(table) for table in (actions, attempts)] == [[], []]
    if erasure is WHOLE:
        assert shared.rows(outbox) == []


@pytest.mark.parametrize("erasure", [WHOLE, PERSON])
def test_a_former_address_is_forgotten_too(house: House, erasure: ToErase) -> None:
    """The contact unsubscribed, and has another address since; the profile knows the new one only."""
    house.put("act_1", recipient="Ann@old.test")
    house.put("act_2", recipient="desk@us.test", contact=None)
    with house.db.write() as conn:
        for address in ("ann@old.test", "ann@acme.test", "desk@us.test"):
            suppressions.add(conn, HASHER.digest(address), "", address, "by_hand", 1)
    erased(house, erasure)
    assert [shown for shown, _, _ in house.suppressed()] == [None, None, "desk@us.test"]
    with house.db.read() as conn:
        assert suppressions.suppressed(conn, [(HASHER.digest("ann@old.test"), "any")])
