"""Mails of many accounts to one address under a cap of one, while workers of actions die.

A try is an address to which every account mails at once. By the wall clock the cap's window is a day, so that one mail
of each try begins, and no other. By the log clock it is an hour, and then one record moves the clock beyond all of
them: each partition runs its hours at its own pace. The mails have different priorities, so that while one begins
another that would go first comes along.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from backbone.database import Database
from services.actions.tables import actions, attempts
from tests.e2e.faults import until_ready
from tests.e2e.progress import Progress
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, until_there
from tests.e2e.workload import START, batches, post

NAME = "caps"
WINDOW_S = {"wall": 24 * 3_600, "log": 3_600}
PRIORITIES = (1, 5, 9)
AT_ONCE = 100  # events of a request


class Capped:
    """A stack with a policy of one mail in a window to an address."""

    def __init__(
        self, stack: Stack, sinks: Sinks, seed: int, accounts: int, progress: Progress | None = None
    ) -> None:
        self.stack, self.sinks, self.accounts = stack, sinks, accounts
        self.db: Database = stack.open_database()
        self.clock = stack.settings["CLOCK"]
        self.window_s = WINDOW_S[self.clock]
        self.mails = self.kills = 0
        self._rng = random.Random(f"{seed} caps {self.clock}")
        self._progress = progress or Progress()

    def run(self, tries: int, kills: int) -> None:
        """All tries, with deaths among them."""
        self._configure()
        sent = list(batches(self._events(tries), AT_ONCE))
        deadly = set(self._rng.sample(range(len(sent)), min(kills, len(sent))))
        with self.stack.client() as client:
            for place, batch in enumerate(sent):
                post(client, batch)
                if place in deadly:
                    self._kill()
            if self.clock == "log":
                end = START + 2 * timedelta(seconds=self.window_s) * self.accounts
                client.post("/v1/clock", json={"time": end.isoformat()}).raise_for_status()
        self.mails = tries * self.accounts
        until_there("mails", self._count, self.mails)
        expected = tries if self.clock == "wall" else self.mails
        until_there("beginnings", lambda: self._count(begun=True), expected)
        self.stack.settle()

    def _events(self, tries: int) -> Iterator[dict[str, Any]]:
        timed = {"time": START.isoformat()} if self.clock == "log" else {}
        for number in range(tries):
            for account in range(self.accounts):
                about = {"account": f"a{account}", "contact": "ann", **timed}
                yield {**about, "type": "contact.updated", "data": {"email": f"Person-{number}@agency.test"}}
                yield {**about, "type": f"ping.{self._rng.choice(PRIORITIES)}"}

    def _configure(self) -> None:
        policy = {"caps": [{"at_most": 1, "within": f"{self.window_s}s"}]}
        template = {"name": NAME, "subject": "Hello", "markdown": "Hello"}
        with self.stack.client() as client:
            client.put("/v1/policy", json=policy).raise_for_status()
            client.post("/v1/templates", json=template).raise_for_status()
            for priority in PRIORITIES:
                name, steps = f"{NAME}-{priority}", [{"email": {"template": NAME}}]
                playbook = {"name": name, "limit": None, "priority": priority, "steps": steps}
                when = {"threshold": {"event": f"ping.{priority}", "at_least": 1}}
                rule = {"name": name, "playbook": name, "status": "active", "cooldown": "0s", "when": when}
                client.post("/v1/playbooks", json=playbook).raise_for_status()
                client.post("/v1/rules", json=rule).raise_for_status()

    def _kill(self) -> None:
        victim = self._rng.choice(self.stack.of("actions"))
        victim.kill9()
        self.kills += 1
        self._progress.step("kills")
        victim.start()
        until_ready(victim)

    def _count(self, *, begun: bool = False) -> int:
        """How many mails there are, or have begun."""
        query = select(func.count()).select_from(actions)
        with self.db.read() as conn:
            return conn.scalar(query.where(actions.c.begun_at.is_not(None)) if begun else query) or 0

    def finish(self) -> str:
        """Never two in any window, and each begun once; returns the figures."""
        assert self.stack.surprises() == []
        began: dict[str, list[int]] = defaultdict(list)
        statuses: Counter[str] = Counter()
        with self.db.read() as conn:
            for row in conn.execute(select(actions.c.recipient, actions.c.begun_at, actions.c.status)):
                began[row.recipient] += [] if row.begun_at is None else [row.begun_at]
                statuses[row.status] += 1
            first = Counter(conn.scalars(select(attempts.c.action).where(attempts.c.n == 1)))
        for address, moments in began.items():
            assert moments, f"none to {address}"
            apart = [other - one for one, other in pairwise(sorted(moments))]
            assert min(apart, default=self.window_s * 1_000_000) >= self.window_s * 1_000_000, address
        assert set(first.values()) == {1}
        assert statuses.keys() <= {"done", "uncertain", "pending"}
        assert statuses["pending"] == self.mails - sum(map(len, began.values()))
        twice = {name: count for name, count in self.sinks.mails.items() if count > 1}
        assert twice == {}, "a mail arrived again"
        self.db.close()
        return f"{len(began)} tries of {self.accounts} accounts, {self.kills} kills, {dict(statuses)}"
