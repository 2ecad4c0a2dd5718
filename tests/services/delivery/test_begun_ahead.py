"""Webhooks that begin with their lease: no place waits for a commit, and none of them is sent late."""

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from backbone.clock import counted
from schemas.play_reasons import PlayReason
from services.actions.delivery import begun_ahead, sending_switch
from services.actions.delivery.attempt_writer import AttemptWriter, Batch, BatchResult
from services.actions.delivery.group_commit import AttemptGroupCommit
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import holds
from services.actions.storage.due import Wanted
from services.actions.storage.holds import Key
from services.actions.storage.library import ENDPOINTS
from services.actions.tables import actions, attempts, plays
from tests.services.delivery.kit import HASHER, Fake, House
from tests.services.delivery.test_sending import WAITS, either, turn
from tests.unit.channels.helpers import SECRET

__all__ = ["either"]  # the fixture

HOOK: dict[str, Any] = {"channel": "webhook", "recipient": "crm", "rendered": {"body": {}}}
DONE = ("done", None)
CRM = ("webhook", "crm")
MANY = [f"act_{n}" for n in range(10)]
SEVERAL_S = 60.0


class Quick(Fake):
    """An endpoint that answers at once, and not at all while it `hangs`; what was sent stays on the wire then."""

    concurrency, per_key, independent = 300, 5, True

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.hangs = threading.Event()

    def concurrency_key(self, action: Leased) -> str:
        return action.recipient or ""

    async def _answer(self, _: Leased) -> Outcome:
        await asyncio.sleep(0.001)
        while self.hangs.is_set():
            await asyncio.sleep(0.002)
        return Outcome(kind="done")


def fresh(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What has begun may be sent for so long."""
    monkeypatch.setattr("services.actions.delivery.group_commit.FRESH_US", round(seconds * 1_000_000))


def ready(house: House) -> Quick:
    """A loop that knows the endpoint as quick."""
    made = Quick()
    house.put("act_first", **HOOK)
    loop = house.loop(alone=False, webhook=made)
    house.until(lambda: house.states()["act_first"] == DONE)
    house.until(lambda: loop._book.limits[CRM].quick)
    return made


def hung(house: House) -> Quick:
    """Ten webhooks have begun: five are on the wire, where nothing moves, and the others wait for a place."""
    channel, ahead, begun = ready(house), house.loops[0]._ahead, set[str]()
    add = ahead.add

    def noted(given: Any, written: BatchResult) -> None:
        begun.update(written.begun)
        add(given, written)

    ahead.add = noted  # type: ignore[method-assign]
    channel.hangs.set()
    house.put(*MANY, **HOOK)
    house.loops[0].wake()
    house.until(lambda: begun == {*MANY} and len(channel.sent) == 6)
    return channel


def test_a_place_waits_for_no_commit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be committed, all that has begun is sent, one after the other."""
    fresh(monkeypatch, SEVERAL_S)
    channel = hung(house)
    with house.db.write():
        channel.hangs.clear()
        house.until(lambda: len(channel.sent) == 11)
    house.settled()
    assert channel.most == channel.per_key
    assert all(house.attempts(f"act_{n}") == [(1, "done", True)] for n in range(10))


def test_no_more_on_the_wire_than_the_endpoint_takes_and_none_twice(either: House) -> None:
    channel = ready(either)
    either.loop(alone=False, webhook=channel)
    names = [f"act_{n}" for n in range(400)]
    either.put(*names, **HOOK)
    for loop in either.loops:
        loop.wake()
    either.settled()
    assert channel.most <= 2 * channel.per_key  # two processes
    assert Counter(channel.sent) == Counter(["act_first", *names])
    assert {(row.n, row.outcome) for row in either.rows(attempts)} == {(1, "done")}


def test_where_commits_take_long_nothing_begins_ahead_and_all_is_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What began with its lease would be late whenever its commit ends, be given back, and begin anew for ever."""
    fresh(monkeypatch, 0)
    channel = ready(house)
    house.put(*MANY, **HOOK)
    house.loops[0].wake()
    house.settled()
    assert Counter(channel.sent) == Counter(["act_first", *MANY])
    assert {(row.n, row.outcome) for row in house.rows(attempts)} == {(1, "done")}


def test_what_waits_too_long_counts_as_never_begun(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch, 0.3)
    channel = hung(house)
    sent = {*channel.sent} - {"act_first"}
    house.until(lambda: {row.action for row in house.rows(attempts)} == {"act_first", *sent})
    waiting = [row for row in house.rows(actions) if row.id not in {"act_first", *sent}]
    assert {(row.status, row.attempts, row.attempting, row.begun_at) for row in waiting} == {
        ("pending", 0, False, None)
    }
    assert len(channel.sent) == 6
    channel.hangs.clear()
    house.settled()
    assert Counter(channel.sent) == Counter(["act_first", *MANY])
    assert {(row.n, row.outcome) for row in house.rows(attempts)} == {(1, "done")}


def test_after_sending_went_off_none_of_them_is_sent(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not wait for ever for what hangs on the wire; what had begun and waited is gone by then."""
    fresh(monkeypatch, 0.3)
    monkeypatch.setattr(sending_switch, "ANSWER_S", 1.5)
    channel = hung(either)
    turn(either, off=True)
    channel.hangs.clear()
    either.until(lambda: Counter(either.states().values()) == {DONE: 6, WAITS: 5})
    assert len(channel.sent) == len(either.rows(attempts)) == 6
    turn(either, off=False)
    either.loops[0].wake()
    either.settled()
    assert Counter(channel.sent) == Counter(["act_first", *MANY])


def test_after_a_pause_none_of_them_is_sent(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch, 0.3)
    channel = hung(either)
    with either.db.write() as conn:
        holds.lock(conn, (), [holds.ALL])
        holds.pause(conn, Key("playbook", "p"), PlayReason.PAUSED, "by_hand", "jo", either.clock.now())
    begun_ahead.settle(either.db, either.clock, "p")
    channel.hangs.clear()
    either.until(lambda: Counter(either.states().values()) == {DONE: 6, ("pending", None): 5})
    either.until(lambda: Counter(row.parked for row in either.rows(actions)) == {False: 6, True: 5})
    assert len(channel.sent) == len(either.rows(attempts)) == 6


def test_a_pause_waits_for_nothing_else(house: House) -> None:
    """Neither for the webhooks of other playbooks nor for those of dead processes, nor for mails."""
    house.put("act_1", attempting=True, lease_until=2**60, playbook="other", channel="webhook")
    house.put("act_2", attempting=True, lease_until=1, channel="webhook")
    house.put("act_3", attempting=True, lease_until=2**60)
    with house.db.read() as conn:
        assert not holds.begun(conn, "p", house.clock.now())
        assert holds.begun(conn, "other", house.clock.now())


def test_what_has_begun_and_waits_is_sent_when_the_service_stops(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(monkeypatch, SEVERAL_S)
    channel = hung(house)
    stopped = threading.Thread(target=house.loops[0].stop)
    stopped.start()
    channel.hangs.clear()
    stopped.join()
    assert set(house.states().values()) == {DONE}
    assert len(channel.sent) == 11


def test_a_play_that_exits_meanwhile_sends_nothing_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exit leaves alone what has begun; what is given back afterwards is skipped."""
    fresh(monkeypatch, SEVERAL_S)
    channel = hung(house)
    with house.db.write() as conn:
        conn.execute(plays.update().values(status="exited"))
    loop = house.loops[0]
    assert loop._loop is not None
    monkeypatch.setattr(begun_ahead, "counted", lambda: counted() + 2 * round(SEVERAL_S * 1_000_000))
    loop._loop.call_soon_threadsafe(loop._ahead._expire, MANY, counted() + round(SEVERAL_S * 1_000_000))
    exited = ("skipped", "play_exited")
    house.until(lambda: Counter(house.states().values()) == {DONE: 1, exited: 5, ("pending", None): 5})
    channel.hangs.clear()
    house.until(lambda: Counter(house.states().values()) == {DONE: 6, exited: 5})
    assert len(channel.sent) == 6


def write(house: House, **given: Any) -> Any:
    writer = AttemptWriter("me", HASHER, 2, log_clock=False)
    with house.db.write() as conn:
        return writer.write(conn, Batch(**given), house.clock.now())


LEASE = Wanted(10, begin={("webhook", "crm")})


@pytest.mark.parametrize(("rate", "begun"), [(None, {"act_1": 1}), (5, {})])
def test_where_there_is_a_rate_a_lease_begins_nothing(
    house: House, rate: float | None, begun: dict[str, int]
) -> None:
    with house.db.write() as conn:
        ENDPOINTS.put(conn, "crm", {"url": "http://crm.test/", "secret": SECRET, "rate": rate}, "test", 1)
    house.put("act_1", **HOOK)
    written = write(house, lease=LEASE)
    assert [one.id for one in written.leased] == ["act_1"]
    assert written.begun == begun
    assert written.targets["crm"].url == "http://crm.test/"


def test_only_what_was_asked_for_begins(house: House) -> None:
    """Not another endpoint's, not a mail, and not one whose process died in an attempt: that is recorded first."""
    house.put("act_1", "act_2", **HOOK)
    house.put("act_3", **HOOK | {"recipient": "other"})
    house.put("act_4", recipient="crm")
    house.put("act_5", **HOOK, attempting=True, attempts=1, lease_until=1)
    written = write(house, lease=LEASE)
    assert len(written.leased) == 5
    assert written.begun == {"act_1": 1, "act_2": 1}


def given_back(house: House, owner: str = "me") -> None:
    writer = AttemptWriter(owner, HASHER, 2, log_clock=False)
    with house.db.write() as conn:
        writer.write(conn, Batch(unsent=["act_1"]), house.clock.now())


def test_a_retry_that_is_given_back_keeps_what_was_before(house: House) -> None:
    house.put("act_1", **HOOK, status="retrying", reason="deferred", attempts=1, begun_at=7)
    with house.db.write() as conn:
        conn.execute(
            attempts.insert().values(action="act_1", n=1, started_at=7, ended_at=8, outcome="temporary")
        )
    before = [row._asdict() | {"stamp": 0} for row in house.rows(actions)]
    assert write(house, lease=LEASE).begun == {"act_1": 2}
    given_back(house, "somebody else")
    assert house.attempts("act_1") == [(1, "temporary", True), (2, None, False)]
    given_back(house)
    given_back(house)
    assert house.attempts("act_1") == [(1, "temporary", True)]
    assert [row._asdict() | {"stamp": 0} for row in house.rows(actions)] == before


async def test_what_is_given_back_last_of_all_is_given_back_when_the_process_ends(either: House) -> None:
    either.put("act_1", "act_2", **HOOK)
    writer = AttemptWriter("me", HASHER, 2, log_clock=False)
    with either.db.write() as conn:
        begun = writer.write(conn, Batch(lease=LEASE), either.clock.now()).begun
    assert begun == {"act_1": 1, "act_2": 1}
    commits: Any = AttemptGroupCommit(either.db, either.clock, writer, *[None] * 5)  # type: ignore[arg-type]
    commits.give_back("act_1")
    commits.close()
    assert either.attempts("act_1") == []
    assert either.attempts("act_2") == [(1, None, False)]  # on the wire
    assert {row.id: row.lease_owner for row in either.rows(actions)} == {"act_1": None, "act_2": "me"}


@pytest.mark.parametrize(
    ("log_clock", "tried", "state"),
    [
        (False, 0, ("skipped", "play_exited")),
        (True, 0, ("pending", None)),
        (True, 1, ("skipped", "play_exited")),
    ],
)
def test_what_is_given_back_after_its_play_exited(
    house: House, log_clock: bool, tried: int, state: tuple[str, str | None]
) -> None:
    """With the log clock, what was due before the exit is sent, unless it had been tried; as without a lease."""
    house.put("act_1", **HOOK, attempts=tried)
    assert write(house, lease=LEASE).begun == {"act_1": tried + 1}
    writer = AttemptWriter("me", HASHER, 2, log_clock=log_clock)
    with house.db.write() as conn:
        conn.execute(plays.update().values(status="exited"))
        writer.write(conn, Batch(unsent=["act_1"]), house.clock.now())
    assert house.states() == {"act_1": state}
    assert house.rows(attempts) == []
