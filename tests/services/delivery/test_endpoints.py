"""Endpoints that fail for days are disabled, and their webhooks wait; an endpoint gets no more than its rate."""

import math
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, update

from backbone import notices
from backbone.log import open_log
from schemas.notices import NoticeKind
from schemas.play_reasons import PlayReason
from services.actions.api.endpoints import go_on
from services.actions.delivery.disabled_endpoints import DisabledEndpoints
from services.actions.plays.model import Cancel, Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.status import measure, status
from services.actions.storage import again, endpoints, holds
from services.actions.storage.endpoints import DAY_US, FAILS_US, SECOND_US, WAITS_US
from services.actions.storage.library import ENDPOINTS
from services.actions.storage.status import skip_actions
from services.actions.tables import actions, attempts, endpoint_states, plays, sending
from tests.services.delivery.kit import Fake, House
from tests.services.delivery.test_sending import either
from tests.unit.channels.helpers import SECRET

__all__ = ["either"]  # the fixture

WAITS = ("pending", "endpoint_disabled")
HOOK: dict[str, Any] = {"channel": "webhook", "recipient": "crm", "rendered": {"body": {}}}


class Hooks(Fake):
    """Webhooks that are refused until `well`."""

    independent, well = True, False

    def __init__(self) -> None:
        super().__init__(self._answer)

    def concurrency_key(self, action: Leased) -> str:
        return action.recipient or ""

    def _answer(self, action: Leased) -> Outcome:
        if self.well or action.recipient != "crm":
            return Outcome(kind="done")
        return Outcome(kind="permanent", reason="rejected", detail="410")


def set_state(house: House, **columns: Any) -> None:
    with house.db.write() as conn:
        endpoints.lock(conn, ["crm"])
        conn.execute(update(endpoint_states).values(**columns))


def state(house: House) -> endpoints.EndpointState:
    with house.db.read() as conn:
        return endpoints.state(conn, "crm")


def told(house: House) -> bool:
    with house.db.read() as conn:
        return notices.is_open(conn, NoticeKind.ENDPOINT_DISABLED, "crm")


def enable(house: House) -> None:
    with house.db.write() as conn:
        assert endpoints.enable(conn, "crm", house.clock.now()) is not None
    go_on(house.db, house.clock)


def off_for(house: House, ago: int, span: int) -> None:
    """Sending was off, from so long ago, for so long."""
    begin = house.clock.now() - ago
    with house.db.write() as conn:
        conn.execute(insert(sending), [{"off_at": begin, "off_by": "a", "on_at": begin + span, "on_by": "a"}])


def test_five_days_of_failures_disable_an_endpoint_and_no_other(either: House) -> None:
    set_state(either, failing_since=either.clock.now() - FAILS_US, reason="timeout")
    either.put("act_1", **HOOK)
    either.put("act_late", status="retrying", attempts=1, **HOOK | {"next_attempt_at": 2**60})
    hooks = Hooks()
    loop = either.loop(alone=False, webhook=hooks)
    either.until(lambda: state(either).disabled_at is not None)
    assert (told(either), either.states()["act_1"]) == (True, ("failed", "rejected"))

    either.put("act_2", **HOOK)
    either.put("act_other", **HOOK | {"recipient": "other"})
    loop.wake()
    either.until(lambda: (either.states()["act_2"], either.states()["act_other"]) == (WAITS, ("done", None)))
    DisabledEndpoints(either.db, either.clock, loop.wake).sweep()
    assert either.states()["act_late"] == WAITS
    assert sorted(hooks.sent) == ["act_1", "act_other"]

    with closing(open_log(either.settings)) as log:
        said = status(either.db, log, either.clock, log_clock=False)
        seen = {
            sample.gauge.name: sample for sample in measure(either.db, log, either.clock, log_clock=False)
        }
    assert said["due"] == 0
    assert [one["endpoint"] for one in said["trouble"]] == ["crm"]
    assert "disabled at" in said["trouble"][0]["detail"]
    assert seen["touchline_endpoint_disabled"].labels == ("crm",)
    assert seen["touchline_endpoint_failing_seconds"].value >= 5 * 86_400

    hooks.well = True
    enable(either)
    loop.wake()
    either.until(lambda: set(either.states().values()) == {("failed", "rejected"), ("done", None)})
    assert (told(either), state(either).failing_since) == (False, None)
    assert [one[1] for one in either.attempts("act_late")] == ["done"]


@pytest.mark.parametrize("since_off", [(FAILS_US - DAY_US, 0), (FAILS_US + DAY_US, DAY_US + SECOND_US)])
def test_less_than_five_days_with_sending_on_disable_nothing(
    house: House, since_off: tuple[int, int]
) -> None:
    since, off = since_off
    off_for(house, 3 * DAY_US, off)
    set_state(house, failing_since=house.clock.now() - since)
    house.put("act_1", **HOOK)
    house.loop(webhook=Hooks())
    house.settled()
    assert state(house)[1:4] == (house.rows(endpoint_states)[0].failing_since, "rejected", None)


def test_a_success_ends_the_failing(house: House) -> None:
    set_state(house, failing_since=1, reason="timeout")
    hooks = Hooks()
    hooks.well = True
    house.put("act_1", **HOOK)
    house.loop(webhook=hooks)
    house.settled()
    assert state(house)[1:4] == (None, None, None)


def test_what_says_nothing_about_the_endpoint_does_not_count(house: House) -> None:
    ends = iter(["template_error", "endpoint_unknown", "interrupted"])
    house.put("act_1", "act_2", "act_3", **HOOK)
    house.loop(webhook=Fake(lambda _: Outcome(kind="permanent", reason=next(ends))))
    house.settled()
    assert house.rows(endpoint_states) == []


def disabled(house: House, since: int, **more: Any) -> None:
    """The endpoint is disabled, and an action has waited for it since so long ago; its time is over."""
    now = house.clock.now()
    set_state(house, failing_since=1, disabled_at=1)
    fields = {"reason": "endpoint_disabled", "disabled_since": now - since, "next_attempt_at": now, **more}
    house.put("act_1", **HOOK | fields)


def test_after_thirty_days_a_webhook_is_skipped(either: House) -> None:
    disabled(either, WAITS_US)
    either.loop(alone=False, webhook=Hooks())
    either.until(lambda: either.states()["act_1"] == ("skipped", "endpoint_disabled"))
    assert (either.rows(attempts), either.rows(actions)[0].disabled_since) == ([], None)


def test_its_thirty_days_stand_still_while_sending_is_off(house: House) -> None:
    off_for(house, 10 * DAY_US, DAY_US)
    disabled(house, WAITS_US)
    house.loop(webhook=Hooks())
    house.until(lambda: house.rows(actions)[0].next_attempt_at > house.clock.now())
    row = house.rows(actions)[0]
    assert (row.status, row.reason) == WAITS
    assert row.next_attempt_at == row.disabled_since + WAITS_US + DAY_US


def test_what_waits_ends_with_its_play(house: House) -> None:
    disabled(house, DAY_US)
    with house.db.write() as conn:
        skip_actions(conn, Cancel(play="ply_1", reason="play_exited", at=5, tried_only=False))
    assert house.states() == {"act_1": ("skipped", "play_exited")}
    enable(house)
    house.loop(webhook=Hooks())
    assert house.states() == {"act_1": ("skipped", "play_exited")}


def test_what_goes_on_obeys_a_paused_playbook(house: House) -> None:
    disabled(house, DAY_US)
    with house.db.write() as conn:
        holds.pause(conn, holds.Key("playbook", "p"), PlayReason.PAUSED, None, "jo", house.clock.now())
    enable(house)
    house.loop(webhook=Hooks())
    house.until(lambda: bool(house.rows(actions)[0].parked))
    assert house.rows(attempts) == []


def test_an_attempt_that_a_death_interrupted_waits_too(house: House) -> None:
    disabled(house, 0, reason=None, disabled_since=None, attempts=1, attempting=True, lease_until=1)
    with house.db.write() as conn:
        conn.execute(attempts.insert().values(action="act_1", n=1, started_at=1))
    hooks = Hooks()
    house.loop(webhook=hooks)
    house.until(lambda: house.states()["act_1"] == WAITS)
    assert (hooks.sent, house.attempts("act_1")) == ([], [(1, "interrupted", True)])


def test_an_endpoint_that_is_disabled_between_lease_and_beginning_gets_nothing(house: House) -> None:
    class Slow(Hooks):
        async def prepare(self, action: Leased) -> Any:
            set_state(house, failing_since=1, disabled_at=1)
            return await super().prepare(action)

    hooks = Slow()
    house.put("act_1", **HOOK)
    house.loop(webhook=hooks)
    house.until(lambda: hooks.dropped == ["act_1"])
    assert (house.states()["act_1"], hooks.sent, house.rows(attempts)) == (WAITS, [], [])


CHILD = """
import os, sys
from pathlib import Path
from services.actions.storage import endpoints
from tests.services.delivery.kit import House
house = House(Path(sys.argv[1]))
with house.db.write() as conn:
    endpoints.enable(conn, "crm", house.clock.now())
os.kill(os.getpid(), 9)
"""


def test_a_process_that_dies_while_it_enables_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    disabled(house, DAY_US, next_attempt_at=2**60)
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=False)
    assert (house.states()["act_1"], state(house).disabled_at) == (WAITS, None)
    hooks = Hooks()
    hooks.well = True
    loop = house.loop(webhook=hooks)
    DisabledEndpoints(house.db, house.clock, loop.wake).sweep()
    house.until(lambda: house.states()["act_1"] == ("done", None))


def test_the_webhooks_of_an_endpoint_that_is_gone_wait_no_longer(house: House) -> None:
    disabled(house, DAY_US, next_attempt_at=2**60)
    with house.db.write() as conn:
        endpoints.forget(conn, "crm", 1)
    DisabledEndpoints(house.db, house.clock, lambda: None).sweep()
    assert house.states()["act_1"] == ("pending", None)


# -- sent again, by hand


def ended(house: House, name: str, status: str, reason: str | None, **more: Any) -> None:
    fields = {
        "status": status,
        "reason": reason,
        "attempts": 9,
        "next_attempt_at": None,
        "done_at": 1,
        "due_at": 100,
    }
    house.put(name, **HOOK | fields | {"addressee": "crm"} | more)
    with house.db.write() as conn:
        conn.execute(attempts.insert().values(action=name, n=9, started_at=1, ended_at=1))


def ask_again(house: House, status: str = "failed", after: int = 0) -> int:
    with house.db.write() as conn:
        return again.endpoint_again(conn, "webhook", "crm", status, after, house.clock.now())


def test_what_failed_is_sent_again_with_all_of_its_schedule(either: House) -> None:
    ended(either, "act_1", "failed", "attempts_exhausted")
    assert ask_again(either) == 1
    assert either.states() == {"act_1": ("pending", None)}
    assert ask_again(either) == 0
    ends = iter([Outcome(kind="temporary", reason="deferred", retry_after=0), Outcome(kind="done")])
    loop = either.loop(alone=False, webhook=Fake(lambda _: next(ends)))
    either.until(lambda: either.states()["act_1"] == ("retrying", "deferred"))
    row = either.rows(actions)[0]
    assert row.next_attempt_at - either.rows(attempts)[-1].ended_at <= 5_500_000  # its first pause
    with either.db.write() as conn:
        conn.execute(update(actions).values(next_attempt_at=1))
    loop.wake()
    either.until(lambda: either.states()["act_1"] == ("done", None))
    assert [n for n, _, _ in either.attempts("act_1")] == [9, 10, 11]


def test_who_is_not_asked_again(either: House) -> None:
    ended(either, "act_old", "failed", "rejected", due_at=50)
    ended(either, "act_else", "failed", "rejected", recipient="other", addressee="other")
    ended(either, "act_done", "done", None)
    ended(either, "act_exited", "skipped", "play_exited")
    ended(either, "act_refused", "skipped", "not_approved")
    ended(either, "act_empty", "failed", "template_error", rendered=None)
    ended(either, "act_over", "failed", "rejected", play="ply_over", play_status="exited")
    ended(either, "act_waited", "skipped", "endpoint_disabled")
    before = either.states()
    assert ask_again(either, after=50) == 0
    assert either.states() == before
    assert ask_again(either, "skipped") == 1
    assert {name for name, now in either.states().items() if now == ("pending", None)} == {"act_waited"}


@pytest.mark.parametrize("log_clock", [False, True])
def test_a_play_that_exits_meanwhile_is_never_passed(house: House, log_clock: bool) -> None:
    """Asked for again, and then, before it is leased, or before it begins, the play exits."""
    house.settings = house.settings.model_copy(update={"clock": "log" if log_clock else "wall"})

    class Slow(Hooks):
        async def prepare(self, action: Leased) -> Any:
            with house.db.write() as conn:
                conn.execute(update(plays).values(status="exited"))
            return await super().prepare(action)

    ended(house, "act_1", "skipped", "endpoint_disabled", attempts=0)
    ended(house, "act_2", "failed", "rejected", play="ply_2")
    assert (ask_again(house, "skipped"), ask_again(house)) == (1, 1)
    with house.db.write() as conn:
        conn.execute(update(plays).where(plays.c.id == "ply_2").values(status="exited"))
    hooks = Slow()
    house.loop(webhook=hooks)
    house.until(lambda: set(house.states().values()) == {("skipped", "play_exited")})
    assert hooks.sent == []


def test_what_is_sent_again_waits_while_its_endpoint_is_disabled(house: House) -> None:
    ended(house, "act_1", "failed", "rejected")
    set_state(house, failing_since=1, disabled_at=1)
    assert ask_again(house) == 1
    house.loop(webhook=Hooks())
    house.until(lambda: house.states()["act_1"] == WAITS)


# -- rates


@given(
    rate=st.one_of(st.integers(1, 1_000), st.floats(0.01, 1_000)),
    steps=st.lists(st.integers(0, 400_000), min_size=1, max_size=300),
)
def test_no_second_sees_more_than_the_rate(rate: float, steps: list[int]) -> None:
    """Asked at any moments: of those that may begin, any second holds no more than the rate, a little late or not."""
    now, due, begun = 1_790_000_000_000_000, 0, list[int]()
    for step in steps:
        now += step
        due, wait_until = endpoints.turn(due, rate, now)
        if wait_until is None:
            begun.append(now)
        else:
            assert wait_until > now
            assert endpoints.turn(due, rate, wait_until)[1] is None
    most = math.ceil(rate)
    apart = SECOND_US + endpoints.LATE_US
    assert all(later - first >= apart for first, later in zip(begun, begun[most:], strict=False))


@pytest.mark.parametrize("rate", [0.5, 1, 3, 19, 20, 50, 400, 1_000])
def test_whoever_always_asks_again_gets_most_of_the_rate(rate: float) -> None:
    now, due, begun = 1_790_000_000_000_000, 0, 0
    end = now + 20 * SECOND_US
    while now < end:
        due, wait_until = endpoints.turn(due, rate, now)
        begun += wait_until is None
        now = now if wait_until is None else wait_until + 3_000  # the time of a commit
    assert begun >= 0.9 * 20 * rate


def test_a_rate_holds_over_all_workers(either: House) -> None:
    with either.db.write() as conn:
        ENDPOINTS.put(conn, "crm", {"url": "http://crm.test/", "secret": SECRET, "rate": 20}, "test", 1)
    many = [f"act_{n}" for n in range(30)]
    either.put(*many, **HOOK)
    either.put("act_other", **HOOK | {"recipient": "other"})
    channels = [Hooks(), Hooks()]
    for one in channels:
        one.well = True
        either.loop(alone=False, webhook=one)
    either.until(lambda: either.states()["act_other"] == ("done", None))
    either.until(lambda: set(either.states().values()) == {("done", None)})
    begun = sorted(row.started_at for row in either.rows(attempts) if row.action != "act_other")
    assert len(begun) == len(many)
    assert all(later - first >= SECOND_US for first, later in zip(begun, begun[20:], strict=False))
