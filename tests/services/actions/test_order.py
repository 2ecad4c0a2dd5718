"""Order across the two topics: whichever is late, whoever is restarted, the same plays, exits and rendered mails."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete

from backbone.log import TRIGGERS, Entry
from schemas.event import Event, from_microseconds
from schemas.trigger import Position, Progress, TriggerRecord
from services.actions import tables
from services.actions.worker import ActionsWorker
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.unit.plays.kit import DAY, T0, account, book, event, trigger

_json = msgspec.json.Encoder().encode
FORGOTTEN = [
    getattr(tables, name)
    for name in ("partitions", "accounts", "seen", "plays", "actions", "attempts", "tasks", "outbox")
]
STEPS = [
    {"email": {"template": "hello"}},
    {"wait": "2d"},
    {"email": {"template": "final"}},
    {"task": {"title": "Call"}},
]

HISTORY: list[tuple[Event, str | None]] = [  # events, and the key of a play that rules starts at them
    (account(T0, attributes={"seats": 1}), None),
    (event("it", T0 + 1), "before the update"),
    (account(T0 + 2, attributes={"seats": 2}), None),
    (event("it", T0 + 3), "after the update"),
    (event("paid", T0 + 4, data={"invoice": "after the update"}), None),
    (event("it", T0 + 5), "after the exit event"),
    (account(T0 + DAY, attributes={"seats": 3}), None),
    (event("paid", T0 + DAY, data={"invoice": "after the exit event"}), "paid by itself"),
    (Event(id="end", type="touchline.clock", time=from_microseconds(T0 + 9 * DAY)), None),
]


def records(partition: int) -> list[list[Entry]]:
    """What rules writes after each event: its trigger, if any, and how far it has come."""
    written = []
    for offset, (one, key) in enumerate(HISTORY):
        now = []
        if key is not None:
            at = round((one.time.timestamp() if one.time else 0) * 1_000_000)
            made = trigger(at, offset, key=key)
            made.position = Position(partition, offset)
            now.append(TriggerRecord(trigger=made))
        now.append(TriggerRecord(progress=Progress(partition, offset + 1, 0)))
        written.append([Entry(partition=partition, value=_json(record)) for record in now])
    return written


def outcome(house: House) -> Any:
    plays = [(p.key, p.status, p.reason, p.started_at, p.ended_at) for p in house.rows(PLAYS)]
    mails = sorted((a.id, a.step, a.due_at, str(a.rendered)) for a in house.rows(ACTIONS))
    return sorted(plays), mails, sorted((t.id, t.status) for t in house.rows(TASKS))


def play_out(house: House, order: str, *, restarting: bool) -> Any:
    house.save(book(steps=STEPS, exit_when={"event": "paid", "by": "data.invoice"}))
    told = records(0)
    turns: list[Callable[[], Any]] = []
    says = [lambda one=one: house.post(one) if one.account else house.log.append(  # type: ignore[misc]
        "touchline.events", [Entry(partition=0, value=_json(one))]).result(10) for one, _ in HISTORY]  # fmt: skip
    tells = [lambda part=part: house.log.append(TRIGGERS, part).result(10) for part in told]  # type: ignore[misc]
    if order == "events first":
        turns = [*says, *tells]
    elif order == "triggers first":
        turns = [*tells, *says]
    else:
        turns = [turn for pair in zip(says, tells, strict=True) for turn in pair]
    for turn in turns:
        turn()
        house.work(2)
        if restarting:
            house.restart()
    house.work(6)
    return outcome(house)


@pytest.mark.parametrize("restarting", [False, True])
def test_either_topic_may_lag(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch, restarting: bool
) -> None:
    monkeypatch.setattr(
        ActionsWorker, "_relay", lambda _: None
    )  # our own events would take places between these
    results = [
        play_out(build(partitions=1), order, restarting=restarting)
        for order in ("in turn", "events first", "triggers first")
    ]
    assert results[0] == results[1] == results[2]
    plays, mails, _ = results[0]
    assert [(key, status) for key, status, *_ in plays] == [
        ("after the exit event", "exited"),
        ("after the update", "exited"),
        ("before the update", "finished"),
        ("paid by itself", "finished"),
    ]
    assert (
        len([mail for mail in mails if "'seats': 1" in mail[3]]) == 1
    )  # the first mail of the first play only


def test_a_replay_gives_the_same(build: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that was learnt and played is forgotten, and both topics are read again from their start."""
    monkeypatch.setattr(ActionsWorker, "_relay", lambda _: None)
    house = build(partitions=1)
    first = play_out(house, "in turn", restarting=False)
    with house.db.write() as conn:
        for table in FORGOTTEN:
            conn.execute(delete(table))
    assert outcome(house) == ([], [], [])
    house.restart()
    house.work(6)
    assert outcome(house) == first
