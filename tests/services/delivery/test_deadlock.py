"""Two workers whose commits wait for each other: PostgreSQL ends one of them, and it is written again, whole."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Container, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from backbone.errors import DatabaseUnavailable
from services.actions.delivery import attempt_writer
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, Batch, BatchResult
from services.actions.delivery.begun_ahead import Begun
from services.actions.delivery.group_commit import AttemptGroupCommit, Later
from services.actions.delivery.journal import Journal
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import suppressions
from services.actions.storage.due import Wanted
from services.actions.storage.leases import LEASE_US, held_by
from services.actions.tables import actions, attempts, begins
from tests.services.delivery.kit import HASHER
from tests.services.delivery.test_begun_ahead import HOOK
from tests.services.delivery.test_policy import Post

pytestmark = pytest.mark.postgres
DONE = Outcome(kind="done")
PATIENCE_S = 60
ROUNDS = 4
CRM = Wanted(100, begin={("webhook", "crm")})
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest.fixture
def post(tmp_path: Path, fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A database that looks for deadlocks soon."""
    monkeypatch.setattr("services.actions.delivery.group_commit.PAUSES_S", (0.001,))
    url = "postgresql+psycopg" + fresh_postgres_url[fresh_postgres_url.index(":") :]
    made = Post(tmp_path, f"{url}{'&' if '?' in url else '?'}options=-c%20deadlock_timeout%3D30ms")
    yield made
    made.close()


class Worker:
    """A group commit of its own, as one process has it."""

    def __init__(self, post: Post, owner: str) -> None:
        self.post, self.owner = post, owner
        self.recorder = AttemptWriter(owner, HASHER, 2, log_clock=False)
        self.refused: set[str] = set()
        self.commits: AttemptGroupCommit

    def write(self, **batch: Any) -> BatchResult:
        """Write a batch at once, with nobody about."""
        with self.post.db.write() as conn:
            return self.recorder.write(conn, Batch(**batch), self.post.clock.now())

    def has(self, *ids: str) -> dict[str, Leased]:
        """Lease all that is due; it is these."""
        found = {one.id: one for one in self.write(lease=Wanted(1_000)).leased}
        assert found.keys() == {*ids}
        return found

    async def run(self, work: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
        """Do some work with a group commit that is running."""
        journal = Journal(self.post.settings.data_dir / "delivery", self.owner)
        self.commits = AttemptGroupCommit(
            self.post.db, self.post.clock, self.recorder, journal, lambda: None, self._on_ended, lambda: 0, lambda: None
        )  # fmt: skip
        running = asyncio.create_task(self.commits.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work(self)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            self.commits.close()
            journal.close()

    def _on_ended(self, ends: Sequence[AttemptEnd], refused: Container[str]) -> None:
        self.refused |= {end.action.id for end in ends if end.action.id in refused}

    async def begin(self, some: Sequence[Leased]) -> dict[str, Begun | Later | None]:
        """Begin attempts at these, together."""
        found = await asyncio.gather(*map(self.commits.begin, some))
        return dict(zip([one.id for one in some], found, strict=True))


def together(*works: Callable[[], object]) -> None:
    """Do these at the same moment, each in a thread."""
    ready = threading.Barrier(len(works))

    def do(work: Callable[[], object]) -> None:
        ready.wait(PATIENCE_S)
        work()

    with ThreadPoolExecutor(len(works)) as threads:
        for one in [threads.submit(do, work) for work in works]:
            one.result(2 * PATIENCE_S)


def deadlocks(post: Post) -> int:
    with post.db.read() as conn:
        return conn.scalar(DEADLOCKS) or 0


def test_the_one_that_is_ended_is_written_again_whole(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had begun on the wire must not count as interrupted, for then it goes out twice."""
    workers = {name: Worker(post, name) for name in ("one", "two")}
    leased: dict[str, dict[str, Leased]] = {}
    for name, worker in workers.items():
        ids = [f"{what}_{name}" for what in ("end", "over", "unsent", "begin")]
        post.put(*ids, **HOOK)
        leased[name] = worker.has(*ids)
        worker.write(begins=[leased[name][one] for one in ids[:3]])
    post.put("new_1", "new_2", **HOOK)
    finish = attempt_writer.attempts.finish_attempts
    met, crossed, sizes = threading.Barrier(2), set[str](), list[int]()

    def crossing(conn: Any, ends: Any, owner: str, *args: Any, **more: Any) -> Any:
        """Each has its own rows locked, and asks for one of the other's."""
        sizes.append(len(ends))
        written = finish(conn, ends, owner, *args, **more)
        if owner not in crossed:
            crossed.add(owner)
            met.wait(PATIENCE_S)
            other = "two" if owner == "one" else "one"
            conn.execute(select(actions.c.id).where(actions.c.id == f"end_{other}").with_for_update())
        return written

    monkeypatch.setattr(attempt_writer.attempts, "finish_attempts", crossing)
    begun: dict[str, Any] = {}
    found: list[BatchResult] = []

    async def work(worker: Worker) -> None:
        mine = leased[worker.owner]
        for what in ("end", "over"):
            worker.commits.end(mine[f"{what}_{worker.owner}"], 1, DONE)
        worker.commits.give_back(f"unsent_{worker.owner}")
        lease = asyncio.create_task(worker.commits.lease(lambda: Wanted(1, begin=CRM.begin)))
        begun.update(await worker.begin([mine[f"begin_{worker.owner}"]]))
        found.append(await lease)

    together(*(lambda worker=worker: asyncio.run(worker.run(work)) for worker in workers.values()))
    post.until(lambda: deadlocks(post) > 0)  # else this has tested nothing
    assert sizes == [2, 2, 2]  # nothing is written in pieces, of which one might be refused
    assert [worker.refused for worker in workers.values()] == [set(), set()]
    ended = {f"{what}_{name}" for what in ("end", "over") for name in workers}
    assert {one for one, state in post.states().items() if state == ("done", None)} == ended
    assert sum("webhook.delivered" in event for event in post.events()) == 4
    assert {one: what.n for one, what in begun.items()} == {"begin_one": 1, "begin_two": 1}
    taken = [one.id for written in found for one in written.leased]
    assert len(set(taken)) == len(taken) == 2
    assert {row.n for row in post.rows(attempts)} == {1}
    assert {row.action for row in post.rows(attempts) if row.outcome} == ended
    assert all(post.attempts(one) == [(1, None, False)] for written in found for one in written.begun)


def test_two_that_fight_for_the_same_rows_lose_none_and_send_none_twice(post: Post) -> None:
    """The leases of one have run out. It writes its ends and gives back, while the other takes the same webhooks over,
    in the opposite order. Both begin mails to the same people, and somebody else locks all of this meanwhile."""
    post.policy({"caps": [{"at_most": 1, "within": "7d"}, {"at_most": 99, "within": "7d", "per": "account"}]})
    one, two = Worker(post, "one"), Worker(post, "two")
    for number in range(ROUNDS):
        fight(post, one, two, number)
    assert one.refused == two.refused == set()
    hooks = [f"hook_{number}_{n}" for number in range(ROUNDS) for n in range(HOOKS)]
    states = post.states()
    assert {states[name] for name in hooks} == {("done", None)}
    told = [json.loads(event)["data"]["action"] for event in post.events() if "webhook.delivered" in event]
    done = [row.action for row in post.rows(attempts) if row.outcome == "done" and row.action in states]
    assert sorted(told) == sorted(hooks)
    assert sorted(done) == sorted([*hooks, *(row.action for row in post.rows(begins))])
    assert all(row.ended_at is not None for row in post.rows(attempts))


HOOKS, MAILS = 30, 12


def fight(post: Post, one: Worker, two: Worker, number: int) -> None:
    """A round of it."""
    names = [f"hook_{number}_{n}" for n in range(HOOKS)]
    now = post.clock.now()
    post.put(*names, **HOOK, each=[{"next_attempt_at": now - n} for n in range(HOOKS)])
    had = one.has(*names)
    one.write(begins=list(had.values()))
    post.hand.time += 2 * LEASE_US
    people = [f"p{number}_{n}@acme.test" for n in range(MAILS // 3)]
    for n in range(MAILS):
        whose = {"lease_owner": ("one", "two")[n % 2], "lease_until": post.clock.now() + LEASE_US}
        post.mail(f"mail_{number}_{n}", to=people[n % len(people)], account=f"a{n % 5}", waits=False, **whose)
    with post.db.read() as conn:
        held = {name: held_by(conn, name, post.clock.now()) for name in ("one", "two")}
    begun: list[str] = []

    async def mail(worker: Worker, *, backwards: bool) -> None:
        mails = [one for one in held[worker.owner] if one.channel == "email"]
        mine = sorted(mails, key=lambda one: one.id, reverse=backwards)
        for action, what in (await worker.begin(mine)).items():
            if isinstance(what, Begun):
                begun.append(action)
                worker.commits.end({one.id: one for one in mine}[action], what.n, DONE)

    async def late(worker: Worker) -> None:
        for n, name in enumerate(names):
            if n % 3:
                worker.commits.end(had[name], 1, DONE)
            else:
                worker.commits.give_back(name)
        worker.commits.extend(names)
        await mail(worker, backwards=False)
        await worker.commits.lease(None)

    async def taking_over(worker: Worker) -> None:
        first = asyncio.create_task(mail(worker, backwards=True))
        while any(post.states()[name][0] != "done" for name in names):
            written = await worker.commits.lease(lambda: CRM)
            hooks = [action for action in written.leased if action.channel == "webhook"]
            rest = await worker.begin([one for one in reversed(hooks) if one.id not in written.begun])
            ns = written.begun | {name: what.n for name, what in rest.items() if isinstance(what, Begun)}
            for action in hooks:
                if action.id in ns:
                    worker.commits.end(action, ns[action.id], DONE)
            await worker.commits.lease(None)
        await first
        await worker.commits.lease(None)

    def somebody_else() -> None:
        """Suppresses the people about another topic, and locks the webhooks one by one, the last one first."""
        for _ in range(10):
            with suppress(DatabaseUnavailable), post.db.write() as conn:
                digests = [HASHER.digest(one) for one in reversed(people)]
                suppressions.lock(conn, digests, shared=False)
                for digest in digests:
                    suppressions.add(conn, digest, "another topic", None, "by hand", post.clock.now())
            with suppress(DatabaseUnavailable), post.db.write() as conn:
                for name in reversed(names):
                    conn.execute(select(actions.c.id).where(actions.c.id == name).with_for_update())

    together(lambda: asyncio.run(one.run(late)), lambda: asyncio.run(two.run(taking_over)), somebody_else)
    to = Counter(people[int(action.rpartition("_")[2]) % len(people)] for action in begun)
    assert to == dict.fromkeys(people, 1)  # as the cap says
