"""Old triggers leave at the daily tick: by themselves where no play came of them, else when actions say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backbone.log import EVENTS, Entry, partition_for
from schemas.event import CLOCK, DAY_US, FORGOTTEN, Event, day_of, encode, from_microseconds
from schemas.rule import RuleIn
from schemas.trigger import Trigger
from services.rules.storage import retention
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.retention import KEPT_US, is_swept
from tests.services.rules.test_worker import T0, Rules, rules

DAY0 = day_of(T0)
_trigger = msgspec.json.Decoder(Trigger).decode
EACH = {"threshold": {"event": "login", "at_least": 1}}


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Rules]:
    """Rules of every sort: one that only records, one in shadow, one that starts plays."""
    with rules(tmp_path / "r") as made:
        for name, more in (
            ("plain", {}), ("shadow", {"status": "shadow", "playbook": "book"}), ("plays", {"playbook": "book"}),
            ("once", {"cooldown": "once"}),
        ):  # fmt: skip
            body = {"name": name, "when": EACH, "status": "active", "cooldown": "0s"} | more
            made.saver.run(
                lambda conn, body=body: made.saver.create(conn, RuleIn.model_validate(body), "test")
            )
        yield made


def put(ours: Rules, event: Event) -> None:
    everywhere = event.account is None
    places = range(2) if everywhere else [partition_for(event.account or "", 2)]
    ours.log.append(
        EVENTS, [Entry(partition=p, key=event.account, value=encode(event)) for p in places]
    ).result(10)
    ours.catch_up()
    for _ in range(5):
        ours.worker.run_once()


def carry(ours: Rules, at: int) -> None:
    put(ours, Event(type=CLOCK, id=f"c{at}", source="touchline", time=from_microseconds(at)))


def login(ours: Rules, at: int, account: str = "acme") -> None:
    put(ours, Event(type="login", id=f"e{at}", source="t", account=account, time=from_microseconds(at)))


def told(ours: Rules) -> list[str]:
    return sorted(_trigger(doc).rule for doc in ours.stored()[1])


def test_triggers_without_a_play_leave_at_the_tick_and_others_stay(ours: Rules) -> None:
    login(ours, DAY0)
    assert told(ours) == ["once", "plain", "plays", "shadow"]
    carry(ours, DAY0 + KEPT_US - 1)
    assert told(ours) == ["once", "plain", "plays", "shadow"]
    carry(ours, DAY0 + KEPT_US)
    assert told(ours) == ["plays"]


def test_what_fired_later_in_the_day_leaves_a_day_later(ours: Rules) -> None:
    login(ours, DAY0 + 1)
    carry(ours, DAY0 + KEPT_US + DAY_US - 1)
    assert len(told(ours)) == 4
    carry(ours, DAY0 + KEPT_US + DAY_US)
    assert told(ours) == ["plays"]


def test_a_trigger_leaves_with_its_play(ours: Rules) -> None:
    login(ours, DAY0)
    login(ours, DAY0 + 1, "beta")
    mine = {one.account: one.id for doc in ours.stored()[1] if (one := _trigger(doc)).rule == "plays"}
    said = Event(
        type=FORGOTTEN,
        id="f",
        source="touchline",
        time=from_microseconds(T0),
        data={"triggers": [mine["acme"], "x", 7]},
    )
    put(ours, said)
    assert {_trigger(doc).account for doc in ours.stored()[1] if _trigger(doc).rule == "plays"} == {"beta"}
    put(ours, Event(type=FORGOTTEN, id="g", source="touchline", time=from_microseconds(T0), data="odd"))
    assert len(told(ours)) == 7


def test_cooldowns_and_repeats_outlive_it(ours: Rules) -> None:
    login(ours, DAY0)
    carry(ours, DAY0 + KEPT_US)
    assert told(ours) == ["plays"]
    login(ours, DAY0)  # the same event once more: long ago, and known
    assert told(ours) == ["plays"]
    login(ours, DAY0 + KEPT_US + DAY_US)
    assert told(ours) == ["plain", "plays", "plays", "shadow"]  # once is once


def test_more_than_one_transaction_holds_and_a_restart_between(
    ours: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for n in range(5):
        login(ours, DAY0 - n)
    ours.worker._retention.sweep = lambda *_: None  # type: ignore[method-assign]
    carry(ours, DAY0 + KEPT_US)
    with ours.db.read() as conn:
        assert not all(is_swept(row, None) for row in OWNERSHIP.positions(conn).values())
    assert told(ours).count("plain") == 5
    del ours.worker._retention.sweep  # type: ignore[method-assign]
    for _ in range(20):
        ours.worker.run_once()
    assert told(ours) == ["plays"] * 5
    with ours.db.read() as conn:
        assert all(is_swept(row, None) for row in OWNERSHIP.positions(conn).values())


def test_what_is_not_on_the_log_yet_leaves_once_it_is_and_not_a_day_later(
    ours: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole year may be in one batch."""
    monkeypatch.setattr(retention, "SOON_S", 0.0)
    events = [
        Event(type="login", id="e", source="t", account="acme", time=from_microseconds(DAY0)),
        Event(type=CLOCK, id="c", source="touchline", time=from_microseconds(DAY0 + KEPT_US)),
    ]
    place = partition_for("acme", 2)
    ours.log.append(
        EVENTS, [Entry(partition=place, key=one.account, value=encode(one)) for one in events]
    ).result(10)
    ours.catch_up()
    for _ in range(5):
        ours.worker.run_once()
    assert told(ours) == ["plays"]
