"""The sending switch: once it is off, no send begins in any process, and everything goes on when it is on again."""

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backbone import notices
from backbone.audit import AuditTrail
from schemas.notices import NoticeKind
from services.actions.delivery import sending_switch
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.status import shown_switch
from services.actions.storage import sending
from services.actions.tables import actions, attempts
from services.actions.tables import sending as table
from tests.services.delivery.kit import PATIENCE_S, Fake, House
from tests.services.delivery.test_service import Running

WAITS = ("pending", "sending_off")
MIXED = [{"channel": "email"}, {"channel": "webhook", "recipient": "crm"}]


def turn(house: House, *, off: bool, reason: str | None = None) -> sending.Sending:
    trail = AuditTrail(house.clock, "actions", "jo", "PUT")
    return sending_switch.turn(house.db, house.clock, trail, off=off, reason=reason)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A house on either database."""
    url = ""
    if request.param == "postgresql":
        given = str(request.getfixturevalue("fresh_postgres_url"))
        url = "postgresql+psycopg" + given[given.index(":") :]
    made = House(tmp_path, url)
    yield made
    made.close()


def states(house: House) -> dict[tuple[str, str | None], int]:
    """How many actions are in each status, with each reason."""
    query = select(actions.c.status, actions.c.reason, func.count()).group_by(
        actions.c.status, actions.c.reason
    )
    with house.db.read() as conn:
        return {(status, reason): count for status, reason, count in conn.execute(query)}


def begun(house: House) -> int:
    """How many attempts have begun."""
    with house.db.read() as conn:
        return conn.scalar(select(func.count()).select_from(attempts)) or 0


def switch_under_load(
    house: House, tries: int, loops: int, *, each: int = 40, seed: int = 7, patience: float = PATIENCE_S
) -> int:
    """Switch off in the middle of sends, again and again; returns how many waited. `make chaos` tries 200 times."""
    chance = random.Random(seed)
    waited = 0

    async def send(_: Leased) -> Outcome:
        await asyncio.sleep(chance.random() / 200)
        return Outcome(kind="done")

    channels = [Fake(send) for _ in range(2 * loops)]
    for channel in channels:
        channel.concurrency = channel.per_key = 4  # so that some are begun and some are not
    for one in range(loops):
        house.loop(alone=False, email=channels[2 * one], webhook=channels[2 * one + 1])

    def sent() -> int:
        return sum(len(one.sent) for one in channels)

    def wake() -> None:
        for loop in house.loops:
            loop.wake()

    for number in range(tries):
        before = sent()
        house.put(*(f"act_{number}_{at}" for at in range(each)), each=MIXED * (each // 2))
        wake()
        house.until(lambda least=before + chance.randrange(each // 2): sent() >= least, patience)  # type: ignore[misc]
        turn(house, off=True)
        at_answer = begun(house), sent()
        wake()
        house.until(lambda: set(states(house)) <= {("done", None), WAITS}, patience)
        assert (begun(house), sent()) == at_answer
        waited += states(house).get(WAITS, 0)
        turn(house, off=False)
        wake()
        house.until(lambda: set(states(house)) == {("done", None)}, patience)
    times = Counter(action for one in channels for action in one.sent)
    assert set(times.values()) == {1}
    assert len(times) == tries * each
    return waited


def test_no_send_begins_after_the_answer(either: House) -> None:
    loops = 3 if either.db.dialect == "postgresql" else 2
    assert switch_under_load(either, tries=4, loops=loops) > 0


def test_what_is_leased_and_not_begun_does_not_leave(either: House) -> None:
    """Its connection is open, its message built; then sending goes off."""
    free = asyncio.Event()

    class Slow(Fake):
        async def prepare(self, action: Leased) -> Any:
            ready = await super().prepare(action)
            while not free.is_set():
                await asyncio.sleep(0.001)
            return ready

    channel = Slow()
    either.put("act_1", "act_2")
    either.loop(alone=False, email=channel)
    either.until(lambda: len(channel.prepared) == 2)
    turn(either, off=True)
    assert either.states() == {"act_1": WAITS, "act_2": WAITS}
    assert {row.lease_owner for row in either.rows(actions)} == {None}  # fenced
    free.set()
    either.until(lambda: len(channel.dropped) == 2)
    assert channel.sent == []
    assert either.rows(attempts) == []
    turn(either, off=False)
    either.loops[0].wake()
    either.until(lambda: either.states() == {"act_1": ("done", None), "act_2": ("done", None)})
    assert sorted(channel.sent) == ["act_1", "act_2"]


CHILD = """
import signal, sys, threading, time
from pathlib import Path
from services.actions.storage import attempts
from tests.services.delivery.kit import Fake, House
where, url, point = sys.argv[1:]
class Told(Fake):
    async def prepare(self, action):
        ready = await super().prepare(action)
        if point == "prepared":
            print("frozen", flush=True)
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # here and now, not a moment later
        return ready
begin = attempts.start_attempts
def stopped(conn, ids, owner, now, **options):
    begun = begin(conn, ids, owner, now, **options)
    if point == "beginning" and begun:
        print("frozen", flush=True)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # here and now, not a moment later
    return begun
attempts.start_attempts = stopped
house, channel = House(Path(where), url), Told()
house.loop(alone=False, email=channel)
while True:
    if channel.sent or channel.dropped:
        print("sent" if channel.sent else "dropped", flush=True)
        break
    time.sleep(0.01)
time.sleep(600)
"""


@pytest.mark.postgres
@pytest.mark.parametrize("point", ["prepared", "beginning"])
def test_a_frozen_worker_sends_nothing_when_it_thaws(
    tmp_path: Path, fresh_postgres_url: str, point: str
) -> None:
    """Frozen between its lease and the beginning, or in the transaction of the beginning, whose lock it keeps."""
    url = "postgresql+psycopg" + fresh_postgres_url[fresh_postgres_url.index(":") :]
    house = House(tmp_path, url)
    house.put("act_1")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), url, point],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "frozen\n"
        assert turn(house, off=True).off
        assert house.states() == {"act_1": WAITS}
        child.send_signal(signal.SIGCONT)
        assert child.stdout.readline() == "dropped\n"
        assert house.rows(attempts) == []
        assert house.states() == {"act_1": WAITS}
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
        house.close()


def test_an_attempt_whose_commit_was_not_heard_of_is_not_sent(house: House) -> None:
    """It stands in the database; its process asks again, and learns that sending is off."""
    house.put("act_1", attempts=1, attempting=True, lease_owner="me", lease_until=2**60)
    with house.db.write() as conn:
        conn.execute(attempts.insert().values(action="act_1", n=1, started_at=1))
        assert sending.refuse(conn, ["act_1"], "somebody else") == []
        assert sending.refuse(conn, ["act_1"], "me") == ["act_1"]
    assert house.states() == {"act_1": WAITS}


@pytest.mark.parametrize(("idempotent", "state"), [(False, ("uncertain", "maybe_delivered")), (True, WAITS)])
def test_what_was_on_the_wire_of_a_dead_process(
    house: House, idempotent: bool, state: tuple[str, str]
) -> None:
    """A mail in doubt is recorded as such, and a webhook is repeated only once sending is on."""
    house.put("act_1", attempts=1, attempting=True, lease_owner="dead", lease_until=1)
    with house.db.write() as conn:
        conn.execute(attempts.insert().values(action="act_1", n=1, started_at=1))
    turn(house, off=True)
    channel = Fake(idempotent=idempotent)
    house.loop(email=channel)
    house.until(lambda: house.states()["act_1"] == state)
    assert channel.sent == []
    turn(house, off=False)
    house.loops[0].wake()
    house.until(lambda: house.states()["act_1"] == (state if not idempotent else ("done", None)))
    assert channel.sent == (["act_1"] if idempotent else [])


def test_a_retry_that_falls_due_waits_and_its_schedule_goes_on_afterwards(house: House) -> None:
    house.put("act_1", status="retrying", attempts=3, reason="deferred")
    turn(house, off=True)
    channel = Fake(lambda _: Outcome(kind="temporary", reason="deferred"))
    house.loop(email=channel)
    house.until(lambda: house.states()["act_1"] == WAITS)
    assert channel.sent == []
    turn(house, off=False)
    house.loops[0].wake()
    house.until(lambda: house.states()["act_1"] == ("retrying", "deferred"))
    assert [row.attempts for row in house.rows(actions)] == [4]


def test_a_play_that_exits_takes_what_waits_with_it(house: House) -> None:
    """As before: a long stop ends in no burst of mails that nobody wants any more."""
    house.put("act_1", attempts=1, status="retrying", play_status="exited")
    turn(house, off=True)
    turn(house, off=False)
    channel = Fake()
    house.loop(email=channel)
    house.until(lambda: house.states()["act_1"] == ("skipped", "play_exited"))
    assert channel.sent == []


def test_turned_twice_it_is_turned_once(either: House) -> None:
    assert not turn(either, off=False).off
    first = turn(either, off=True, reason="prices")
    assert (first.off, first.by, first.reason) == (True, "jo", "prices")
    assert turn(either, off=True) == first
    assert turn(either, off=True, reason="other").at == first.at
    assert len(either.rows(table)) == 1
    with either.db.read() as conn:
        (notice,) = notices.open_notices(conn, NoticeKind.SENDING_OFF)
    assert "prices" in notice.detail
    turn(either, off=False, reason="mended")
    with either.db.read() as conn:
        assert notices.open_notices(conn, NoticeKind.SENDING_OFF) == []
        assert shown_switch(sending.current(conn))["reason"] == "mended"


@pytest.mark.parametrize(
    ("since", "until", "off"),
    [(0, 100, 80), (0, 5, 0), (15, 25, 5), (12, 18, 6), (20, 30, 0), (35, 200, 165), (0, 10, 0)],
)
def test_how_long_it_was_off(house: House, since: int, until: int, off: int) -> None:
    """Off from 10 to 20, from 30 to 40, and from 40 on."""
    with house.db.write() as conn:
        for begin, end in ((10, 20), (30, 40), (40, None)):
            conn.execute(table.insert().values(off_at=begin, off_by="jo", on_at=end))
        found = sending.off_time(conn, since, until)
    slow = sum(10 <= at < 20 or at >= 30 for at in range(since, until))
    assert found == slow == off


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def test_over_the_api(running: Running) -> None:
    """Tasks are made, mails and webhooks wait; the status says so, and is ready and idle."""
    running.set_up()
    assert running.client.get("/v1/sending").json() == {
        "status": "on",
        "reason": None,
        "by": None,
        "at": None,
        "sentence": "Sending is on.",
    }
    said = running.client.put("/v1/sending", json={"status": "off", "reason": "wrong prices"})
    assert said.status_code == 200
    assert (said.json()["status"], said.json()["by"]) == ("off", "tester")
    assert said.json() == running.client.get("/v1/sending").json()
    running.fire()
    running.until(
        lambda: (
            sorted((one["channel"], one["status"], one["reason"]) for one in running.actions())
            == [("email", *WAITS), ("task", "done", None), ("webhook", *WAITS)]
        )
    )
    waiting = running.client.get("/v1/actions?reason=sending_off").json()["items"]
    assert {one["sentence"] for one in waiting} == {"Sending is off; this waits until it is on again."}
    status = running.client.get("/v1/status").json()["services"]["actions"]
    assert (status["due"], status["sending"]) == (0, said.json())
    assert running.client.get("/readyz").status_code == 200
    assert "touchline_sending_off 1.0" in running.client.get("/metrics").text
    assert running.mails() == []
    assert running.hooks.requests == []
    assert running.client.put("/v1/sending", json={"status": "on"}).json()["status"] == "on"
    running.until(lambda: [one["status"] for one in running.actions()] == ["done"] * 3)
    assert (len(running.mails()), len(running.hooks.requests)) == (1, 1)
    running.until(lambda: "touchline_sending_off 0.0" in running.client.get("/metrics").text)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"status": "of"}, "status"),
        ({"status": "off", "why": "x"}, "why"),
        ({"status": "off", "reason": ""}, "reason"),
    ],
)
def test_a_body_that_is_none_changes_nothing(running: Running, body: dict[str, Any], field: str) -> None:
    said = running.client.put("/v1/sending", json=body)
    assert said.status_code == 422
    assert [one["field"] for one in said.json()["errors"]] == [field]
    assert running.client.get("/v1/sending").json()["status"] == "on"


def test_a_backlog_beyond_one_transaction_waits_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PARKED", 10)
    monkeypatch.setattr(sending.park, "__defaults__", (10,))
    monkeypatch.setattr(sending.unpark, "__defaults__", (10,))
    house.put(*(f"act_{at}" for at in range(45)))
    turn(house, off=True)
    assert sum(state == WAITS for state in house.states().values()) == 10
    channel = Fake()
    house.loop(email=channel)
    house.until(lambda: set(house.states().values()) == {WAITS})
    turn(house, off=False)
    assert set(house.states().values()) <= {("pending", None), ("done", None)}
    house.loops[0].wake()
    house.until(lambda: set(house.states().values()) == {("done", None)})
