"""The sending policy with the log clock: on the database as in memory, whatever the batches and whoever restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backbone.ownership import Fenced
from schemas.event import from_microseconds
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from services.actions.policy.rules import compile_policy
from services.actions.storage import suppressions
from services.actions.storage.library import POLICY
from services.actions.storage.partition_mails import PartitionMails
from services.actions.tables import actions, begins
from tests.oracle.policy_strategies import plays, policies
from tests.services.actions.kit import HASHER, House
from tests.unit.plays.kit import SECOND, T0, World, account, book, event

JSON = dict[str, Any]
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOON = T0 + 12 * HOUR  # of a Thursday
OFFICE = {"hours": {"from": "08:00", "to": "18:00"}}
Told = dict[str, tuple[str, str | None, int | None]]


def put_policy(house: House, doc: JSON) -> None:
    body = PolicyDoc.model_validate(doc)
    with house.db.write() as conn:
        POLICY.put(conn, POLICY.kind, body.model_dump(mode="json", by_alias=True), "test", 0, None)


def clock_event(at: int) -> Any:
    return event("touchline.clock", at, "").__class__(
        type="touchline.clock", time=from_microseconds(at), id=f"clock-{at}"
    )


class Both:
    """The same plays in memory and on the database."""

    def __init__(self, house: House, policy: JSON, *books: PlaybookIn) -> None:
        self.house = house
        put_policy(house, policy)
        for one in books:
            house.save(one)
        self.world = World(*books, policy=compile_policy(PolicyDoc.model_validate(policy)))

    def say(self, *events: Any) -> None:
        self.world.say(*events)
        for one in events:
            if one.type == "touchline.clock":
                self.house.tick(one)
            else:
                self.house.post(one)
        self.house.settle()

    def fire(self, at: int, **fields: Any) -> None:
        self.world.fire(at, place=0, **fields)
        self.house.fire(at, (0, 0), **fields)
        self.house.settle()

    def clock(self, at: int) -> None:
        self.say(clock_event(at))

    def in_memory(self) -> Told:
        return {
            one.id: (one.status, one.reason, one.begun_at or one.done_at)
            for one in self.world.store.actions.values()
        }

    def stored(self) -> Told:
        """The same; a mail that has begun counts as done, whatever delivery made of it."""
        found = {}
        for row in self.house.rows(actions):
            over = row.begun_at is not None
            status = "done" if over else row.status
            found[row.id] = (status, row.reason, row.begun_at if over else row.done_at)
        return found

    def agree(self) -> Told:
        assert self.stored() == self.in_memory()
        return self.stored()


@pytest.fixture
def both(build: Callable[..., House]) -> Callable[..., Both]:
    return lambda policy, *books, **more: Both(build(partitions=1, **more), policy, *books)


MAIL = {"email": {"template": "hello"}}


def test_a_mail_begins_in_its_hours_and_delivery_gets_it_then(both: Callable[..., Both]) -> None:
    run = both(OFFICE, book(steps=[MAIL]))
    run.say(account(T0))
    run.fire(T0 + HOUR)
    (row,) = run.house.rows(actions)
    assert (row.status, row.reason, row.next_look_at, row.next_attempt_at) == (
        "pending", "quiet_hours", T0 + 8 * HOUR, None,
    )  # fmt: skip
    run.clock(T0 + 8 * HOUR - 1)
    run.house.restart()
    assert run.house.rows(actions)[0].begun_at is None
    run.clock(T0 + 9 * HOUR)
    (row,) = run.house.rows(actions)
    assert (row.begun_at, row.reason, row.waits) == (T0 + 8 * HOUR, None, False)
    assert row.next_attempt_at is not None
    assert run.agree() == {row.id: ("done", None, T0 + 8 * HOUR)}


def test_a_finished_play_whose_mail_waits_still_obeys_exit_when(both: Callable[..., Both]) -> None:
    run = both(OFFICE, book(steps=[MAIL], exit_when={"event": "paid"}))
    run.say(account(T0))
    run.fire(T0 + HOUR)
    run.house.restart()
    run.say(event("paid", T0 + 2 * HOUR))
    run.clock(T0 + DAY)
    ((status, reason, at),) = run.agree().values()
    assert (status, reason, at) == ("skipped", "play_exited", T0 + 2 * HOUR)


def test_a_mail_that_has_begun_is_not_stopped_by_an_exit(both: Callable[..., Both]) -> None:
    run = both({}, book(steps=[MAIL, {"wait": "1d"}], exit_when={"event": "paid"}))
    run.say(account(T0))
    run.fire(T0 + HOUR)
    run.say(event("paid", T0 + 2 * HOUR))
    assert list(run.agree().values()) == [("done", None, T0 + HOUR)]


def test_the_next_mail_of_a_play_keeps_its_distance(both: Callable[..., Both]) -> None:
    weekdays = {"hours": {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}}
    run = both(weekdays, book(steps=[MAIL, {"wait": "1d"}, MAIL, {"wait": "12h"}, MAIL]))
    saturday, monday = T0 + 2 * DAY, T0 + 4 * DAY + 8 * HOUR
    run.say(account(T0))
    run.fire(saturday)
    for at in range(1, 7):
        run.clock(saturday + at * DAY)
        run.house.restart()
    began = sorted(at or 0 for _, _, at in run.agree().values())
    assert began == [monday, monday + DAY, monday + DAY + DAY]


def test_nothing_of_a_paused_playbook_begins(build: Callable[..., House]) -> None:
    from schemas.play_reasons import PlayReason
    from services.actions.storage import holds

    house, key = build(partitions=1), holds.Key("playbook", "book")
    put_policy(house, OFFICE)
    house.save(book(steps=[MAIL]))
    house.post(account(T0))
    house.fire(T0 + HOUR, (0, 0))
    house.settle()
    with house.db.write() as conn:
        holds.pause(conn, key, PlayReason.PAUSED, None, "jo", 0)
    house.worker.holds.stale = True
    house.tick(clock_event(T0 + 9 * HOUR))
    house.settle()
    (row,) = house.rows(actions)
    assert (row.begun_at, row.status) == (None, "pending")
    with house.db.write() as conn:
        holds.resume(conn, key, 0)
    house.worker.holds.stale = True
    house.settle()
    (row,) = house.rows(actions)
    assert row.begun_at == T0 + 9 * HOUR


def test_a_mail_that_cannot_be_rendered_never_begins(build: Callable[..., House]) -> None:
    house = build(partitions=1)
    put_policy(house, {"caps": [{"at_most": 1, "within": "1d"}]})
    house.save(book(steps=[{"email": {"template": "nowhere"}}, MAIL]))
    house.post(account(T0))
    house.fire(NOON, (0, 0))
    house.settle()
    assert [(row.status, row.begun_at) for row in house.rows(actions)] == [
        ("failed", None),
        ("pending", NOON),
    ]


def test_a_mail_that_is_suppressed_meanwhile_never_begins(build: Callable[..., House]) -> None:
    house = build(partitions=1)
    put_policy(house, {**OFFICE, "caps": [{"at_most": 1, "within": "1d"}]})
    house.save(book(steps=[MAIL]))
    house.post(account(T0))
    house.fire(T0 + HOUR, (0, 0))
    house.settle()
    with house.db.write() as conn:
        suppressions.add(conn, HASHER.digest("ann@acme.test"), "lifecycle", None, "by_hand", 1)
    house.tick(clock_event(T0 + 9 * HOUR))
    house.settle()
    (row,) = house.rows(actions)
    assert (row.status, row.reason, row.begun_at) == ("skipped", "suppressed", None)
    assert house.rows(begins) == []


def test_what_is_erased_counts_no_more(build: Callable[..., House]) -> None:
    house = build(partitions=1)
    put_policy(house, {"caps": [{"at_most": 1, "within": "1d"}]})
    house.save(book(steps=[MAIL, MAIL]))
    house.post(account(T0))
    house.fire(NOON, (0, 0))
    house.settle()
    assert [row.account for row in house.rows(begins)] == ["acme"]
    assert [row.reason for row in house.rows(actions)] == [None, "capped"]
    house.post(event("account.deleted", NOON + HOUR, "acme"))
    house.settle()
    assert house.rows(begins) == house.rows(actions) == []
    house.tick(clock_event(NOON + 10 * DAY))
    house.settle()


def test_partitions_of_one_worker_never_pass_a_cap(build: Callable[..., House]) -> None:
    house = build(partitions=2)
    put_policy(house, {"caps": [{"at_most": 1, "within": "1d"}]})
    house.save(book(steps=[MAIL]))
    for number in range(6):
        ((partition, offset),) = house.post(account(NOON + number, f"a{number}"))
        house.fire(NOON + number, (partition, offset), account=f"a{number}")
    house.settle()
    begun = [row for row in house.rows(actions) if row.begun_at is not None]
    assert len(begun) == 1
    assert {row.partition for row in house.rows(actions)} == {0, 1}


def test_a_batch_that_did_not_count_what_began_meanwhile_is_dropped(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = build(partitions=1)
    put_policy(house, {"caps": [{"at_most": 1, "within": "1d"}]})
    house.save(book(steps=[MAIL]))
    house.post(account(T0))
    house.fire(NOON, (0, 0))
    before = PartitionMails.verify

    def meanwhile(mails: PartitionMails, conn: Any) -> None:
        row = {"action": "act_other", "at": NOON - 1, "address": HASHER.digest("ann@acme.test")}
        conn.execute(begins.insert(), [{**row, "account": "best", "topic": "x", "tier": "low"}])
        before(mails, conn)

    monkeypatch.setattr(PartitionMails, "verify", meanwhile)
    with pytest.raises(Fenced, match="began meanwhile"):
        house.settle()
    assert house.rows(actions) == house.rows(begins) == []


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policies(), plays())
def test_the_database_does_what_memory_does(
    build: Callable[..., House], policy: JSON, made: list[JSON]
) -> None:
    books = [_book(number, play) for number, play in enumerate(made)]
    run = Both(build(partitions=1), policy, *books)
    people = [
        {"id": f"p{number}", "email": play["address"], "timezone": play["zone"]}
        for number, play in enumerate(made)
    ]
    run.say(*(account(made[0]["at"] - 1, name, contacts=people) for name in ("a", "b")))
    for number, play in enumerate(made):
        run.clock(play["at"])
        named = {"account": play["account"], "contact": f"p{number}", "tier": play["tier"]}
        run.fire(play["at"], playbook=f"book-{number}", **named)
        if number % 2:
            run.house.restart()
    run.clock(made[-1]["at"] + 2 * DAY)
    run.house.restart()
    run.clock(made[-1]["at"] + 9 * DAY)
    run.agree()


def _book(number: int, play: JSON) -> PlaybookIn:
    steps: list[JSON] = []
    for mail in play["mails"]:
        steps += [] if mail["wait"] == "0s" else [{"wait": mail["wait"]}]
        within = {} if mail["within"] is None else {"within": mail["within"]}
        steps.append({"email": {"template": "hello", **within}})
    return book(f"book-{number}", steps=steps, topic=play["topic"], priority=play["priority"])
