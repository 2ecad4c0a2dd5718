"""A playbook's limit holds in a rehearsal as on a server: over all partitions, from one moment on."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.playbook import PlaybookIn
from services.actions.plays.program import Limit
from services.actions.rehearsal.limit import Beginning, tripped
from tests.unit.rehearsal.kit import DAY, T0, MemoryLog, account, book, event, rehearse, statuses, trigger

HOUR, MINUTE = DAY // 24, DAY // 1440
NAMES = [f"a{number}" for number in range(8)]
MAIL: dict[str, Any] = {"email": {"template": "hello"}}


def storm(*minutes: int, steps: Any = None, **more: Any) -> tuple[Any, dict[str, Any]]:
    """One play an account, at these minutes, over eight partitions."""
    named = list(zip(NAMES, minutes, strict=False))
    events = [account(name=name) for name, _ in named]
    events += [event("it", T0 + minute * MINUTE, name) for name, minute in named]
    log = MemoryLog([*events, event("other", T0 + 10 * DAY, "z")], partitions=8)
    triggers = [
        replace(trigger(T0 + minute * MINUTE, account=name), position=log.places[len(named) + number])
        for number, (name, minute) in enumerate(named)
    ]
    assert len({one.position.partition for one in triggers}) > 1
    playbook = book(steps=steps or [MAIL], **more)
    return rehearse(playbook, triggers, log, accounts=5)


def by_account(played: Any) -> dict[str, str]:
    return {
        play.account: f"{play.status} {play.reason}"
        for stage in played.stages
        for play in stage.plays.values()
    }


def test_plays_beyond_the_limit_are_held_whatever_their_partition() -> None:
    played, report = storm(3, 1, 4, 0, 2, limit={"plays": 3, "within": "1h"}, held_for="90d")
    began = {name for name, what in by_account(played).items() if what == "finished completed"}
    assert began == {"a3", "a1", "a4"}  # the earliest three
    assert report["by_status"]["held"] == 2
    assert report["held"] == {"breaker": 2}
    assert report["actions"]["email"] == 3
    assert report["breaker_at"] == "2026-01-01T00:03:00Z"


def test_plays_within_the_limit_are_not_held() -> None:
    for limit in ({"plays": 5, "within": "1h"}, {"plays": 1, "within": "1m"}, None):
        _, report = storm(3, 1, 4, 0, 2, limit=limit)
        assert report["by_status"]["finished"] == 5
        assert report["held"] == {}
        assert report["breaker_at"] is None


def test_nobody_resumes_it_in_a_rehearsal() -> None:
    """What came long after the breaker is held too, and an open play stands still; both are over some day."""
    limit = {"plays": 1, "within": "1h"}
    played, report = storm(0, 1, 600, steps=[{"wait": "30m"}, MAIL], limit=limit, held_for="8d")
    assert by_account(played) == {
        "a0": "open None",
        "a1": "skipped held_too_long",
        "a2": "skipped held_too_long",
    }
    assert report["actions"]["email"] == 0
    assert report["skipped"] == {"held_too_long": 2}


def test_a_wait_that_was_over_before_the_breaker_was_acted_on() -> None:
    limit = {"plays": 1, "within": "1h"}
    played, _ = storm(0, 31, steps=[{"wait": "30m"}, MAIL], limit=limit, held_for="90d")
    assert by_account(played) == {"a0": "finished completed", "a1": "held breaker"}


def test_a_digest_does_not_go_out_once_the_breaker_has_tripped() -> None:
    steps = [{"digest": {"template": "hello", "to": "owner", "at": "09:00"}}]
    for limit, mails in (({"plays": 1, "within": "1h"}, 0), (None, 1)):
        _, report = storm(0, 1, steps=steps, limit=limit, held_for="90d")
        assert report["actions"]["email"] == mails


def test_a_held_play_ends_with_its_exit() -> None:
    log = MemoryLog(
        [account(), account(name="b"), event("it", T0), event("it", T0, "b"), event("paid", T0 + HOUR, "b")]
    )
    triggers = [
        replace(trigger(T0, account=name), position=log.places[n]) for n, name in ((2, "acme"), (3, "b"))
    ]
    limited = book(steps=[MAIL], limit={"plays": 1, "within": "1h"}, exit_when={"event": "paid"})
    played, report = rehearse(limited, triggers, log)
    assert sorted(statuses(played).values()) == [("exited", "exit_event"), ("finished", "completed")]
    assert report["held"] == {}


def test_without_a_limit_of_its_own_it_has_that_of_a_server() -> None:
    """The greater of 20 and a fifth of the accounts known, within an hour."""
    names = [f"n{number}" for number in range(24)]
    log = MemoryLog([*(account(name=name) for name in names), *(event("it", T0, name) for name in names)])
    triggers = [
        replace(trigger(T0, account=name), position=log.places[24 + number])
        for number, name in enumerate(names)
    ]
    unlimited = PlaybookIn.model_validate({"name": "book", "steps": [MAIL]})
    for known, began in ((0, 20), (104, 20), (114, 22), (120, 24)):
        _, report = rehearse(unlimited, triggers, log, accounts=known)
        assert report["by_status"]["finished"] == began
        assert report["by_status"]["held"] == 24 - began


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=12),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_the_breaker_trips_where_one_more_is_too_many(
    given: list[tuple[int, int]], plays: int, within: int
) -> None:
    beginnings = sorted(Beginning(at, lane) for at, lane in given)
    found = tripped(reversed(beginnings), Limit(plays, within), 0)
    for number, one in enumerate(beginnings):
        before = beginnings[:number]
        if sum(one.at - within < other.at for other in before) >= plays:
            assert found is not None
            assert found.at == one.at
            assert {lane: found.admitted.get(lane, 0) for lane in range(3)} == {
                lane: sum(other.lane == lane for other in before) for lane in range(3)
            }
            return
    assert found is None
