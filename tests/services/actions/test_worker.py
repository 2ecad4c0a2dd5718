"""The worker: one transaction a batch, restarts, fences, poison, erasure, the outbox."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from backbone.errors import DatabaseUnavailable
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Entry, OffsetOutOfRange, partition_for
from backbone.ownership import Fenced
from schemas.event import Event, from_microseconds
from services.actions import tables
from services.actions.api.views import play_view
from services.actions.storage.ownership import OWNERSHIP
from tests.services.actions.kit import ACTIONS, ATTEMPTS, PLAYS, TASKS, House
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

STEPS = [
    {"task": {"title": "Call"}},
    {"email": {"template": "hello"}},
    {"wait": "1d"},
    {"webhook": {"endpoint": "crm", "body": {"a": "b"}}},
]


def clock(at: int) -> Event:
    return Event(id=f"clock-{at}", type="touchline.clock", time=from_microseconds(at))


def test_a_play_from_trigger_to_end(house: House) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place, contact="bob")
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.step, play.due_at) == ("open", "2", T0 + DAY)
    task, mail = house.rows(ACTIONS)
    assert (task.channel, task.status, task.done_at, task.next_attempt_at) == ("task", "done", T0, None)
    assert (mail.channel, mail.status, mail.recipient) == ("email", "pending", "bob@acme.test")
    assert mail.next_attempt_at == house.clock.now()
    assert mail.rendered["context"]["contact"]["id"] == "bob"
    (made,) = house.rows(TASKS)
    assert (made.id, made.title, made.assignee, made.key) == (task.id, "Call", "jo@us.test", "book/0")

    house.tick(clock(T0 + 2 * DAY))
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.ended_at, play.due_at) == ("finished", T0 + DAY, None)
    assert [action.due_at for action in house.rows(ACTIONS)] == [T0, T0, T0 + DAY]
    kinds = [one.type for one in house.told()]
    assert kinds == ["touchline.play.started", "touchline.task.created", "touchline.play.finished"]
    assert house.waiting() == 0
    assert play_view(play)["started_at"] == "2026-01-01T00:00:00Z"


def test_nothing_is_applied_before_rules_has_passed_it(house: House) -> None:
    house.save(book())
    house.post(account())
    house.work()
    assert not house.rows(tables.accounts)
    house.pass_all()
    house.work()
    assert len(house.rows(tables.accounts)) == 1


def test_a_restart_between_any_two_batches_changes_nothing(build: Callable[..., House]) -> None:
    results = []
    for restarting in (False, True):
        house = build()
        house.save(book(steps=STEPS, exit_when={"event": "stop"}))
        (place,) = house.post(account())
        house.fire(T0, place)
        for step in range(12):
            house.pass_all()
            house.worker.run_once()
            if restarting:
                house.restart()
            if step == 5:
                house.tick(clock(T0 + DAY))
        house.settle()
        results.append([[row.id for row in house.rows(table)] for table in (PLAYS, ACTIONS, TASKS)])
        assert [row.status for row in house.rows(PLAYS)] == ["finished"]
        assert sorted(one.id for one in house.told()) == sorted({one.id for one in house.told()})
    assert results[0] == results[1]


def test_a_failed_commit_leaves_no_trace_and_is_made_up_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.pass_all()
    real = house.renderer.render_many

    def fail(jobs: Any) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(house.renderer, "render_many", fail)
    with pytest.raises(DatabaseUnavailable):
        house.work()
    assert not house.rows(PLAYS)
    assert not house.rows(ACTIONS)
    monkeypatch.setattr(house.renderer, "render_many", real)
    house.worker.restart()
    house.settle()
    assert len(house.rows(PLAYS)) == 1
    assert len(house.rows(ACTIONS)) == 2


def test_a_worker_that_lost_its_partition_writes_nothing(house: House) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    house.work(2)
    with house.db.write() as conn:
        conn.execute(update(tables.partitions).values(epoch=tables.partitions.c.epoch + 1))
    house.fire(T0, place)
    house.pass_all()
    with pytest.raises(Fenced):
        house.work()
    assert not house.rows(PLAYS)
    house.worker.restart()
    house.settle()
    assert len(house.rows(PLAYS)) == 1


def test_the_same_trigger_twice_is_one_play(house: House) -> None:
    house.save(book(steps=STEPS))
    (place,) = house.post(account())
    for _ in range(2):
        house.fire(T0, place)
        house.settle()
    assert len(house.rows(PLAYS)) == 1
    assert len(house.rows(ACTIONS)) == 2


@pytest.mark.parametrize(("mode", "mail"), [("wall", ("skipped", "play_exited")), ("log", ("pending", None))])
def test_an_exit_skips_what_was_not_sent_and_closes_tasks(
    build: Callable[..., House], mode: str, mail: tuple[str, str | None]
) -> None:
    """With the log clock a mail counts as sent when its step ran: a replay must not depend on how fast mails go."""
    house = build(mode=mode)
    house.save(book(steps=STEPS, exit_when={"event": "stop"}))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    house.post(event("stop", T0 + 1))
    house.settle()
    (play,) = house.rows(PLAYS)
    assert (play.status, play.reason, play.due_at) == ("exited", "exit_event", None)
    assert [(a.status, a.reason) for a in house.rows(ACTIONS)] == [("done", None), mail]
    assert [(t.status, t.reason) for t in house.rows(TASKS)] == [("closed", "exit_event")]


@pytest.mark.parametrize(("mode", "mail"), [("wall", "skipped"), ("log", "pending")])
def test_an_exit_in_the_same_batch_does_the_same(build: Callable[..., House], mode: str, mail: str) -> None:
    house = build(mode=mode)
    house.save(book(steps=STEPS, exit_when={"event": "stop"}))
    place, _ = house.post(account(), event("stop", T0 + 1))
    house.fire(T0, place)
    house.settle()
    assert [(a.channel, a.status) for a in house.rows(ACTIONS)] == [("task", "done"), ("email", mail)]
    assert [row.status for row in house.rows(TASKS)] == ["closed"]
    assert len(house.renderer.rendered) == (1 if mail == "skipped" else 2)  # what is not sent is not rendered


def test_versions_hold_for_the_whole_play(house: House) -> None:
    house.save(book(steps=[{"wait": "1d"}, {"email": {"template": "hello"}}]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    with house.db.write() as conn:
        from services.actions.storage.library import PLAYBOOKS, TEMPLATES

        TEMPLATES.put(conn, "hello", {"subject": "new", "markdown": "m"}, "test", 0)
        PLAYBOOKS.put(conn, "book", {"name": "book", "steps": []}, "test", 0)
    house.restart()
    house.tick(clock(T0 + DAY))
    house.settle()
    (mail,) = house.rows(ACTIONS)
    assert mail.rendered["subject"] == "hello"


def test_a_task_that_cannot_be_rendered_fails_with_the_error(house: House) -> None:
    house.save(book(steps=[{"task": {"title": "boom"}}, {"task": {"title": "Call"}}]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    failed, done = house.rows(ACTIONS)
    assert (failed.status, failed.reason, failed.attempts) == ("failed", "template_error", 1)
    assert done.status == "done"
    assert [(a.action, a.outcome, a.detail) for a in house.rows(ATTEMPTS)] == [
        (failed.id, "permanent", "boom")
    ]
    assert len(house.rows(TASKS)) == 1


def test_an_open_task_is_updated_by_the_next_play_and_belongs_to_it(house: House) -> None:
    house.save(book(steps=[{"task": {"title": "Call", "due": "1d"}}], exit_when={"event": "stop"}))
    (first,) = house.post(account())
    house.fire(T0, first)
    (second,) = house.post(event("it", T0 + DAY))
    house.fire(T0 + DAY, second)
    house.settle()
    (task,) = house.rows(TASKS)
    plays = house.rows(PLAYS)
    assert (task.due_at, task.play) == (T0 + 2 * DAY, plays[1].id)
    assert [a.reason for a in house.rows(ACTIONS)] == [None, "task_updated"]


def test_poison_among_the_triggers_goes_to_the_dead_letters_and_blocks_nothing(house: House) -> None:
    house.save(book())
    (place,) = house.post(account())
    bad = [
        b"\xff",
        b"{}",
        b'{"trigger": {"id": "x"}}',
        b'{"progress": {"partition": 7, "offset": 1, "clock": 0}}',
    ]
    house.log.append(TRIGGERS, [Entry(partition=place[0], value=value) for value in bad]).result(10)
    house.fire(T0, place)
    house.settle()
    assert len(house.rows(PLAYS)) == 1
    letters = [
        r
        for p in range(2)
        for r in house.log.read(DEAD_LETTERS, p, 0)
        if house.log.end_offsets(DEAD_LETTERS)[p]
    ]
    assert sorted(bytes(letter.value) for letter in letters) == sorted(bad)
    assert all({name for name, _ in letter.headers} == {"origin", "error"} for letter in letters)


def test_events_that_cannot_be_read_or_lie_wrong_change_nothing(house: House) -> None:
    house.save(book())
    home = partition_for("acme", 2)
    wrong = Entry(partition=1 - home, value=_encoded(account(name="acme")))
    house.log.append(EVENTS, [Entry(partition=home, value=b"nonsense"), wrong]).result(10)
    house.settle()
    assert not house.rows(tables.accounts)
    with house.db.read() as conn:
        assert sum(row.next_event for row in OWNERSHIP.positions(conn).values()) == 2


def _encoded(one: Event) -> bytes:
    from schemas.event import encode

    return encode(one)


def test_erasure_empties_every_table(house: House) -> None:
    house.save(book(steps=[{"task": {"title": "boom"}}, *STEPS]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    house.post(event("account.deleted", T0 + 1))
    house.settle()
    left = [t for t in (PLAYS, ACTIONS, TASKS, ATTEMPTS, tables.accounts, tables.outbox) if house.rows(t)]
    assert not left


def test_waits_of_many_plays_run_in_order_page_by_page(house: House) -> None:
    house.save(book(steps=[{"wait": "1d"}, {"task": {"title": "Go", "key": "{{ key }}"}}, {"wait": "1d"}]))
    (place,) = house.post(account())
    house.settle()
    for n in range(220):
        house.fire(T0 + n, place, key=str(n))
    house.settle()
    assert {row.status for row in house.rows(PLAYS)} == {"open"}
    house.restart()
    house.tick(clock(T0 + 3 * DAY))
    house.settle(6)
    assert {row.status for row in house.rows(PLAYS)} == {"finished"}
    dues = [row.due_at for row in house.rows(ACTIONS)]
    assert len(dues) == 220
    assert dues == sorted(dues)


def test_wall_clock_a_wait_is_acted_on_when_its_moment_has_come(build: Callable[..., House]) -> None:
    house = build(mode="wall")
    house.clock.set(2**50)
    house.save(book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    (play,) = house.rows(PLAYS)
    house.clock.set(play.due_at)
    house.settle()
    assert not house.rows(ACTIONS)
    house.clock.set(play.due_at + 2 * SECOND)
    house.post(event("unread", T0))
    house.work()  # rules has not passed it yet
    assert not house.rows(ACTIONS)
    house.settle()
    assert [row.due_at for row in house.rows(ACTIONS)] == [play.due_at]


def test_quiet_batches_are_not_committed_one_by_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.save(book())
    house.post(account())
    house.settle()
    monkeypatch.setattr("services.actions.worker.LAZY_S", 1_000.0)
    house.post(*[event("noise", T0 + n) for n in range(50)])
    house.pass_all()
    house.worker.run_once()
    with house.db.read() as conn:
        before = sum(row.next_event for row in OWNERSHIP.positions(conn).values())
    assert before == 1
    house.work()
    with house.db.read() as conn:
        assert sum(row.next_event for row in OWNERSHIP.positions(conn).values()) == 51


def test_a_play_ended_by_hand_while_its_next_step_was_rendered_stays_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.save(book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}]))
    (place,) = house.post(account())
    house.fire(T0, place)
    house.settle()
    real = house.renderer.render_many

    def meanwhile(jobs: Any) -> Any:
        with house.db.write() as conn:
            conn.execute(update(PLAYS).values(status="exited", reason="by_hand", due_at=None))
        return real(jobs)

    monkeypatch.setattr(house.renderer, "render_many", meanwhile)
    house.tick(clock(T0 + 2 * DAY))
    with pytest.raises(Fenced):
        house.work()
    monkeypatch.setattr(house.renderer, "render_many", real)
    house.worker.restart()
    house.settle()
    assert [(row.status, row.reason) for row in house.rows(PLAYS)] == [("exited", "by_hand")]
    assert not house.rows(ACTIONS)


def test_reading_pauses_while_rules_lags_and_goes_on_after(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.actions.partition_task.BUFFER_RECORDS", 10)
    monkeypatch.setattr("services.actions.worker.BATCH", 10)
    house.save(book())
    house.post(*[account(T0 + n, name=f"a{n}") for n in range(100)])
    house.work(40)
    held = [task.merge.waiting_events for task in house.worker.tasks.values()]
    assert all(10 <= waiting <= 30 for waiting in held)
    assert not house.rows(tables.accounts)
    house.pass_all()
    house.work(60)
    assert len(house.rows(tables.accounts)) == 100


def test_more_triggers_than_fit_before_the_first_progress_hold_up_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.actions.partition_task.BUFFER_RECORDS", 5)
    monkeypatch.setattr("services.actions.worker.BATCH", 5)
    house.save(book(steps=[]))
    places = house.post(*[account(T0 + n) for n in range(20)])
    for n, place in enumerate(places):
        house.fire(T0 + n, place, key=str(n))
    house.work(60)  # rules has told no progress yet
    assert len(house.rows(PLAYS)) == 20


@pytest.mark.parametrize(("topic", "column"), [(EVENTS, "next_event"), (TRIGGERS, "next_trigger")])
def test_a_partition_whose_records_were_deleted_unread_stops_alone(
    house: House, topic: str, column: str
) -> None:
    house.save(book())
    names = {partition_for(name, 2): name for name in ("acme", "b", "c", "d", "e")}
    lost, fine = partition_for("acme", 2), 1 - partition_for("acme", 2)
    house.post(account(), account(name=names[fine]))
    house.settle()
    places = tables.partitions
    with house.db.write() as conn:
        conn.execute(update(places).where(places.c.partition == lost).values({column: 10**6}))
    house.restart()
    (_, place) = house.post(account(), account(name=names[fine]))
    house.fire(T0, place, account=names[fine])
    house.settle()
    assert set(house.worker.halted) == {(topic, lost)}
    assert isinstance(house.worker.failure, OffsetOutOfRange)  # so it is not ready
    assert [play.account for play in house.rows(PLAYS)] == [names[fine]]
