"""The history checker: what the log, the tables and the sinks hold, against the pure engine's answer.

The pure engine and the pure step machine read the same log, in memory, undisturbed. Whatever was killed meanwhile,
the tables must hold exactly what these two come to, and the sinks every mail and webhook that the tables call done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select

from backbone.database import Database
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Log, Record, partition_for
from schemas.event import CONTROL, OWN_PREFIX, Event, Malformed, decode
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.trigger import Trigger, TriggerRecord
from services.actions.plays.memory import MemoryLibrary, MemoryStore
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.model import (
    ActionDraft,
    Rendered,
    RenderFailure,
    RenderJob,
    TaskSpec,
    event_id,
)
from services.actions.plays.partition import PlaysPartition
from services.actions.plays.telling import kind_of_end
from services.actions.tables import actions, attempts, outbox, plays
from services.rules.engine.partition import MemoryAccounts, PartitionEngine
from services.rules.revisions import RuleSets
from services.rules.tables import triggers
from tests.e2e.sinks import Sinks
from tests.e2e.workload import PLAYBOOKS, TEMPLATE

JSON = dict[str, Any]
ENDS = (OWN_PREFIX + "email.", OWN_PREFIX + "webhook.")
_trigger_json = msgspec.json.Encoder().encode


@dataclass
class Expected:
    """What must have come of a log."""

    triggers: dict[str, JSON] = field(default_factory=dict)
    plays: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    actions: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    told: set[str] = field(
        default_factory=set
    )  # ids of touchline.* events, but for the ends of mails and webhooks


def records(log: Log, topic: str, partition: int) -> Iterator[Record]:
    """Everything a partition holds now."""
    offset, end = log.start_offsets(topic)[partition], log.end_offsets(topic)[partition]
    while offset < end:
        found = log.read(topic, partition, offset, 5_000)
        if not found:
            return
        yield from found
        offset = found[-1].offset + 1


def readable(record: Record, partitions: int) -> Event | None:
    """The event in a record, None for poison."""
    try:
        event = decode(
            record.value,
            place=f"{record.topic}/{record.partition}/{record.offset}",
            timestamp=record.timestamp,
        )
    except Malformed:
        return None
    own = event.type in CONTROL or partition_for(event.account or "", partitions) == record.partition
    return event if own else None


def expected(log: Log, db: Database) -> Expected:
    """The pure answer to what is on the log, with the rules saved in the database; log clock."""
    found = Expected()
    for partition in range(log.partitions):
        read = [(r.offset, r.timestamp, readable(r, log.partitions)) for r in records(log, EVENTS, partition)]
        fired = _judged(partition, read, RuleSets(db))
        found.triggers |= {one.id: _shown(one) for one in fired}
        store = _played(partition, read, fired)
        found.plays |= {
            p.id: (p.playbook, p.account, p.tier, p.status, p.reason, p.started_at, p.ended_at)
            for p in store.plays.values()
        }
        found.actions |= {
            a.id: (a.play, a.account, a.channel, a.step, a.recipient, a.due_at)
            for a in store.actions.values()
        }
        found.told |= {event.id for event in store.events if not event.type.startswith(ENDS)}
    return found


def _judged(partition: int, read: list[tuple[int, int, Event | None]], rulesets: RuleSets) -> list[Trigger]:
    by_offset = {offset: event for offset, _, event in read if event is not None}
    engine = PartitionEngine(
        partition,
        clock_mode="log",
        clock=0,
        revision=rulesets(0),
        accounts=MemoryAccounts(),
        rulesets=rulesets,
        fetch=lambda offset: by_offset[offset],
        history=lambda _: (),
    )
    engine.apply([(offset, timestamp, event) for offset, timestamp, event in read if event is not None])
    return engine.drain()


class _Keys:
    """Renders what decides something: the key of a task says whether it is made or updated."""

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        return [Rendered(content=self._content(job.draft)) for job in jobs]

    @staticmethod
    def _content(draft: ActionDraft) -> JSON:
        if not isinstance(draft.spec, TaskSpec) or draft.spec.key is None:
            return {}
        return {"key": draft.spec.key.replace("{{ trigger.id }}", draft.context["trigger"]["id"])}


def _played(
    partition: int, read: list[tuple[int, int, Event | None]], fired: Iterable[Trigger]
) -> MemoryStore:
    store = MemoryStore(_Keys())
    library = MemoryLibrary(
        [PlaybookIn.model_validate(doc) for doc in PLAYBOOKS], [TemplateIn.model_validate(TEMPLATE)]
    )
    part = PlaysPartition(partition, mode="log", store=store, library=library)
    part.merge.offer_events(EventItem(*item) for item in read)
    place = 0
    for place, trigger in enumerate(fired):
        part.merge.offer_trigger(TriggerItem(place, trigger))
    part.merge.offer_progress(place + 1, read[-1][0] + 1 if read else 0)
    while part.step():
        pass
    return store


def _shown(trigger: Trigger) -> JSON:
    shown: JSON = msgspec.json.decode(_trigger_json(trigger))
    return shown


def stored(db: Database) -> Expected:
    """What the tables hold; fails if an id is there twice (they are unique, but who knows)."""
    found = Expected()
    with db.read() as conn:
        docs = [msgspec.json.decode(doc) for doc in conn.scalars(select(triggers.c.doc))]
        play_rows = conn.execute(select(plays)).all()
        action_rows = conn.execute(select(actions)).all()
    found.triggers = {doc["id"]: doc for doc in docs}
    found.plays = {
        p.id: (p.playbook, p.account, p.tier, p.status, p.reason, p.started_at, p.ended_at) for p in play_rows
    }
    found.actions = {a.id: (a.play, a.account, a.channel, a.step, a.recipient, a.due_at) for a in action_rows}
    assert len(docs) == len(found.triggers)
    assert len(play_rows) == len(found.plays)
    assert len(action_rows) == len(found.actions)
    return found


def compare(want: Expected, got: Expected) -> None:
    """Nothing lost, nothing doubled, nothing different."""
    for what in ("triggers", "plays", "actions"):
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
    sink_repeats: int
    uncertain: int

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())


def check(
    log: Log, db: Database, acknowledged: set[tuple[str, str]], sinks: Sinks | None = None, kills: int = 0
) -> Report:
    """Hold everything against everything; the figures. Raises AssertionError with what differs."""
    on_log, own = _on_log(log)
    lost = acknowledged - on_log.keys()
    assert not lost, f"{len(lost)} acknowledged events lost: {sorted(lost)[:5]}"
    want, got = expected(log, db), stored(db)
    compare(want, got)
    _check_own(db, want, own)
    relayed = _relayed(log)
    assert relayed == want.triggers.keys(), f"on the topic: {len(relayed)}, decided: {len(want.triggers)}"
    uncertain = 0 if sinks is None else check_sinks(db, sinks, kills)
    with db.read() as conn:
        assert not conn.execute(select(outbox)).all(), "events left in the outbox"
    repeats = sinks.repeats() if sinks is not None else 0
    return Report(
        len(acknowledged),
        sum(on_log.values()),
        len(got.triggers),
        len(got.plays),
        len(got.actions),
        repeats,
        uncertain,
    )


def _on_log(log: Log) -> tuple[Counter[tuple[str, str]], set[str]]:
    """How often each (account, id) is there, and the ids of our own events."""
    found: Counter[tuple[str, str]] = Counter()
    own: set[str] = set()
    for partition in range(log.partitions):
        for record in records(log, EVENTS, partition):
            event = readable(record, log.partitions)
            if event is None:
                continue
            found[event.account or "", event.id] += 1
            if event.type.startswith(OWN_PREFIX) and event.type not in CONTROL:
                own.add(event.id)
    return found, own


def _check_own(db: Database, want: Expected, own: set[str]) -> None:
    """What we say of ourselves on the log: all that the plays told, and every end of a mail or webhook."""
    with db.read() as conn:
        rows = conn.execute(select(actions.c.id, actions.c.channel, actions.c.status, actions.c.reason)).all()
    ends = {
        event_id(kind, row.id)
        for row in rows
        if (kind := kind_of_end(row.channel, row.status, row.reason)) is not None
    }
    lost, extra = (want.told | ends) - own, own - (want.told | ends)
    assert not lost, f"{len(lost)} own events lost: {sorted(lost)[:5]}"
    assert not extra, f"{len(extra)} own events of nothing: {sorted(extra)[:5]}"


def _relayed(log: Log) -> set[str]:
    found: set[str] = set()
    for partition in range(log.partitions):
        for record in records(log, TRIGGERS, partition):
            body = msgspec.json.decode(record.value, type=TriggerRecord)
            if body.trigger is not None:
                found.add(body.trigger.id)
    return found


def check_sinks(db: Database, sinks: Sinks, kills: int) -> int:
    """Every action that is done has arrived; every arrival is of an action, and as often as there were attempts."""
    with db.read() as conn:
        rows = conn.execute(select(actions.c.id, actions.c.channel, actions.c.status, actions.c.reason)).all()
        tries = Counter(conn.scalars(select(attempts.c.action)))
    arrived = Counter({name.strip("<>").partition("@")[0]: count for name, count in sinks.mails.items()})
    arrived.update(sinks.hooks)
    sent = {row.id: row for row in rows if row.channel != "task"}
    strangers = arrived.keys() - sent.keys()
    assert not strangers, f"arrived without an action: {sorted(strangers)[:5]}"
    for id_, row in sent.items():
        count = arrived[id_]
        assert row.status in {"done", "uncertain", "skipped"}, f"{id_}: {row}"
        assert count >= 1 or row.status != "done", f"{id_} is done and never arrived"
        assert count <= tries[id_], f"{id_} arrived {count} times, {tries[id_]} attempts are recorded"
        assert row.channel != "email" or count <= 1, f"mail {id_} arrived {count} times"
        assert count <= 1 + kills
    return sum(row.status == "uncertain" for row in rows)


def dead_letters(log: Log) -> list[Record]:
    """All of them."""
    return [r for partition in range(log.partitions) for r in records(log, DEAD_LETTERS, partition)]
