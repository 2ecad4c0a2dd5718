"""A database with actions to deliver, channels that follow a script, and the delivery loop over them."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from backbone.clock import WallClock
from backbone.database import Database
from backbone.settings import Settings
from services.actions.channels.base import Channel, ChannelContext
from services.actions.delivery import Dispatcher
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.suppressions import Hasher
from services.actions.tables import actions, attempts, outbox, plays, suppressions
from tests.migrated import migrated
from tests.unit.channels.helpers import mail

HASHER = Hasher(b"a key for tests only")
PATIENCE_S = 30.0


class Fake:
    """A channel; `script` says how each send ends."""

    concurrency = 20
    per_key = 20
    marks_effect = independent = False
    trouble = None

    def __init__(
        self, script: Callable[[Leased], Any] = lambda _: Outcome(kind="done"), *, idempotent: bool = True
    ):
        self.script, self.idempotent = script, idempotent
        self.prepared: list[str] = []
        self.sent: list[str] = []
        self.begun: dict[str, int] = {}
        self.dropped: list[str] = []
        self.now = self.most = 0
        self.closed = False

    def __call__(self, around: ChannelContext) -> Channel:
        return self

    def concurrency_key(self, action: Leased) -> str:
        return (action.recipient or "").rpartition("@")[2]

    def places(self, key: str) -> int:
        return self.per_key

    async def prepare(self, action: Leased) -> Any:
        self.prepared.append(action.id)
        return _Ready(self, action)

    async def close(self) -> None:
        self.closed = True


class _Ready:
    def __init__(self, channel: Fake, action: Leased) -> None:
        self.channel, self.action = channel, action

    async def send(self, begun_at: int) -> Outcome:
        self.channel.begun[self.action.id] = begun_at
        channel = self.channel
        channel.sent.append(self.action.id)
        channel.now += 1
        channel.most = max(channel.most, channel.now)
        try:
            outcome = channel.script(self.action)
            return await outcome if asyncio.iscoroutine(outcome) else outcome
        finally:
            channel.now -= 1

    async def drop(self) -> None:
        self.channel.dropped.append(self.action.id)


class House:
    """The database, and the questions that tests ask of it."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.db = Database(url or f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.settings = Settings(data_dir=folder, _env_file=None)  # type: ignore[call-arg]
        self.clock = WallClock()
        self.told = threading.Event()
        self.loops: list[Dispatcher] = []

    def loop(self, alone: bool = True, **channels: Fake) -> Dispatcher:
        """A started delivery loop."""
        made = Dispatcher(
            self.settings, self.db, self.clock, HASHER, 2, self.told.set, alone=alone, channels=channels
        )  # fmt: skip
        self.loops.append(made)
        made.start()
        return made

    def put(
        self,
        *ids: str,
        play: str = "ply_1",
        play_status: str = "open",
        each: Sequence[dict[str, Any]] = (),
        **fields: Any,
    ) -> None:
        """Store actions that are due, with these fields; `each`: further fields for each action."""
        now = self.clock.now()
        with self.db.write() as conn:
            if conn.execute(select(plays.c.id).where(plays.c.id == play)).one_or_none() is None:
                conn.execute(insert(plays), [{
                    "id": play, "partition": 0, "playbook": "p", "playbook_version": 1, "rule": "r", "trigger_id": "t",
                    "account": "acme", "scope": "account", "tier": "low", "topic": "lifecycle", "status": play_status,
                    "started_at": now, "trigger": {}, "templates": {},
                }])  # fmt: skip
            conn.execute(insert(actions), [{
                "id": one, "partition": 0, "play": play, "playbook": "p", "account": "acme", "contact": "ann",
                "channel": "email", "step": "0", "recipient": "ann@acme.test", "topic": "lifecycle",
                "status": "pending", "created_at": now, "due_at": now, "next_attempt_at": now, "rendered": mail(),
                **fields, **own,
            } for one, own in zip(ids, each or [{}] * len(ids), strict=True)])  # fmt: skip

    def rows(self, table: Any) -> list[Any]:
        """Everything in a table, oldest first."""
        with self.db.read() as conn:
            return list(conn.execute(select(table).order_by(*table.primary_key.columns)).all())

    def states(self) -> dict[str, tuple[str, str | None]]:
        """The status and reason of every action."""
        return {row.id: (row.status, row.reason) for row in self.rows(actions)}

    def attempts(self, action: str) -> list[tuple[int, str | None, bool]]:
        """The number and outcome of every attempt, and whether it ended."""
        return [
            (row.n, row.outcome, row.ended_at is not None)
            for row in self.rows(attempts)
            if row.action == action
        ]

    def events(self) -> list[str]:
        """The outbox, as text."""
        return [row.value.decode() for row in self.rows(outbox)]

    def suppressed(self) -> list[tuple[str | None, str, str]]:
        """The address, topic and reason of every suppression."""
        return [(row.shown, row.topic, row.reason) for row in self.rows(suppressions)]

    def until(self, done: Callable[[], bool], patience: float = PATIENCE_S) -> None:
        """Wait until something has happened in the loop's thread."""
        deadline = time.monotonic() + patience
        while not done():
            assert time.monotonic() < deadline, (self.states(), [loop.failure for loop in self.loops])
            time.sleep(min(0.5, patience / 6_000))

    def settled(self) -> None:
        """Wait until nothing is pending."""
        self.until(lambda: all(status != "pending" for status, _ in self.states().values()))

    def close(self) -> None:
        for loop in self.loops:
            loop.stop()
            assert loop.failure is None
        self.db.close()
