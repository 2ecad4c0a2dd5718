"""A batch that the database refuses is written piece by piece: who is not to blame learns what was written of it."""

import asyncio
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import Any

import pytest

from backbone.clock import counted
from services.actions.delivery import attempt_writer
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, Batch, BatchResult
from services.actions.delivery.begun_ahead import FRESH_US, Begun
from services.actions.delivery.group_commit import AttemptGroupCommit
from services.actions.delivery.journal import Journal
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.due import Wanted
from services.actions.storage.library import ENDPOINTS
from services.actions.tables import actions
from tests.services.delivery.kit import HASHER, House
from tests.services.delivery.test_begun_ahead import HOOK
from tests.services.delivery.test_sending import either
from tests.unit.channels.helpers import SECRET

__all__ = ["either"]  # the fixture

DONE = Outcome(kind="done")
SECOND = 1_000_000
CRM = Wanted(10, begin={("webhook", "crm")})


class Steps:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        self.time += SECOND
        return self.time


class Written:
    """What a group commit makes of an end that is refused, two other ends, two beginnings and a lease."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.recorder = AttemptWriter("me", HASHER, 2, log_clock=False)
        with house.db.write() as conn:
            ENDPOINTS.put(conn, "crm", {"url": "http://crm.test/", "secret": SECRET}, "test", 1)
        house.put("act_bad", "act_end", "act_over", "act_mail", "act_post")
        with house.db.write() as conn:
            write = self.recorder.write
            self.leased = {
                one.id: one for one in write(conn, Batch(lease=Wanted(10)), house.clock.now()).leased
            }
            first = [self.leased[one] for one in ("act_bad", "act_end", "act_over")]
            write(conn, Batch(begins=first), house.clock.now())
        house.put("act_1", "act_2", **HOOK)
        house.clock = Steps(house.clock.now())  # type: ignore[assignment]
        self.journal = Journal(house.settings.data_dir / "delivery", "me")
        self.dealt_with: list[tuple[list[str], set[str]]] = []
        self.lease = BatchResult()
        self.begun: dict[str, Any] = {}

    def _on_ended(self, ends: Sequence[AttemptEnd], refused: Container[str]) -> None:
        ids = [end.action.id for end in ends]
        self.dealt_with.append((ids, {one for one in ids if one in refused}))

    async def run(self) -> None:
        """Write it all in one round."""
        commits = AttemptGroupCommit(
            self.house.db, self.house.clock, self.recorder, self.journal, lambda: None, self._on_ended, lambda: 0,
            lambda: None,
        )  # fmt: skip
        for one in ("act_bad", "act_end", "act_over"):
            commits.end(self.leased[one], 1, DONE)
        begins = ("act_mail", "act_post")
        asked = [asyncio.create_task(commits.begin(self.leased[one])) for one in begins]
        lease = asyncio.create_task(commits.lease(lambda: CRM))
        await asyncio.sleep(0)
        running = asyncio.create_task(commits.run())
        self.begun = dict(zip(begins, await asyncio.gather(*asked), strict=True))
        self.lease = await lease
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        commits.close()

    def stored(self) -> dict[str, int | None]:
        """When each action began, by the database."""
        return {row.id: row.begun_at for row in self.house.rows(actions)}


def refuse(monkeypatch: pytest.MonkeyPatch, *bad: str) -> None:
    """The database refuses the ends and the leases of these actions."""
    finish, start = attempt_writer.attempts.finish_attempts, attempt_writer.leases.start_leased

    def finishing(conn: Any, ends: Any, *args: Any, **more: Any) -> Any:
        if any(end.action in bad for end in ends):
            raise ValueError("no such text")
        return finish(conn, ends, *args, **more)

    def starting(conn: Any, due: Any, *args: Any, **more: Any) -> Any:
        if any(one.id in bad for one in due):
            raise ValueError("no such text")
        return start(conn, due, *args, **more)

    monkeypatch.setattr(attempt_writer.attempts, "finish_attempts", finishing)
    monkeypatch.setattr(attempt_writer.leases, "start_leased", starting)


async def test_each_learns_when_it_began(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail has that moment as its date, at this attempt as at the next ones."""
    refuse(monkeypatch, "act_bad")
    made = Written(either)
    before = counted()
    await made.run()
    after = counted()
    stored = made.stored()
    assert made.begun == {one: Begun(1, stored[one] or 0) for one in ("act_mail", "act_post")}
    assert stored["act_mail"] != stored["act_post"]  # each was written by itself
    assert {one.id for one in made.lease.leased} == {"act_1", "act_2"}
    assert {made.lease.begun[one] for one in ("act_1", "act_2")} == {1}
    assert stored["act_1"] == stored["act_2"] == made.lease.at
    assert before + FRESH_US <= made.lease.fresh_until <= after + FRESH_US
    assert made.lease.targets["crm"] is not None


async def test_what_is_refused_stays_in_the_journal_and_only_that(
    either: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "act_bad")
    made = Written(either)
    await made.run()
    assert made.dealt_with == [(["act_bad", "act_end", "act_over"], {"act_bad"})]
    states = {one: status for one, (status, _) in either.states().items()}
    assert states == {"act_end": "done", "act_over": "done"} | dict.fromkeys(
        ["act_bad", "act_mail", "act_post", "act_1", "act_2"], "pending"
    )
    assert made.journal._begun == dict.fromkeys(["act_mail", "act_post", "act_1", "act_2"], 1)
    assert all(n == 1 for one in states for n, _, _ in either.attempts(one))


async def test_where_the_lease_is_refused_the_others_are_written(
    either: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "act_1")
    made = Written(either)
    await made.run()
    stored = made.stored()
    assert made.begun == {one: Begun(1, stored[one] or 0) for one in ("act_mail", "act_post")}
    assert (made.lease.leased, stored["act_1"], stored["act_2"]) == ([], None, None)
    assert made.lease.fresh_until < counted()  # nothing is sent by it
    assert made.dealt_with == [(["act_bad", "act_end", "act_over"], set())]
