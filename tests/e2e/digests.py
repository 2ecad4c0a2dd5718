"""Digests of many accounts while workers of actions die around the moment at which they go out.

Every account of an owner puts entries on the owner's list, in every partition. Some entries are settled before the list
goes out, and some come after it, for the next one. By the log clock a list goes out every morning, and whoever dies
does so as soon as the clock has passed the moment, or once the first list of the morning is written. By the wall clock
a list goes out once, at the beginning of a minute, with deaths before and after it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from backbone.clock import WallClock
from schemas.event import from_microseconds
from services.actions.digest_tables import digest_items
from services.actions.tables import actions
from tests.e2e.faults import until_ready
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Process, Stack, until
from tests.e2e.workload import START, batches, post

NAME = "list"
PATIENCE_S = 300.0
NINE = timedelta(hours=9)
SETTLED, LATE = 0.2, 0.1  # shares of the entries
LEAD = timedelta(seconds=40)  # from the beginning until the wall clock's list goes out, at least
Lists = dict[str, set[frozenset[str]]]  # by owner, the entries of each mail


class Digested:
    """A stack whose owners get lists. `clock`: the stack's."""

    def __init__(self, stack: Stack, sinks: Sinks, seed: int, accounts: int, owners: int) -> None:
        self.stack, self.sinks, self.accounts, self.owners = stack, sinks, accounts, owners
        self.clock = stack.settings["CLOCK"]
        self.db = stack.open_database()
        self.kills = self.entries = 0
        self._rng = random.Random(f"{seed} digests {self.clock}")
        self._wanted: defaultdict[str, defaultdict[datetime, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    # -- by the log clock

    def mornings(self, count: int, entries: int, kills: int) -> None:
        """A list for each owner on so many mornings, with `entries` a day and as many deaths."""
        self._configure("09:00", START.isoformat())
        deadly = Counter(self._rng.choices(range(count), k=kills))
        with self.stack.client() as client:
            for day in range(count):
                begins = START + timedelta(days=day)
                for batch in batches(self._day(begins, entries), 100):
                    post(client, batch)
                sent = self._count()
                self._reach(begins + NINE + timedelta(minutes=1))
                for number in range(deadly[day]):
                    if number % 2:
                        until("a list is written", lambda sent=sent: self._count() > sent, PATIENCE_S)
                    self._kill()
            self._reach(START + timedelta(days=count + 1))
        self.stack.settle()

    def _day(self, begins: datetime, entries: int) -> Iterator[dict[str, Any]]:
        """The events of a day until after its list, in the order of their times."""
        drawn: list[tuple[datetime, dict[str, Any]]] = []
        for _ in range(entries):
            late = self._rng.random() < LATE
            second = self._rng.randrange(32_700, 36_000) if late else self._rng.randrange(3_600, 32_000)
            at = begins + timedelta(seconds=second)
            event = self._entry()
            drawn.append((at, event))
            if not late and self._rng.random() < SETTLED:
                drawn.append((at + timedelta(seconds=300), {**event, "type": "settled"}))
            else:
                self._want(event, begins + NINE + timedelta(days=late))
        before = sorted((one for one in drawn if one[0] < begins + NINE), key=lambda one: one[0])
        after = sorted((one for one in drawn if one[0] >= begins + NINE), key=lambda one: one[0])
        for at, event in (*before, *after):
            yield {**event, "time": at.isoformat()}

    def _reach(self, moment: datetime) -> None:
        with self.stack.client() as client:
            client.post("/v1/clock", json={"time": moment.isoformat()}).raise_for_status()

    # -- by the wall clock

    def once(self, entries: int, kills: int) -> None:
        """One list for each owner, at the beginning of a minute, with deaths until it has gone out."""
        moment = (self._now() + LEAD + timedelta(minutes=1)).replace(second=0, microsecond=0)
        self._configure(moment.strftime("%H:%M"))
        events = []
        for _ in range(entries):
            event = self._entry()
            events.append(event)
            if self._rng.random() < SETTLED:
                events.append({**event, "type": "settled"})
            else:
                self._want(event, moment)
        with self.stack.client() as client:
            for batch in batches(iter(events), 100):
                post(client, batch)
        assert self._now() < moment, "the machine is too slow for this test"
        for _ in range(kills):
            until("it is time", lambda: self._now() > moment - timedelta(seconds=5), PATIENCE_S)
            self._kill()
        lists = len(self._lists())
        until("the lists are written", lambda: self._count() >= lists, PATIENCE_S)
        self.stack.settle()

    def _now(self) -> datetime:
        return from_microseconds(WallClock().now()).astimezone(UTC)

    # -- both

    def _configure(self, at: str, known: str | None = None) -> None:
        steps = [{"digest": {"template": NAME, "to": "owner", "at": at, "at_most": 200}}]
        leaves = {"event": "settled", "by": "data.n"}
        playbook = {"name": NAME, "limit": None, "exit_when": leaves, "steps": steps}
        when = {"threshold": {"event": "noted", "at_least": 1}}
        rule = {"name": NAME, "playbook": NAME, "status": "active", "by": "data.n", "when": when}
        text = "{% for item in items %}{{ item.trigger.event.data.n }} {% endfor %}"
        timed = {"time": known} if known else {}
        about = {"type": "account.updated", **timed}
        people = [
            {**about, "account": f"a{number}", "data": {"owner": {"email": self._owner(number)}}}
            for number in range(self.accounts)
        ]
        with self.stack.client() as client:
            template = {"name": NAME, "subject": "List", "markdown": text}
            client.post("/v1/templates", json=template).raise_for_status()
            client.post("/v1/playbooks", json=playbook).raise_for_status()
            client.post("/v1/rules", json=rule).raise_for_status()
            post(client, people)

    def _owner(self, account: int) -> str:
        return f"owner-{account % self.owners}@us.test"

    def _entry(self) -> dict[str, Any]:
        self.entries += 1
        account = self._rng.randrange(self.accounts)
        return {"account": f"a{account}", "type": "noted", "data": {"n": f"e{self.entries}"}}

    def _want(self, event: dict[str, Any], moment: datetime) -> None:
        owner = self._owner(int(event["account"].removeprefix("a")))
        self._wanted[owner][moment].add(event["data"]["n"])

    def _lists(self) -> list[tuple[str, frozenset[str]]]:
        return [(owner, frozenset(one)) for owner, days in self._wanted.items() for one in days.values()]

    def _count(self) -> int:
        with self.db.read() as conn:
            query = select(func.count()).select_from(actions).where(actions.c.digest_key.is_not(None))
            return conn.scalar(query.where(actions.c.status != "skipped")) or 0

    def _kill(self) -> None:
        victim: Process = self._rng.choice(self.stack.of("actions"))
        victim.kill9()
        self.kills += 1
        victim.start()
        until_ready(victim)

    def finish(self) -> str:
        """One mail for each list, with exactly its entries, whoever died; returns the figures."""
        assert self.stack.surprises() == []
        with self.db.read() as conn:
            mine = actions.c.digest_key.is_not(None) & (actions.c.status != "skipped")
            rows = conn.execute(select(actions.c.id, actions.c.status, actions.c.rendered).where(mine)).all()
            waiting = conn.scalar(
                select(func.count()).select_from(digest_items).where(digest_items.c.action.is_(None))
            )
        arrived = self.sinks.arrived()
        wanted = Counter(self._lists())
        doubtful = {row.id for row in rows if row.status == "uncertain"}
        assert Counter(row.status for row in rows).keys() <= {"done", "uncertain"}
        assert len(rows) == len(wanted)
        assert waiting == 0
        assert {row.id for row in rows} - doubtful <= arrived.counts.keys()
        twice = {name for name, count in arrived.counts.items() if count > 1}
        assert twice == set(), "a list arrived twice"
        got = Counter(_list(line) for name, line in arrived.said.items())
        missing = wanted - got
        assert (got - wanted, missing.total()) == (Counter(), len(doubtful - arrived.counts.keys()))
        return f"{len(rows)} lists of {self.entries} entries, {self.kills} kills, {len(doubtful)} uncertain"


def _list(line: str) -> tuple[str, frozenset[str]]:
    """The owner and the entries of a list."""
    to, _, text = line.split(": ", 2)
    return to, frozenset(text.split())
