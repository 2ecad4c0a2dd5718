"""Suppressions: hashed, per topic, outliving erasure, and never overtaken by a send."""

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from schemas.addresses import normal
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import suppressions
from services.actions.storage.suppressions import Hasher
from services.actions.tables import actions
from tests.services.delivery.kit import HASHER, PATIENCE_S, Fake, House


def suppress(house: House, address: str, topic: str = "") -> None:
    """As the API does it."""

    def act(conn: Connection) -> None:
        suppressions.add(conn, HASHER.digest(address), topic, normal(address), "by_hand", 1)

    suppressions.once_quiet(house.db, HASHER, HASHER.digest(address), house.clock, act)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@acme.test", " Ann@ACME.test "),
        ("ann@bücher.test", "ann@xn--bcher-kva.test"),
        ("a\u0308nn@acme.test", "änn@acme.test"),
    ],
)
def test_one_address_has_one_digest(one: str, other: str) -> None:
    assert HASHER.digest(one) == HASHER.digest(other)
    assert len(HASHER.digest(one)) == 40


def test_digests_hang_on_the_key() -> None:
    assert Hasher(b"one key").digest("a@b.test") != Hasher(b"another").digest("a@b.test")


@pytest.mark.parametrize("topic", ["", "billing"])
def test_a_suppressed_address_gets_no_mail(house: House, topic: str) -> None:
    suppress(house, "ANN@acme.test", topic)
    house.put("act_1", topic="billing")
    house.put("act_2", topic="lifecycle")
    house.put("act_3", channel="webhook", recipient="ann@acme.test")
    channel = Fake()
    house.loop(email=channel, webhook=Fake())
    house.settled()
    assert house.states()["act_1"] == ("skipped", "suppressed")
    assert house.states()["act_2"][0] == ("skipped" if topic == "" else "done")
    assert house.states()["act_3"][0] == "done"
    assert "act_1" in channel.dropped


def test_the_hash_outlives_the_address(house: House) -> None:
    suppress(house, "Ann@acme.test")
    with house.db.write() as conn:
        suppressions.forget(conn, ["ann@ACME.test", None])
    assert house.suppressed() == [(None, "", "by_hand")]
    house.put("act_1")
    house.loop(email=Fake())
    house.settled()
    assert house.states()["act_1"] == ("skipped", "suppressed")


def test_lifting_one_topic_or_all(house: House) -> None:
    for topic in ("", "a", "b"):
        suppress(house, "ann@acme.test", topic)
    with house.db.write() as conn:
        assert suppressions.remove(conn, HASHER.digest("ann@acme.test"), "a") == 1
        assert suppressions.remove(conn, HASHER.digest("ann@acme.test"), None) == 2


def test_a_suppression_waits_for_the_send_under_way(house: House) -> None:
    free, begun = threading.Event(), threading.Event()

    async def send(action: Leased) -> Outcome:
        begun.set()
        await asyncio.to_thread(free.wait)
        return Outcome(kind="done")

    house.put("act_1")
    house.loop(email=Fake(send))
    begun.wait(30)
    with ThreadPoolExecutor(1) as pool:
        suppressing = pool.submit(suppress, house, "ann@acme.test")
        suppress(house, "bob@acme.test")  # nobody else waits
        assert not suppressing.done()
        assert house.suppressed() == [("bob@acme.test", "", "by_hand")]
        free.set()
        suppressing.result(30)
    assert house.states()["act_1"][0] == "done"


def test_a_send_that_hangs_holds_no_suppression_for_ever(house: House, monkeypatch: Any) -> None:
    house.put("act_1", attempting=True, lease_owner="me", lease_until=2**60)

    def act(conn: Connection) -> bool:
        return suppressions.add(conn, HASHER.digest("ann@acme.test"), "", None, "by_hand", 1)

    digest = HASHER.digest("ann@acme.test")
    assert suppressions.once_quiet(house.db, HASHER, digest, house.clock, act, wait=0.1)


def race(
    house: House, sends: int, people: int, loops: int, *, seed: int = 7, patience: float = PATIENCE_S
) -> None:
    """Mails to many people, half of whom unsubscribe meanwhile. `make chaos` runs it at full size."""
    began: list[tuple[str, float]] = []
    committed: dict[str, float] = {}

    async def send(action: Leased) -> Outcome:
        began.append((action.recipient or "", time.monotonic()))
        await asyncio.sleep(random.random() / 500)
        return Outcome(kind="done")

    def leave(person: int) -> None:
        address = f"p{person}@acme.test"
        digest = HASHER.digest(address)

        def act(conn: Connection) -> None:
            suppressions.add(conn, digest, "", None, "unsubscribed", 1)
            committed[address] = time.monotonic()  # just before the commit

        suppressions.once_quiet(house.db, HASHER, digest, house.clock, act)

    order = random.Random(seed)
    recipients = [{"recipient": f"p{order.randrange(people)}@acme.test"} for _ in range(sends)]
    house.put(*(f"act_{at}" for at in range(sends)), each=recipients)
    leavers = order.sample(range(people), people // 2)
    for _ in range(loops):
        house.loop(alone=False, email=Fake(send))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(leave, leavers))

    def all_done() -> bool:
        with house.db.write() as conn:
            conn.execute(update(actions).where(actions.c.next_attempt_at > 1).values(next_attempt_at=1))
            left = conn.scalar(select(func.count()).where(actions.c.status.in_(["pending", "retrying"])))
        for loop in house.loops:
            loop.wake()
        return not left

    house.until(all_done, patience)
    assert len(committed) == people // 2
    assert [(who, at) for who, at in began if at > committed.get(who, at)] == []
    assert len(began) + sum(reason == "suppressed" for _, reason in house.states().values()) == sends


def test_no_send_overtakes_a_suppression(house: House) -> None:
    race(house, sends=600, people=60, loops=1)


@pytest.mark.postgres
def test_no_send_overtakes_a_suppression_across_processes(tmp_path: Path, fresh_postgres_url: str) -> None:
    house = House(tmp_path, "postgresql+psycopg" + fresh_postgres_url[fresh_postgres_url.index(":") :])
    try:
        race(house, sends=300, people=40, loops=2)
    finally:
        house.close()
