"""Digests against a slow and obvious oracle: any history, read in any order, with restarts, gives the mails that its
times say."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbone.log import partition_for
from schemas.event import rfc3339
from tests.services.actions.digests_kit import carry, listed, mails
from tests.services.actions.kit import ACTIONS, House
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

HOUR = 3_600 * SECOND
AT = {"early": 8, "late": 9}  # hours, by playbook; both have one key
END = T0 + 4 * DAY
NAMES = [
    *[n for n in map(str, range(100)) if partition_for(n, 2) == 0][:2],
    *[n for n in map(str, range(100)) if partition_for(n, 2) == 1][:2],
]


class Begins(NamedTuple):
    at: int
    account: str
    playbook: str


class Exits(NamedTuple):
    at: int
    account: str


History = list[Begins | Exits]
MOMENTS = st.integers(0, 3 * 24).map(lambda hour: T0 + hour * HOUR)
HISTORIES = st.lists(
    st.one_of(
        st.builds(Begins, MOMENTS, st.sampled_from(NAMES), st.sampled_from(list(AT))),
        st.builds(Exits, MOMENTS, st.sampled_from(NAMES)),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one.at,
).map(lambda history: sorted(history, key=lambda one: one.at))


def expected(history: History) -> list[tuple[int, list[str]]]:
    """The mails: their moments, and the accounts of their items, the oldest first."""
    left = [one for one in history if isinstance(one, Begins)]
    found = []
    while left:
        first = min(left, key=lambda one: (one.at, one.account))
        moment = T0 + AT[first.playbook] * HOUR
        while moment <= first.at:
            moment += DAY
        mine = [one for one in left if one.at < moment]
        left = [one for one in left if one.at >= moment]
        kept = [
            one.account
            for one in mine
            if not any(
                isinstance(other, Exits) and other.account == one.account and one.at < other.at < moment
                for other in history
            )
        ]
        if kept:
            found.append((moment, sorted(kept)))
    return found


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(history=HISTORIES, turns=st.lists(st.sampled_from([0, 1, "restart"]), max_size=8))
def test_any_history_gives_the_mails_that_its_times_say(
    build: Callable[..., House], history: History, turns: list[Any]
) -> None:
    house = build()
    for name, hour in AT.items():
        step = {"template": "hello", "key": "one", "to": "owner", "at": f"{hour:02}:00"}
        house.save(book(name, steps=[{"digest": step}], exit_when={"event": "paid"}))
    waiting: dict[int, History] = {0: [], 1: []}
    for one in history:
        waiting[partition_for(one.account, 2)].append(one)
    for name in NAMES:
        house.post(account(T0, name))
    order = [*turns, *[number for number in (0, 1) for _ in waiting[number]]]
    for turn in order:
        if turn == "restart":
            house.restart()
        elif waiting[turn]:
            _say(house, waiting[turn].pop(0))
    carry(house, END, 0)
    carry(house, END, 1)
    got = [(one.due_at, sorted(listed(one))) for one in mails(house)]
    assert sorted(got) == expected(history), [(type(one).__name__, rfc3339(one.at)) for one in history]
    assert len({row.id for row in house.rows(ACTIONS)}) == len(house.rows(ACTIONS))


def _say(house: House, one: Begins | Exits) -> None:
    if isinstance(one, Exits):
        house.post(event("paid", one.at, one.account))
    else:
        (place,) = house.post(event("it", one.at, one.account))
        house.fire(one.at, place, account=one.account, playbook=one.playbook)
    house.settle(1)
