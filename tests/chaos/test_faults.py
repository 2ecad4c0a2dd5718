"""Every other fault at full size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backbone.failpoint import POINTS
from tests.chaos.conftest import Size, Told
from tests.e2e.capped import Capped
from tests.e2e.conftest import MakeStack
from tests.e2e.digests import Digested
from tests.e2e.duplicates import send_again_and_again
from tests.e2e.failpoints import OF_SOURCES, hit_all, in_actions
from tests.e2e.faults import configured, loaded, posting
from tests.e2e.owners import IDLE_LIMIT, TABLES, change_hands, freeze_and_thaw
from tests.e2e.pauses import Paused
from tests.e2e.progress import Progress
from tests.e2e.servers import kill_and_restart, own_servers
from tests.e2e.sinks import Sinks
from tests.e2e.smtp_drops import PHASES, check, drop
from tests.services.delivery.kit import House
from tests.services.delivery.test_sending import switch_under_load
from tests.services.delivery.test_suppressions import race

pytestmark = [
    pytest.mark.chaos, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(8 * 3600),
]  # fmt: skip

Shown = Callable[..., Progress]
PER_SECOND = 400  # events of a stream


def test_failpoints(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown
) -> None:
    """The process dies at each named place, twenty times at each."""
    rounds = size(20)
    shown = progress(hits=rounds * len(POINTS))
    with posting(make_stack(), sink, 2_000, seed, most=1_000_000, progress=shown) as run:
        assert hit_all(run, rounds, seed) == POINTS - OF_SOURCES
    told(f"{len(POINTS)} failpoints, each {rounds} times", run.finish(in_actions(rounds)))


def test_rebalances(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown
) -> None:
    """A hundred changes among two workers each of rules and actions, over 12 partitions and 200,000 events."""
    events, changes = size(200_000), size(100, least=4)
    stack = make_stack(rules=2, actions=2)
    shown = progress(events=events, changes=changes)
    with loaded(stack, sink, events, 4_000, seed, lanes=["changes"], times=changes, progress=shown) as run:
        died = change_hands(run, changes, seed)
    told(f"{changes} changes of hands, {died} workers of actions killed", run.finish(died))


def test_pauses(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown
) -> None:
    """Forty pauses under load, with a worker of three that dies in each, and one after each resume."""
    rounds = size(40)
    paused = Paused(make_stack(actions=3), sink, seed, progress(rounds=rounds))
    for _ in range(rounds):
        paused.round(orders=500)
    told(paused.finish())


def test_zombies(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown,
    fresh_postgres_url: str,
) -> None:  # fmt: skip
    """Forty workers freeze beyond their session, lose their partitions, and come back."""
    rounds = size(20)
    stack = make_stack(DATABASE_URL=fresh_postgres_url + IDLE_LIMIT)
    shown = progress(zombies=rounds * len(TABLES))
    with posting(stack, sink, 2_000, seed, most=1_000_000, progress=shown) as run:
        zombies = freeze_and_thaw(run, rounds, seed)
    told(f"{zombies} zombies, each refused", run.finish(zombies))


def test_servers(tmp_path: Path, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown) -> None:
    """The broker and the database killed every 5 to 40 s, for half an hour."""
    seconds = size(30, "MINUTES") * 60
    with own_servers(tmp_path, sink) as own:
        shown = progress(seconds=seconds)
        with posting(own.stack, sink, 4_000, seed, most=PER_SECOND * seconds, progress=shown) as run:
            outages = kill_and_restart(own, run, seed, seconds=seconds, between=(5, 40))
        told(outages, run.finish())


def test_duplicates(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown
) -> None:
    """Ten thousand ids, each sent ten times by fifty clients across restarts."""
    ids, kills = size(10_000), size(10)
    shown = progress(sent=ids * 10, kills=3 * kills)
    with configured(make_stack(), sink, accounts=200, progress=shown) as run:
        send_again_and_again(run, ids, clients=50, copies=10, kills=kills, seed=seed)
    report = run.finish(kills)
    told(f"{ids} ids, each sent 10 times by 50 clients, every service killed {kills} times", report)
    assert (report.acknowledged, report.triggers, report.plays, len(sink.hooks)) == (ids, ids, ids, ids)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_smtp_drops(
    tmp_path: Path, fresh_postgres_url: str, store: str, phase: str, seed: int, size: Size, told: Told
) -> None:
    """The SMTP server hangs up two hundred times at each phase."""
    times = size(200)
    house = House(tmp_path, fresh_postgres_url if store == "postgresql" else "")
    try:
        found = drop(house, phase, times)
    finally:
        house.close()
    told(f"{found.drops} drops, {dict(found.statuses)}, copies {dict(found.copies)}")
    check(phase, times, found)


def test_suppressions(tmp_path: Path, fresh_postgres_url: str, seed: int, size: Size, told: Told) -> None:
    """A hundred thousand sends of two processes' loops, while ten thousand of their recipients unsubscribe."""
    sends, leave = size(100_000), size(10_000)
    house = House(tmp_path, fresh_postgres_url)
    try:
        race(house, sends, people=2 * leave, loops=2, seed=seed, patience=3_600)
    finally:
        house.close()
    told(f"{sends} sends, {leave} unsubscribed, 0 sends begun after the suppression was committed")


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_sending_off(
    tmp_path: Path, fresh_postgres_url: str, store: str, seed: int, size: Size, told: Told
) -> None:
    """Sending goes off two hundred times in the middle of the sends of three delivery loops."""
    tries = size(200)
    house = House(tmp_path, fresh_postgres_url if store == "postgresql" else "")
    try:
        waited = switch_under_load(house, tries, loops=3, seed=seed, patience=600)
    finally:
        house.close()
    told(f"off {tries} times, {waited} actions waited, 0 sends begun after the answer")
    assert waited > 0


@pytest.mark.parametrize("clock", ["wall", "log"])
def test_caps(
    make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, progress: Shown, clock: str
) -> None:
    """Fifty accounts mail to one address at once, a thousand times, under a cap of one, while workers die."""
    kills = size(50)
    capped = Capped(
        make_stack(actions=2, CLOCK=clock), sink, seed, accounts=50, progress=progress(kills=kills)
    )
    capped.run(tries=size(1_000), kills=kills)
    told(capped.finish())


@pytest.mark.parametrize("clock", ["wall", "log"])
def test_digests(make_stack: MakeStack, sink: Sinks, seed: int, size: Size, told: Told, clock: str) -> None:
    """Lists of entries from all partitions go out once, with exactly their entries, while workers die around then."""
    digested = Digested(make_stack(actions=2, CLOCK=clock), sink, seed, accounts=200, owners=20)
    try:
        if clock == "log":
            digested.mornings(size(60), entries=400, kills=size(60))
        else:
            digested.once(entries=size(2_000), kills=size(6))
        told(digested.finish())
    finally:
        digested.close()
