"""The limit on mails between dot and answer: few to a server that answers quickly, many to one that takes long, and one
at a time to one that hangs or hangs up."""

import asyncio
import time

import pytest

from services.actions.channels.email import concurrency as module
from services.actions.channels.email.concurrency import LONGER, SAMPLES, UNUSUAL, AdaptiveLimit, Permit

LEAST, STEP_S, PATIENCE_S, MOST_PATIENCE_S = 2, 0.002, 0.25, 100.0


def made(patience: float = PATIENCE_S) -> AdaptiveLimit:
    return AdaptiveLimit(least=LEAST, step=STEP_S, patience=patience, most_patience=MOST_PATIENCE_S)


async def sent(gate: AdaptiveLimit) -> Permit:
    """A mail that is on the wire."""
    permit = await gate.enter()
    permit.__enter__()
    return permit


def answered(permit: Permit) -> None:
    permit.__exit__(None, None, None)


def ends(permit: Permit, error: Exception) -> None:
    """It will have no answer."""
    permit.__exit__(type(error), error, None)


class Loop:
    """The loop's clock, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


async def measure(gate: AdaptiveLimit, clock: Loop, took: float) -> None:
    for _ in range(SAMPLES):
        with await gate.enter():
            clock.now += took


@pytest.mark.parametrize(
    ("took", "room"),
    [(0.0004, LEAST), (3.5 * STEP_S, LEAST + 3), (9.0, LEAST + int(PATIENCE_S / STEP_S))],
)
async def test_the_room_follows_from_the_quickest_answer(clock: Loop, took: float, room: int) -> None:
    gate = made()
    await measure(gate, clock, took)
    assert gate.room == room


async def test_one_at_a_time_until_it_is_measured(clock: Loop) -> None:
    gate = made()
    first = await sent(gate)
    second = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert not second.done()
    answered(first)
    (await second).give_back()


async def test_a_quick_failure_measures_nothing(clock: Loop) -> None:
    gate = made()
    for _ in range(SAMPLES):
        mail = await sent(gate)
        ends(mail, OSError("refused"))
        rest(mail, clock)
    assert (gate.room, gate._wanted) == (1, SAMPLES)
    await measure(gate, clock, 3.5 * STEP_S)
    assert gate.room == LEAST + 3


async def test_answers_to_many_at_once_measure_nothing(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, 0.0004)
    passes = [await sent(gate) for _ in range(LEAST)]
    clock.now += 1
    for one in passes:
        answered(one)
    assert gate.room == LEAST
    clock.now += module.AGAIN_S
    await measure(gate, clock, 9.0)  # and after a while it is measured again
    assert gate.room > LEAST


async def test_what_stays_without_an_answer_holds_up_nobody() -> None:
    gate = made(patience=0.001)
    stuck = [await sent(gate) for _ in range(5)]
    for one in stuck:
        answered(one)  # late, and without a second effect
    answered(await sent(gate))
    assert gate._inside == 0


def tire(permit: Permit, clock: Loop) -> None:
    """The time passes until the patience with this mail is over."""
    clock.now = permit._since + permit._patience
    permit._tire(clock.now)


async def test_a_server_that_answers_nothing_gets_one_mail_at_a_time_and_ever_more_seldom(
    clock: Loop,
) -> None:
    gate = made()
    await measure(gate, clock, 10 * STEP_S)
    at_once = [await sent(gate) for _ in range(gate.room)]
    for one in at_once:
        assert one._patience == PATIENCE_S
        tire(one, clock)
    assert (gate.hangs, gate.room) == (True, 1)
    for times in range(1, 6):
        probe = await sent(gate)
        assert probe._patience == min(LONGER**times * PATIENCE_S, MOST_PATIENCE_S)
        second = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        assert not second.done()
        second.cancel()
        tire(probe, clock)
    assert gate.patience == MOST_PATIENCE_S


async def test_the_first_answer_opens_all_places_again(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, 10 * STEP_S)
    room = gate.room
    first = await sent(gate)
    tire(first, clock)
    probe = await sent(gate)
    waiting = [asyncio.create_task(gate.enter()) for _ in range(room)]
    await asyncio.sleep(0)
    answered(first)  # its place was given away long ago
    assert (gate.hangs, gate.room, gate.patience) == (False, room, PATIENCE_S)
    await asyncio.sleep(0)
    assert sum(one.done() for one in waiting) == room - 1, "the probe has the other place"
    answered(probe)
    await asyncio.gather(*waiting)


async def test_a_server_that_was_never_heard_gets_single_mails_until_it_answers(clock: Loop) -> None:
    """That a mail stays without an answer says nothing about how long an answer takes."""
    gate = made()
    for _ in range(SAMPLES + 1):
        tire(await sent(gate), clock)
    assert (gate.hangs, gate.room) == (True, 1)
    assert gate._wanted == SAMPLES
    answered(await sent(gate))
    assert not gate.hangs


async def test_a_server_as_slow_as_usual_does_not_hang(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, 2.0)
    room = gate.room
    assert room == LEAST + int(PATIENCE_S / STEP_S)
    slow = [await sent(gate) for _ in range(40)]
    for one in slow:
        tire(one, clock)
    assert (gate.hangs, gate.room) == (False, room)
    clock.now = slow[0]._since + 2.0
    for one in slow:
        answered(one)
    late = await sent(gate)
    clock.now += 2.0 * UNUSUAL
    ends(late, TimeoutError())
    assert gate.hangs, "but this is not usual"


async def test_one_mail_without_an_answer_is_no_sign_while_others_have_theirs(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, STEP_S)
    stuck, other = await sent(gate), await sent(gate)
    clock.now += STEP_S
    answered(other)
    tire(stuck, clock)
    assert (gate.hangs, gate.patience) == (False, PATIENCE_S)
    clock.now += MOST_PATIENCE_S
    ends(stuck, TimeoutError())
    assert (gate.hangs, gate.patience, gate._inside) == (False, PATIENCE_S, 0)


def rest(permit: Permit, clock: Loop) -> None:
    """The time passes until the pause after a broken connection is over."""
    assert permit._timer is not None
    clock.now = permit._timer.when()
    permit._timer._run()


async def test_a_server_that_hangs_up_gets_one_mail_at_a_time_and_ever_more_seldom(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, 10 * STEP_S)
    room = gate.room
    at_once = [await sent(gate) for _ in range(room)]
    clock.now += STEP_S
    for one in at_once:
        ends(one, ConnectionError())
    assert (gate.hangs, gate.room, gate._inside) == (True, 1, room), "the places are kept"
    for one in at_once:
        rest(one, clock)
    assert gate._inside == 0
    for times in range(1, 6):
        probe, sent_at = await sent(gate), clock.now
        second = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        ends(probe, ConnectionError())
        await asyncio.sleep(0)
        assert not second.done()
        second.cancel()
        rest(probe, clock)
        assert clock.now - sent_at == pytest.approx(min(LONGER**times * PATIENCE_S, MOST_PATIENCE_S))
    with await gate.enter():
        clock.now += 10 * STEP_S
    assert (gate.hangs, gate.pause, gate._inside) == (False, PATIENCE_S, 0)
    await measure(gate, clock, 10 * STEP_S)  # for that was long ago
    assert gate.room > LEAST


async def test_one_broken_connection_is_no_sign_while_others_are_answered(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, STEP_S)
    broken, other = await sent(gate), await sent(gate)
    clock.now += STEP_S
    answered(other)
    ends(broken, ConnectionError())
    assert (gate.hangs, gate.pause) == (False, PATIENCE_S)
    assert gate._inside == 1, "its place is kept all the same"
    rest(broken, clock)
    assert gate._inside == 0


async def test_a_server_that_hung_and_is_started_anew_is_soon_tried_again(clock: Loop) -> None:
    """That breaks the connections; how long it hung says nothing any more."""
    gate = made()
    stuck = []
    for _ in range(4):
        stuck.append(await sent(gate))
        tire(stuck[-1], clock)
    last = await sent(gate)
    clock.now += PATIENCE_S
    for one in (*stuck, last):
        ends(one, ConnectionError())
    begun = clock.now
    rest(last, clock)
    assert clock.now - begun == pytest.approx(PATIENCE_S)
    assert gate._inside == 0


async def test_a_mail_that_we_give_up_ourselves_says_nothing(clock: Loop) -> None:
    gate = made()
    with pytest.raises(asyncio.CancelledError), await gate.enter():
        raise asyncio.CancelledError
    assert (gate.hangs, gate._inside) == (False, 0)


async def test_a_place_is_given_back_once(clock: Loop) -> None:
    gate = made()
    unused = await gate.enter()
    unused.give_back()
    unused.give_back()
    assert gate._inside == 0
    used = await sent(gate)
    answered(used)
    used.give_back()
    assert gate._inside == 0


async def test_patience_that_ends_late_is_no_sign() -> None:
    """The loop was busy: the answer may be here, unread. Timers come before what was received."""
    gate = made(patience=0.02)
    first = await sent(gate)
    second = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    time.sleep(gate.patience + 2 * module.LATE_S)  # busy
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    (await asyncio.wait_for(second, 10)).give_back()  # idle: then it ends
    answered(first)
    assert gate._inside == 0


async def test_whoever_stops_waiting_takes_no_place(clock: Loop) -> None:
    gate = made()
    first = await sent(gate)
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    answered(first)  # gives its place to the second, who is cancelled with it in hand
    waiting[1].cancel()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    (await asyncio.wait_for(waiting[2], 10)).give_back()
    assert gate._inside == 0
