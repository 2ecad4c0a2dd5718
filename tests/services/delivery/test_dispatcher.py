"""The delivery loop: what is begun is recorded, what ends is told, and nothing goes out twice."""

import asyncio
import threading
from typing import Any

from sqlalchemy import delete, update

from backbone.errors import DatabaseUnavailable
from services.actions.delivery import attempt_writer
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, BatchResult
from services.actions.delivery.journal import read
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.attempts import start_attempts
from services.actions.tables import actions, attempts, outbox, plays
from tests.services.delivery.kit import HASHER, Fake, House
from tests.services.leases import lease_due


def test_what_is_due_is_sent_and_told(house: House) -> None:
    house.put("act_1", "act_2", recipient="bob@b.test")
    channel = Fake()
    house.loop(email=channel)
    house.settled()
    assert house.states() == {"act_1": ("done", None), "act_2": ("done", None)}
    assert sorted(channel.sent) == ["act_1", "act_2"]
    assert house.attempts("act_1") == [(1, "done", True)]
    house.until(house.told.is_set)
    assert sum("touchline.email.sent" in event for event in house.events()) == 2


def test_a_wake_up_is_enough(house: House) -> None:
    loop = house.loop(email=Fake())
    house.until(lambda: loop._woken is not None)
    for number in range(5):
        house.put(f"act_{number}")
        loop.wake()
        house.settled()


def test_the_beginning_is_durable_before_the_effect(house: House) -> None:
    seen: list[Any] = []

    def look(action: Leased) -> Outcome:
        seen.append((house.attempts(action.id), house.rows(actions)[0].attempting))
        return Outcome(kind="done")

    house.put("act_1")
    house.loop(email=Fake(look))
    house.settled()
    assert seen == [([(1, None, False)], True)]


def test_a_passing_fault_is_tried_again_later(house: House) -> None:
    house.put("act_1", channel="webhook")
    house.loop(webhook=Fake(lambda _: Outcome(kind="temporary", reason="deferred", detail="503\x00 \ud800")))
    house.settled()
    row = house.rows(actions)[0]
    assert (row.status, row.reason, row.lease_owner) == ("retrying", "deferred", None)
    pause = row.next_attempt_at - house.rows(attempts)[0].ended_at
    assert 5_000_000 <= pause <= 5_500_000
    assert house.rows(attempts)[0].detail == "503  ?"
    assert house.events() == []


def test_a_retry_that_is_due_is_made(house: House) -> None:
    outcomes = iter([Outcome(kind="temporary", reason="deferred", retry_after=0), Outcome(kind="done")])
    house.put("act_1", channel="webhook")
    loop = house.loop(webhook=Fake(lambda _: next(outcomes)))
    house.until(lambda: house.states()["act_1"][0] == "retrying")
    with house.db.write() as conn:
        conn.execute(update(actions).values(next_attempt_at=1))
    loop.wake()
    house.until(lambda: house.states()["act_1"][0] == "done")
    assert house.attempts("act_1") == [(1, "temporary", True), (2, "done", True)]


def test_attempts_come_to_an_end(house: House) -> None:
    house.put("act_1", attempts=9, channel="webhook")
    house.loop(webhook=Fake(lambda _: Outcome(kind="temporary", reason="timeout")))
    house.settled()
    assert house.states()["act_1"] == ("failed", "attempts_exhausted")
    assert "touchline.webhook.failed" in house.events()[0]


def test_a_bounce_is_told_and_suppresses_the_address(house: House) -> None:
    house.put("act_1", recipient="Ann@ACME.test")
    loop = house.loop(email=Fake(lambda _: Outcome(kind="permanent", reason="bounced", detail="550 5.1.1")))
    house.settled()
    assert house.states()["act_1"] == ("failed", "bounced")
    assert "touchline.email.bounced" in house.events()[0]
    assert house.suppressed() == [("ann@acme.test", "", "bounced")]
    house.put("act_2")
    loop.wake()
    house.settled()
    assert house.states()["act_2"] == ("skipped", "suppressed")
    assert house.attempts("act_2") == []


def test_what_is_skipped_before_it_is_sent_is_no_attempt(house: House) -> None:
    class Picky(Fake):
        async def prepare(self, action: Leased) -> Any:
            return Outcome(kind="skipped", reason="not_on_list")

    house.put("act_1")
    house.loop(email=Picky())
    house.settled()
    assert house.states() == {"act_1": ("skipped", "not_on_list")}
    assert (house.attempts("act_1"), house.events(), house.suppressed()) == ([], [], [])


def test_what_comes_to_nothing_before_it_is_sent_is_an_attempt_too(house: House) -> None:
    class Unreachable(Fake):
        async def prepare(self, action: Leased) -> Any:
            return Outcome(kind="permanent", reason="invalid_address")

    house.put("act_1")
    house.loop(email=Unreachable())
    house.settled()
    assert house.states()["act_1"] == ("failed", "invalid_address")
    assert house.attempts("act_1") == [(1, "permanent", True)]


def test_a_channel_that_breaks_its_word(house: House) -> None:
    def broken(_: Leased) -> Outcome:
        raise KeyError("oops")

    house.put("act_1")
    house.put("act_2", channel="webhook")
    house.loop(email=Fake(broken, idempotent=False), webhook=Fake(broken))
    house.settled()
    assert house.states() == {"act_1": ("uncertain", "maybe_delivered"), "act_2": ("retrying", "interrupted")}


def test_after_a_crash_a_mail_is_uncertain_and_a_webhook_goes_again(house: House) -> None:
    house.put("act_1", "act_2", attempts=1, attempting=True, lease_owner="dead", lease_until=2**60)
    with house.db.write() as conn:
        conn.execute(update(actions).where(actions.c.id == "act_2").values(channel="webhook"))
        conn.execute(
            attempts.insert(), [{"action": one, "n": 1, "started_at": 1} for one in ("act_1", "act_2")]
        )
    mails, hooks = Fake(idempotent=False), Fake()
    house.loop(email=mails, webhook=hooks)
    house.settled()
    assert house.states() == {"act_1": ("uncertain", "maybe_delivered"), "act_2": ("done", None)}
    assert mails.prepared == []
    assert house.attempts("act_1") == [(1, "interrupted", True)]
    assert house.attempts("act_2") == [(1, "interrupted", True), (2, "done", True)]


def test_what_another_process_holds_is_left_alone_until_its_lease_ends(house: House) -> None:
    house.put("act_1", lease_owner="other", lease_until=2**60)
    channel = Fake()
    loop = house.loop(alone=False, email=channel)
    house.put("act_2")
    loop.wake()
    house.until(lambda: house.states()["act_2"][0] == "done")
    assert house.states()["act_1"][0] == "pending"
    with house.db.write() as conn:
        conn.execute(update(actions).where(actions.c.id == "act_1").values(lease_until=1))
    loop.wake()
    house.settled()


def test_an_exited_play_sends_nothing_more(house: House) -> None:
    house.put("act_1", play="ply_x", play_status="exited", status="retrying", attempts=1)
    channel = Fake()
    house.loop(email=channel)
    house.until(lambda: house.states()["act_1"][0] != "retrying")
    assert house.states()["act_1"] == ("skipped", "play_exited")
    assert channel.sent == []


def test_a_play_that_exits_between_lease_and_beginning_sends_nothing(house: House) -> None:
    class Slow(Fake):
        async def prepare(self, action: Leased) -> Any:
            with house.db.write() as conn:
                conn.execute(update(plays).values(status="exited"))
            return await super().prepare(action)

    channel = Slow()
    house.put("act_1", status="retrying", attempts=1)
    house.loop(email=channel)
    house.until(lambda: house.states()["act_1"][0] != "retrying")
    assert house.states()["act_1"] == ("skipped", "play_exited")
    house.until(lambda: channel.dropped == ["act_1"])
    assert channel.sent == []


def test_an_erased_action_ends_quietly(house: House) -> None:
    def erase(action: Leased) -> Outcome:
        with house.db.write() as conn:
            conn.execute(delete(actions).where(actions.c.id == action.id))
        return Outcome(kind="done")

    house.put("act_1")
    loop = house.loop(email=Fake(erase))
    house.until(lambda: house.rows(actions) == [])
    house.put("act_2")
    loop._channels["email"].script = lambda _: Outcome(kind="done")  # type: ignore[attr-defined]
    loop.wake()
    house.settled()


def test_a_database_that_is_away_loses_nothing(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr("services.actions.delivery.group_commit.PAUSES_S", (0.001,))
    channel = Fake()
    loop = house.loop(email=channel)
    house.until(lambda: loop._woken is not None)
    write = attempt_writer.AttemptWriter.write
    failures = iter([False, True, True, False, True, True])

    def sometimes(self: Any, conn: Any, batch: Any, now: int) -> Any:
        written = write(self, conn, batch, now)
        if next(failures, False):
            raise DatabaseUnavailable("gone")
        return written

    monkeypatch.setattr(attempt_writer.AttemptWriter, "write", sometimes)
    house.put("act_1", "act_2", "act_3")
    loop.wake()
    house.settled()
    assert {status for status, _ in house.states().values()} == {"done"}
    assert sorted(channel.sent) == ["act_1", "act_2", "act_3"]


def test_one_row_that_the_database_refuses_costs_itself_alone(house: House, monkeypatch: Any) -> None:
    finish = attempt_writer.attempts.finish_attempts

    def picky(conn: Any, ends: Any, *args: Any, **more: Any) -> Any:
        if any(end.action == "act_bad" for end in ends):
            raise ValueError("no such text")
        return finish(conn, ends, *args, **more)

    monkeypatch.setattr(attempt_writer.attempts, "finish_attempts", picky)
    house.put("act_bad", *(f"act_{n}" for n in range(10)))
    loop = house.loop(email=Fake())
    house.until(lambda: sum(status == "done" for status, _ in house.states().values()) == 10)
    house.put("act_later")
    loop.wake()
    house.until(lambda: house.states()["act_later"][0] == "done")
    assert house.states()["act_bad"][0] == "pending"
    assert loop._journal is not None
    loop._journal.tidy()
    [kept] = (house.settings.data_dir / "delivery").glob("*.journal")
    ends = read(kept.read_bytes()).ends
    assert ("act_bad", 1) in ends  # it has gone out: were the process killed now, it must not go again


def test_what_is_counted_is_what_was_written(house: House) -> None:
    house.put("act_1", status="retrying", attempts=1)
    recorder, told = AttemptWriter("me", HASHER, 2, log_clock=False), BatchResult()
    with house.db.write() as conn:
        [one] = lease_due(conn, house.clock.now(), "me", 1)
        begun = start_attempts(conn, ["act_1"], "me", house.clock.now())
        conn.execute(update(plays).values(status="exited"))
        end = AttemptEnd(one, begun["act_1"], Outcome(kind="temporary", reason="deferred"))
        recorder.finish(conn, [end], house.clock.now(), told, owner="me")
    assert told.tally == [("email", "skipped", "play_exited")]


def test_stopping_lets_go_of_what_was_not_begun(house: House) -> None:
    entered = threading.Event()

    async def slow(action: Leased) -> Outcome:
        entered.set()
        await asyncio.sleep(0.05)
        return Outcome(kind="done")

    class One(Fake):
        concurrency = 1

    channel = One(slow)
    house.put(*(f"act_{n}" for n in range(10)))
    loop = house.loop(email=channel)
    entered.wait(30)
    loop.stop()
    assert channel.closed
    assert house.states()[channel.sent[0]][0] == "done"
    waiting = [row for row in house.rows(actions) if row.status == "pending"]
    assert len(waiting) == 10 - len(channel.sent)
    assert all(row.lease_owner is None and not row.attempting for row in waiting)


def test_with_the_log_clock_ends_carry_the_due_time(house: House) -> None:
    house.settings = house.settings.model_copy(update={"clock": "log"})
    house.put("act_1", due_at=1_000_000)
    house.loop(email=Fake())
    house.settled()
    assert house.rows(actions)[0].done_at == 1_000_000
    assert '"time":"1970-01-01T00:00:01Z"' in house.rows(outbox)[0].value.decode()
