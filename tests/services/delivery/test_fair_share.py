"""Fair shares: what is slow, or hangs, holds up nobody else."""

import asyncio
import threading
from collections import Counter
from contextlib import closing
from itertools import cycle
from typing import Any

from sqlalchemy import update

from backbone.log import open_log
from services.actions.delivery import Dispatcher, lease_book
from services.actions.delivery.lease_book import MIN_FREE, MOST_LEASED, LeaseBook
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.status import status
from services.actions.storage.due import LATELY_US, Looks, Wanted, due_ids
from services.actions.tables import actions
from tests.services.delivery.kit import Fake, House


def test_a_lane_carries_no_more_than_it_may(house: House) -> None:
    class Narrow(Fake):
        per_key = 3

    async def slowly(action: Leased) -> Outcome:
        await asyncio.sleep(0.001)
        return Outcome(kind="done")

    channel = Narrow(slowly)
    house.put(*(f"act_{n}" for n in range(40)))
    loop = house.loop(email=channel)
    house.until(lambda: len(channel.sent) >= 15)
    with house.db.write() as conn:  # those put back for a second
        conn.execute(update(actions).where(actions.c.status == "pending").values(next_attempt_at=1))
    loop.wake()
    house.settled()
    assert channel.most == 3
    assert sorted(channel.sent) == sorted(f"act_{n}" for n in range(40))


def test_a_slow_lane_does_not_hold_up_the_others(house: House) -> None:
    free = threading.Event()

    async def stuck(action: Leased) -> Outcome:
        if action.recipient == "a@slow.test":
            await asyncio.to_thread(free.wait)
        return Outcome(kind="done")

    class Narrow(Fake):
        concurrency = 10
        per_key = 2

    house.put(*(f"act_slow_{n}" for n in range(MOST_LEASED + 200)), recipient="a@slow.test")
    house.put("act_quick", recipient="a@quick.test")
    house.loop(email=Narrow(stuck))
    house.until(lambda: house.states()["act_quick"][0] == "done")
    free.set()


class Hung(Fake):
    """A channel of two places that answers nothing before it is set free."""

    concurrency = per_key = 2

    def __init__(self) -> None:
        super().__init__(self._wait)
        self.free = threading.Event()

    async def _wait(self, _: Leased) -> Outcome:
        await asyncio.to_thread(self.free.wait)
        return Outcome(kind="done")


def test_a_slow_channel_does_not_hold_up_the_others(house: House) -> None:
    """A mail server that hangs, and mails to hundreds of domains: none of their lanes is full."""
    many = [f"act_slow_{n}" for n in range(MOST_LEASED + 200)]
    house.put(*many, each=[{"recipient": f"ann@{one}.test"} for one in many])
    house.put("act_quick", channel="webhook", recipient="crm")
    hung = Hung()
    house.loop(email=hung, webhook=Fake())
    try:
        house.until(lambda: house.states()["act_quick"][0] == "done")
        with closing(open_log(house.settings)) as log:
            said = status(house.db, log, house.clock, log_clock=True)
    finally:
        hung.free.set()
    assert (said["due"], said["idle"]) == (len(many), False)  # those put back as well


class Endpoints(Fake):
    """Webhooks: of these endpoints only `crm` answers, until the others are set free."""

    concurrency, per_key, independent = 300, 10, True

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.free = threading.Event()
        self.set_free: asyncio.Event | None = None

    def concurrency_key(self, action: Leased) -> str:
        return action.recipient or ""

    async def _answer(self, action: Leased) -> Outcome:
        while action.recipient != "crm" and not self.free.is_set():
            await asyncio.sleep(0.05)
        return Outcome(kind="done")


def test_hundreds_of_hung_endpoints_do_not_hold_up_the_others(house: House, monkeypatch: Any) -> None:
    """Each of them with more to send than fits the window, all of it due before the one that matters."""
    many = [f"act_hung_{n}" for n in range(2_400)]
    house.put(*many, channel="webhook", each=[{"recipient": f"hung-{n % 240}"} for n in range(len(many))])
    endpoints = Endpoints()
    house.loop(webhook=endpoints)
    house.until(lambda: len(set(endpoints.sent)) == 240)
    house.until(lambda: all(lane.blocked for lane in house.loops[0]._book.limits.values()))
    good(house, "act_good_first")  # the lease that was under way meanwhile is over
    house.until(lambda: house.loops[0]._book.free >= MIN_FREE)
    monkeypatch.setattr(
        Dispatcher, "_wait_for_capacity", None
    )  # nothing more is leased for those who do not answer
    try:
        for n in range(3):
            good(house, f"act_good_{n}")
        assert len(endpoints.sent) == 244  # one place for whoever does not answer
    finally:
        monkeypatch.undo()
        endpoints.free.set()
    with house.db.write() as conn:  # those put back for a second
        conn.execute(update(actions).where(actions.c.status == "pending").values(next_attempt_at=1))
    house.loops[0].wake()
    house.settled()
    assert sorted(endpoints.sent) == sorted([*many, *(f"act_good_{n}" for n in ("first", 0, 1, 2))])


def good(house: House, name: str) -> None:
    """A webhook to an endpoint that answers, and its end."""
    house.put(name, channel="webhook", recipient="crm")
    house.loops[0].wake()
    house.until(lambda: house.states()[name][0] == "done")


def test_each_endpoint_has_the_places_that_it_asks_for(house: House) -> None:
    """And one alone until its first answer, whatever it asks for."""
    wanted = {"wide": 7, "narrow": 2, "single": 1}
    most, now, first = Counter[str](), Counter[str](), dict[str, int]()

    async def slowly(action: Leased) -> Outcome:
        name = action.recipient or ""
        now[name] += 1
        most[name] = max(most[name], now[name])
        await asyncio.sleep(0.005)
        first.setdefault(name, most[name])
        now[name] -= 1
        return Outcome(kind="done")

    class Various(Fake):
        independent, per_key = True, 10

        def concurrency_key(self, action: Leased) -> str:
            return action.recipient or ""

        def places(self, key: str) -> int:
            return wanted[key]

    names = [f"act_{n}" for n in range(90)]
    house.put(*names, channel="webhook", each=[{"recipient": list(wanted)[n % 3]} for n in range(90)])
    house.loop(webhook=Various(slowly))
    house.settled()
    assert (most, first) == (wanted, dict.fromkeys(wanted, 1))


def test_an_endpoint_never_runs_dry_while_it_has_more_to_get(house: House, monkeypatch: Any) -> None:
    """It may lease a share at a time; the next one is leased when that runs low, not when somebody looks by chance."""
    monkeypatch.setattr("services.actions.delivery.dispatcher.IDLE_S", 3_600)
    endpoints = Endpoints()
    house.put(*(f"act_{n}" for n in range(MOST_LEASED)), channel="webhook", recipient="crm")
    house.loop(webhook=endpoints)
    house.settled()
    assert len(endpoints.sent) == MOST_LEASED


def test_however_its_share_changes_it_never_runs_dry(house: House, monkeypatch: Any) -> None:
    """Its pace goes up and down, so that it may have no room when a commit begins and much when that is over."""
    monkeypatch.setattr("services.actions.delivery.dispatcher.IDLE_S", 3_600)
    in_commit, leased = [False], Dispatcher._lease
    shares = cycle((700, 20))

    async def lease(*args: Any, **more: Any) -> Any:
        in_commit[0] = True
        try:
            return await leased(*args, **more)
        finally:
            in_commit[0] = False

    monkeypatch.setattr(Dispatcher, "_lease", lease)
    monkeypatch.setattr(lease_book, "_most_held", lambda *_: next(shares) if in_commit[0] else 700)

    async def answer(_: Leased) -> Outcome:
        await asyncio.sleep(0.01)  # a commit is over before much of what it leased has been sent
        return Outcome(kind="done")

    endpoints = Endpoints()
    endpoints.script = answer
    house.put(*(f"act_{n}" for n in range(MOST_LEASED)), channel="webhook", recipient="crm")
    house.loop(webhook=endpoints)
    house.settled()
    assert len(endpoints.sent) == MOST_LEASED


def test_what_one_endpoint_has_due_does_not_hide_the_others(house: House) -> None:
    """All of it is due before, and more than may be leased at once."""
    house.put(*(f"act_slow_{n}" for n in range(MOST_LEASED + 200)), channel="webhook", recipient="slow")
    house.put("act_quick", channel="webhook", recipient="quick")
    with house.db.write() as conn:
        wanted = Wanted(MOST_LEASED, of={("webhook", "slow"): 20}, others=100)
        ids, again = due_ids(conn, house.clock.now(), wanted, Looks())
        assert (ids, again) == ([*(f"act_slow_{n}" for n in range(20)), "act_quick"], None)
        without = wanted._replace(without={("webhook", "slow")})
        assert due_ids(conn, house.clock.now(), without, Looks()) == (["act_quick"], None)


def test_looking_past_a_full_endpoint_rests(house: House, monkeypatch: Any) -> None:
    """Meanwhile only what fell due lately is seen, and the rest of it afterwards: nothing is missed for good."""
    monkeypatch.setattr("services.actions.storage.due.REST", 1e9)
    house.put(*(f"act_slow_{n}" for n in range(30)), channel="webhook", recipient="slow")
    looks = Looks()
    wanted = Wanted(MOST_LEASED, of={("webhook", "slow"): 20}, others=100, without={("webhook", "full")})
    with house.db.write() as conn:
        assert due_ids(conn, house.clock.now(), wanted, looks).again is None
    now = house.clock.now()
    house.put("act_old", channel="webhook", recipient="quick", next_attempt_at=now - 10 * LATELY_US)
    house.put("act_new", channel="webhook", recipient="quick", next_attempt_at=now)
    with house.db.write() as conn:
        ids, again = due_ids(conn, now, wanted._replace(without={("webhook", "slow")}), looks)
        assert ids == ["act_new"]
        assert again is not None
        assert again > now
        looks._rest_until = 0.0  # it is over
        again_all = due_ids(conn, now, wanted._replace(without={("webhook", "slow")}), looks)
        assert again_all == (["act_old", "act_new"], None)


def test_being_woken_puts_nothing_back(house: House, monkeypatch: Any) -> None:
    """The places were all taken, and new actions told of: those that waited went behind all others."""
    monkeypatch.setattr("services.actions.delivery.dispatcher.STALL_S", 60)
    hung = Hung()
    house.put(*(f"act_{n}" for n in range(MOST_LEASED)))
    thinned: list[Any] = []
    monkeypatch.setattr(LeaseBook, "surplus", lambda self: thinned.append(list(self.waiting)) or [])
    loop = house.loop(email=hung)
    try:
        house.until(lambda: len(hung.prepared) == 2)
        assert loop._loop is not None
        for _ in range(20):
            loop.wake()
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop._loop).result()
        assert thinned == []
    finally:
        hung.free.set()
