"""A playbook that is paused and resumed under load, while workers of actions die and partitions change hands."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, NamedTuple

import httpx
import msgspec
from sqlalchemy import func, select

from backbone.database import Database
from backbone.log import EVENTS
from schemas.event import Event
from services.actions.tables import actions, attempts, plays
from tests.e2e.faults import until_ready
from tests.e2e.history import records
from tests.e2e.progress import Progress
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, until
from tests.e2e.workload import batches, post

NAME = "parcels"
PATIENCE_S = 120.0


class Begun(NamedTuple):
    """The plays that have begun, and the sends."""

    plays: frozenset[str]
    sends: frozenset[tuple[str, int]]


class Paused:
    """A stack with one rule that fires at each order, and one playbook that calls a webhook for it."""

    def __init__(self, stack: Stack, sinks: Sinks, seed: int, progress: Progress | None = None) -> None:
        self.stack, self.sinks = stack, sinks
        self.db: Database = stack.open_database()
        self.posted = self.kills = self.held = 0
        self._rng = random.Random(f"{seed} pauses")
        self._progress = progress or Progress()
        with stack.client() as client:
            self._configure(client)

    def _configure(self, client: httpx.Client) -> None:
        playbook = {"name": NAME, "limit": None, "steps": [{"webhook": {"endpoint": "crm"}}]}
        when = {"threshold": {"event": "order", "within": "1h", "at_least": 1}}
        rule = {"name": NAME, "playbook": NAME, "status": "active", "cooldown": "0s", "when": when}
        for path, body in (
            ("endpoints", {"name": "crm", "url": self.sinks.hook_url}),
            ("playbooks", playbook),
            ("rules", rule),
        ):
            client.post(f"/v1/{path}", json=body).raise_for_status()

    def post(self, count: int) -> None:
        """Orders, each of an account of its own."""
        sent = (
            {"id": f"o{n}", "type": "order", "account": f"a{n}"}
            for n in range(self.posted, self.posted + count)
        )
        with self.stack.client() as client:
            for batch in batches(sent, 20):
                post(client, batch)
        self.posted += count

    def round(self, orders: int) -> None:
        """Orders, a pause in the midst of them, a worker that dies while it lasts, and a resume with another death."""
        some = len(self.begun().plays) + orders // 4
        self.post(orders)
        until("some have begun", lambda: len(self.begun().plays) >= some, PATIENCE_S)
        with self.stack.client() as client:
            self._verb(client, "pause")
            before = self.begun()
        self._kill()
        self.post(orders)
        until("every order has its play", lambda: sum(self.by_status().values()) == self.posted, PATIENCE_S)
        after = self.begun()
        assert after.plays == before.plays, "plays began after the answer"
        assert after.sends == before.sends, "sends began after the answer"
        self.held += self.posted - len(after.plays)
        with self.stack.client() as client:
            self._verb(client, "resume", held="release")
        self._kill()
        until("all of it is done", lambda: self.by_status() == {"finished": self.posted}, PATIENCE_S)
        self._progress.step("rounds")

    def _verb(self, client: httpx.Client, verb: str, **body: Any) -> None:
        """An answer may be lost with a process that dies; nobody is killed meanwhile here."""
        client.post(f"/v1/playbooks/{NAME}/{verb}", json=body).raise_for_status()

    def _kill(self) -> None:
        """One worker dies and comes back: its partitions change hands twice."""
        victim = self._rng.choice(self.stack.of("actions"))
        victim.kill9()
        self.kills += 1
        victim.start()
        until_ready(victim)

    def begun(self) -> Begun:
        """What has begun so far."""
        with self.db.read() as conn:
            began = conn.scalars(select(plays.c.id).where(plays.c.status != "held"))
            sends = conn.execute(select(attempts.c.action, attempts.c.n))
            return Begun(frozenset(began), frozenset((row.action, row.n) for row in sends))

    def by_status(self) -> dict[str, int]:
        """How many plays there are of each status."""
        with self.db.read() as conn:
            counts = conn.execute(select(plays.c.status, func.count()).group_by(plays.c.status))
            return {row[0]: row[1] for row in counts}

    def finish(self) -> str:
        """Every order has begun one play and arrived, and nothing began twice; returns the figures."""
        self.stack.settle()
        assert self.stack.surprises() == []
        assert self.held > 0, "nothing was ever held"
        with self.db.read() as conn:
            triggers = Counter(conn.scalars(select(plays.c.trigger_id)))
            sent = {row.id: row.status for row in conn.execute(select(actions.c.id, actions.c.status))}
        assert (len(triggers), set(triggers.values())) == (self.posted, {1})
        assert (len(sent), set(sent.values())) == (self.posted, {"done"})
        self._told()
        hooks = self.sinks.hooks
        assert hooks.keys() == sent.keys()
        repeats = sum(hooks.values()) - len(hooks)
        self.db.close()
        return f"{self.posted} orders, {self.held} held, {self.kills} kills, {repeats} webhooks arrived again"

    def _told(self) -> None:
        """Each play says once that it began; a repeat after a death has the same id."""
        decode, told = msgspec.json.Decoder(Event).decode, {}
        log = self.stack.open_log()
        try:
            for partition in range(log.partitions):
                for record in records(log, EVENTS, partition):
                    event = decode(record.value)
                    if event.type == "touchline.play.started":
                        told[event.id] = event.data["play"]
        finally:
            log.close()
        assert (len(told), len(set(told.values()))) == (self.posted, self.posted)
