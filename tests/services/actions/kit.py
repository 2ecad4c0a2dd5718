"""The actions worker on SQLite and the embedded log, driven by hand: without threads, on a clock that stands still."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry
from backbone.log.embedded.log import EmbeddedLog
from schemas.event import Event, encode
from schemas.playbook import PlaybookIn
from schemas.trigger import Position, Progress, TriggerRecord
from services.actions import tables
from services.actions.channels.webhook.spec import WebhookSpec
from services.actions.plays.model import Rendered, RenderFailure, RenderJob, TaskSpec
from services.actions.storage import outbox
from services.actions.storage.library import ENDPOINTS, PLAYBOOKS, TEMPLATES
from services.actions.storage.suppressions import Hasher
from services.actions.worker import ActionsWorker
from tests.migrated import migrated
from tests.unit.plays.kit import T0, trigger

HASHER = Hasher(b"a key for tests only")
_json = msgspec.json.Encoder().encode


def empty_tables(conn: Connection) -> None:
    """Delete all rows; those that count the others last."""
    counts = [tables.STATS.changes, tables.STATS.counts]
    for table in (*(one for one in tables.metadata.sorted_tables if one not in counts), *counts):
        conn.execute(delete(table))


class PlainRenderer:
    """Renders by leaving every text as it is; a title `boom` fails."""

    def __init__(self) -> None:
        self.rendered: list[str] = []

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        return [self._one(job) for job in jobs]

    def _one(self, job: RenderJob) -> Rendered | RenderFailure:
        self.rendered.append(job.draft.id)
        spec = job.draft.spec
        if isinstance(spec, TaskSpec):
            if spec.title == "boom":
                return RenderFailure(reason="template_error", detail="boom")
            return Rendered(content={"title": spec.title, "body": spec.body, "key": spec.key})
        if isinstance(spec, WebhookSpec):
            return Rendered(content={"body": spec.body})
        return Rendered(content={"subject": (spec.document or {})["subject"], "context": job.draft.context})

    def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
        return [(field, "line 1: broken") for field, source in sources.items() if source.endswith("{{")]


class House:
    """One database and one log; `worker` may be replaced, as after a crash."""

    def __init__(
        self, folder: Path, *, mode: Any = "log", partitions: int = 2, url: str | None = None
    ) -> None:
        self.db = Database(url or f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, partitions)
        self.clock = ManualClock(T0)
        self.mode = mode
        self.renderer = PlainRenderer()
        self.worker = self.restart()

    def restart(self) -> ActionsWorker:
        """Make a new worker; the memory of the old one is lost."""
        if hasattr(self, "worker"):
            self.worker.consumer.close()
        self.worker = ActionsWorker(
            self.db, self.log, self.clock, self.renderer, mode=self.mode, idle=0.0, hasher=HASHER
        )
        self.worker.join()
        return self.worker

    def close(self) -> None:
        self.worker.consumer.close()
        self.log.close()
        self.db.close()

    def save(self, playbook: PlaybookIn, templates: Sequence[str] = ("hello", "final")) -> None:
        with self.db.write() as conn:
            for name in templates:
                TEMPLATES.put(conn, name, {"subject": name, "markdown": "m"}, "test", 0)
            ENDPOINTS.put(conn, "crm", {"url": "https://crm.test"}, "test", 0)
            doc = playbook.model_dump(mode="json", by_alias=True, exclude_unset=True)
            PLAYBOOKS.put(conn, playbook.name, doc, "test", 0)
        self.worker.library.stale = True

    def post(self, *events: Event) -> list[tuple[int, int]]:
        """Append events; returns their places."""
        entries = [Entry(key=event.account, value=encode(event)) for event in events]
        return self.log.append(EVENTS, entries).result(10)

    def tick(self, at: Event) -> None:
        """Append the same control event to every partition."""
        entries = [Entry(partition=p, value=encode(at)) for p in range(self.log.partitions)]
        self.log.append(EVENTS, entries).result(10)
        self.pass_all()

    def pass_all(self) -> None:
        """Let rules be past everything on the log."""
        ends = self.log.end_offsets(EVENTS)
        entries = [
            Entry(partition=p, value=_json(TriggerRecord(progress=Progress(p, end, 0))))
            for p, end in ends.items()
        ]
        self.log.append(TRIGGERS, entries).result(10)

    def fire(self, at: int, place: tuple[int, int], **fields: Any) -> str:
        """Append a trigger decided at a place; returns its id."""
        made = trigger(at, place[1], **fields)
        made.position = Position(*place)
        record = _json(TriggerRecord(trigger=made))
        self.log.append(TRIGGERS, [Entry(partition=place[0], value=record)]).result(10)
        return made.id

    def work(self, rounds: int = 8) -> None:
        """Let the worker read and apply everything there is, its own events included (rules is past everything)."""
        for _ in range(rounds):
            self.worker.run_once()

    def settle(self, rounds: int = 4) -> None:
        """As `work`, while rules keeps up with the events that the worker itself appends."""
        for _ in range(rounds):
            self.pass_all()
            self.work(3)

    def rows(self, table: Table) -> list[Any]:
        order = table.c.seq if "seq" in table.c else next(iter(table.primary_key))
        with self.db.read() as conn:
            return list(conn.execute(select(table).order_by(order)))

    def waiting(self) -> int:
        with self.db.read() as conn:
            return outbox.count(conn)

    def told(self) -> list[Event]:
        """Touchline's own events on the log, by partition."""
        decode = msgspec.json.Decoder(Event).decode
        found = []
        for partition in range(self.log.partitions):
            records = self.log.read(EVENTS, partition, self.log.start_offsets(EVENTS)[partition], 10_000)
            found += [decode(record.value) for record in records]
        return [event for event in found if event.source == "touchline"]


PLAYS, ACTIONS, TASKS, ATTEMPTS = tables.plays, tables.actions, tables.tasks, tables.attempts
