"""The history checker: compares the contents of the log, the tables and the sinks with the pure engine's answer.

The pure engine and the pure step machine read the same log, in memory, undisturbed. Whatever was killed meanwhile,
the tables must hold exactly their answer, and the sinks every mail and webhook that the tables call done.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select

from backbone.database import Database
from backbone.log import EVENTS, Log
from schemas.event import OWN_PREFIX, Event
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.trigger import Moved, Trigger
from services.actions.channels import CHANNELS
from services.actions.plays.holdout import number_of
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.model import Play, event_id
from services.actions.plays.processor import PlaysPartition
from services.actions.storage.rows import PLAY_COLUMNS, play_of
from services.actions.tables import accounts, actions, outbox, plays, tasks
from services.rules.engine.merging import MergeOutput
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.storage.revisions import RuleSets
from services.rules.tables import outbox as rules_outbox
from services.rules.tables import triggers
from tests.e2e.deliveries import Witness, check_deliveries, settled
from tests.e2e.letters import Filler, said
from tests.e2e.topics import posted, readable, records, relayed, shown
from tests.e2e.workload import HOLDOUT, PLAYBOOKS, TEMPLATE

JSON = dict[str, Any]
ENDS = (OWN_PREFIX + "email.", OWN_PREFIX + "webhook.")
PAGE = 1_000  # rows to read at a time; with their mails they are large
_json = msgspec.json.encode


@dataclass
class Expected:
    """Everything that a log must have led to, by its id."""

    triggers: dict[str, JSON] = field(default_factory=dict)
    plays: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    actions: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # first how it ended, last what it says
    tasks: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    profiles: dict[str, JSON] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # touchline.* events, except the ends of mails and webhooks
    sent_on: set[tuple[str, bytes]] = field(default_factory=set)  # what merges leave for others


def _play(p: Play) -> tuple[Any, ...]:
    about = (p.playbook, p.rule, p.trigger_id, p.account, p.contact, p.key, p.tier)
    wait = p.wait and (p.wait.due, p.wait.until)
    goal = (p.began_at, p.goal_until, p.goal_reached_at)
    return (*about, p.status, p.reason, p.step, p.started_at, p.ended_at, wait, *goal)


def _action(a: Any, status: str) -> tuple[Any, ...]:
    about = (a.play, a.account, a.contact, a.channel, a.step, a.recipient, a.due_at)
    return (status, *about, said(a.channel, a.rendered))


def _task(t: Any) -> tuple[Any, ...]:
    return (t.play, t.account, t.key, t.title, t.body, t.assignee, t.status, t.reason, t.due_at)


def expected(log: Log, db: Database) -> Expected:
    """The pure answer to the events on the log, with the rules saved in the database, on the log clock."""
    found = Expected()
    for partition in range(log.partitions):
        read = [(r.offset, r.timestamp, readable(r, log.partitions)) for r in records(log, EVENTS, partition)]
        decided, out = _judged(partition, read, RuleSets(db))
        found.sent_on |= {(sent.account, sent.value) for sent in out.sent}
        found.triggers |= {one.id: shown(one) for one in decided if isinstance(one, Trigger)}
        store = _played(partition, read, decided)
        found.plays |= {p.id: _play(p) for p in store.plays.values()}
        found.actions |= {a.id: _action(a, a.status) for a in store.actions.values()}
        found.tasks |= {t.id: _task(t) for t in store.tasks.values()}
        found.profiles |= {p.id: msgspec.json.decode(_json(p)) for p in store.profiles.values()}
        found.told |= {event.id for event in store.events if not event.type.startswith(ENDS)}
    return found


def _judged(
    partition: int, read: list[tuple[int, int, Event | None]], rulesets: RuleSets
) -> tuple[list[Trigger | Moved], MergeOutput]:
    by_offset = {offset: event for offset, _, event in read if event is not None}
    engine = PartitionEngine(
        partition,
        clock_mode="log",
        clock=0,
        revision=rulesets(0),
        accounts=InMemoryAccounts(),
        rulesets=rulesets,
        fetch=lambda offset: by_offset[offset],
        history=lambda _: (),
    )
    engine.apply([(offset, timestamp, event) for offset, timestamp, event in read if event is not None])
    fired, out = engine.drain(), engine.take_out()
    decided: list[Trigger | Moved] = [*fired, *(moved for _, moved in out.moved)]
    return sorted(decided, key=lambda one: one.position.offset), out


def _played(
    partition: int, read: list[tuple[int, int, Event | None]], decided: Iterable[Trigger | Moved]
) -> MemoryStore:
    store = MemoryStore(Filler())
    library = MemoryLibrary(
        [PlaybookIn.model_validate(doc) for doc in PLAYBOOKS], [TemplateIn.model_validate(TEMPLATE)]
    )
    part = PlaysPartition(partition, mode="log", store=store, library=library)
    part.merge.offer_events(EventItem(*item) for item in read)
    place = 0
    for place, one in enumerate(decided):
        part.merge.offer_trigger(TriggerItem(place, one))
    part.merge.offer_progress(place + 1, read[-1][0] + 1 if read else 0)
    while part.step():
        pass
    return store


def stored(db: Database) -> Expected:
    """The contents of the tables. Fails if an id is there twice, though the tables should refuse that."""
    found = Expected()
    rows = 0
    with db.read() as plain:
        conn = plain.execution_options(yield_per=PAGE)
        for doc in map(msgspec.json.decode, conn.scalars(select(triggers.c.doc))):
            found.triggers[doc["id"]] = doc
            rows += 1
        for play in conn.execute(select(*PLAY_COLUMNS)):
            found.plays[play.id] = _play(play_of(play))
            rows += 1
        for action in conn.execute(select(actions)):
            ended = settled(action.status, action.reason, action.attempts)
            found.actions[action.id] = _action(action, ended)
            rows += 1
        for task in conn.execute(select(tasks)):
            found.tasks[task.id] = _task(task)
            rows += 1
        for account, profile in conn.execute(select(accounts.c.account, accounts.c.profile)):
            found.profiles[account] = msgspec.json.decode(profile)
    ids = len(found.triggers) + len(found.plays) + len(found.actions) + len(found.tasks)
    assert rows == ids, f"{rows - ids} rows have the id of another"
    return found


def compare(want: Expected, got: Expected) -> None:
    """Check that nothing is lost, doubled or different."""
    for what in ("triggers", "plays", "actions", "tasks", "profiles"):
        before, after = getattr(want, what), getattr(got, what)
        lost, extra = before.keys() - after.keys(), after.keys() - before.keys()
        unlike = [key for key in before.keys() & after.keys() if before[key] != after[key]]
        examples = [
            *((key, before[key]) for key in sorted(lost)[:2]),
            *((key, after[key]) for key in sorted(extra)[:2]),
            *((key, before[key], after[key]) for key in sorted(unlike)[:2]),
        ]
        counts = (
            f"{what}: {len(before)} expected, {len(lost)} lost, {len(extra)} too many, {len(unlike)} unlike"
        )
        assert [*lost, *extra, *unlike] == [], f"{counts}: {examples}"


@dataclass
class Report:
    """The figures of a run, to be printed."""

    acknowledged: int
    on_log: int
    triggers: int
    plays: int
    actions: int
    told_again: int  # records of triggers and of our own events that are repeats
    sink_repeats: int
    uncertain: int

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())


def check(
    log: Log, db: Database, acknowledged: set[tuple[str, str]], sinks: Witness, kills: int = 0
) -> Report:
    """Compare the log, the tables and the sinks; returns the figures. Raises AssertionError with the differences.

    `kills`: how often actions was killed, or anything else happened that leaves sends on the wire in doubt.
    """
    on_log = posted(log)
    lost = acknowledged - on_log.events.keys()
    assert not lost, f"{len(lost)} acknowledged events lost: {sorted(lost)[:5]}"
    want, got = expected(log, db), stored(db)
    compare(want, got)
    _check_own(db, want, on_log.own.keys())
    _check_held_out(db, on_log.own.keys())
    assert on_log.sent_on.keys() == want.sent_on, "what merges leave for others is lost, or of nothing"
    told_again = relayed(log, want.triggers) + on_log.own.total() - len(on_log.own)
    told_again += on_log.sent_on.total() - len(on_log.sent_on)
    delivered = check_deliveries(db, sinks, {one: row[-1] for one, row in got.actions.items()}, kills)
    with db.read() as conn:
        assert not conn.execute(select(outbox)).all(), "events left in the outbox"
        assert not conn.execute(select(rules_outbox)).all(), "records left in the outbox of rules"
    return Report(
        len(acknowledged),
        on_log.events.total() + on_log.own.total(),
        len(got.triggers),
        len(got.plays),
        len(got.actions),
        told_again,
        delivered.repeats,
        delivered.uncertain,
    )


def _check_held_out(db: Database, own: Set[str]) -> None:
    """Check that nobody who is held out was touched, and nobody else left alone. Asks neither engine."""
    with db.read() as conn:
        began = conn.execute(select(plays).where(plays.c.began_at.is_not(None))).all()
        touched = {*conn.scalars(select(actions.c.play)), *conn.scalars(select(tasks.c.play))}
    for play in began:
        alone = play.playbook == "thanks" and number_of("thanks", play.account) < HOLDOUT
        assert (play.status == "held_out") is alone, f"{play.account}: {play.status}"
        if alone:
            assert play.id not in touched, f"{play.account} is held out and was touched"
            told = {event_id(f"play.{kind}", play.id) for kind in ("started", "finished", "exited")}
            assert not told & own, f"the play of {play.account} is held out, and the log tells of it"


def _check_own(db: Database, want: Expected, own: Set[str]) -> None:
    """Check Touchline's own events on the log: all that the plays told, and every end of a mail or webhook."""
    with db.read() as conn:
        rows = conn.execute(select(actions.c.id, actions.c.channel, actions.c.status, actions.c.reason)).all()
    ends = {
        event_id(kind, row.id)
        for row in rows
        if (kind := CHANNELS[row.channel].event(row.status, row.reason)) is not None
    }
    lost, extra = (want.told | ends) - own, own - (want.told | ends)
    assert not lost, f"{len(lost)} own events lost: {sorted(lost)[:5]}"
    assert not extra, f"{len(extra)} own events of nothing: {sorted(extra)[:5]}"
