"""Mails that somebody has to approve: whose time is over first in a partition, and how each is decided on.

A mail is decided on once: by an approval, a rejection, the end of its time, or the end of its play. Each of these locks
the action's row and finds `approve_until` set, or changes nothing. Whatever decides sets it to null.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_, update

from backbone.ownership import Fenced
from schemas.play_reasons import ActionReason, HistoryReason, TaskReason
from services.actions.plays.model import ActionDraft, Awaited, NotApproved, Op, Play
from services.actions.storage import by_hand, holds, sending, waiting
from services.actions.storage.standing import Standing
from services.actions.storage.status import close_actions, close_task
from services.actions.tables import actions, plays

NEVER = 2**62
PAGE = 200
LAST = "~"  # sorts after every id


class ApprovalQueue:
    """The actions of one partition that await their approval, as a batch of the worker sees them.

    `connect` gives the batch's connection, `play` a play as the batch sees it.
    """

    def __init__(
        self,
        partition: int,
        connect: Callable[[], Connection],
        standing: Standing,
        play: Callable[[str], Play | None],
    ) -> None:
        self._partition, self._connect = partition, connect
        self._standing, self._play = standing, play
        self.floor = 0  # every time that is over before this moment is in memory
        self._forget()

    def _forget(self) -> None:
        self._times: list[tuple[int, str, str]] = []  # (until, action, play)
        self._loaded = (-1, "")  # those up to this (until, action) are in memory
        self._off: bool | None = None  # None: not looked at yet
        self.gave_up = False  # whether the batch takes some time to be over

    def hear(self, op: Op) -> None:
        """Take up an action of this batch."""
        if isinstance(op, ActionDraft) and op.approval is not None:
            heapq.heappush(self._times, (op.approval.until, op.id, op.play))

    def next(self, upto: int) -> Awaited | None:
        """See `ports.Store.next_approval`. Each is returned once in a batch."""
        while True:
            loaded = upto < self.floor or self._loaded >= (upto, LAST)
            first = self._times[0] if self._times and self._times[0][0] <= upto else None
            if (first is None and loaded) or self._is_off():
                return None
            if first is None or (first[:2] > self._loaded and not loaded):
                self._load(upto)
            elif (found := self._take()) is not None:
                return found

    def _is_off(self) -> bool:
        if self._off is None:
            self._off = sending.is_off(self._connect())
        return self._off

    def _take(self) -> Awaited | None:
        """The first in memory; None: it stands still, until the holds change and all is looked at anew."""
        until, action, play = heapq.heappop(self._times)
        known = self._play(play)
        if known is not None and self._standing.held_back(known):
            return None
        self.gave_up = True
        return Awaited(action, play, until)

    def _load(self, upto: int) -> None:
        """Load the partition's next page."""
        times = select(actions.c.approve_until, actions.c.id, actions.c.play)
        mine = (
            actions.c.partition == self._partition,
            actions.c.approve_until.is_not(None),
            *self._standing.going(ended=True),
        )
        here = times.join(plays, plays.c.id == actions.c.play).where(*mine)
        page = here.where(
            actions.c.approve_until >= self._loaded[0],
            actions.c.approve_until <= upto,
            tuple_(actions.c.approve_until, actions.c.id) > tuple_(*self._loaded),
        )
        order = (actions.c.approve_until, actions.c.id)
        rows = self._connect().execute(page.order_by(*order).limit(PAGE)).all()
        for row in rows:
            heapq.heappush(self._times, (row.approve_until, row.id, row.play))
        full = len(rows) == PAGE
        self._loaded = (rows[-1].approve_until, rows[-1].id) if full else (upto, LAST)
        if not full:
            later = here.where(actions.c.approve_until > upto).order_by(*order).limit(1)
            first = self._connect().execute(later).first()
            self.floor = NEVER if first is None else first.approve_until

    def end(self, *, committed: bool) -> None:
        """The batch is over. After a rollback, nothing in memory counts; after a time that was over, its action may
        have been decided on meanwhile, or its time moved."""
        known = committed and not self.gave_up
        self.floor = min([self.floor, *(one[0] for one in self._times[:1])]) if known else 0
        self._forget()


def verify(conn: Connection) -> None:
    """Raise `Fenced` if sending was turned off meanwhile: then no time is over. To be called before rows are locked."""
    sending.lock_shared(conn)
    if sending.is_off(conn):
        raise Fenced("sending was turned off meanwhile, and the times of approvals stand still")


# -- decisions


def locked(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The rows of these actions, by id, locked until the transaction ends; always in the same order."""
    query = select(actions).where(actions.c.id.in_(ids)).order_by(actions.c.id).with_for_update()
    return {row.id: row for row in conn.execute(query)}


def approve(
    conn: Connection,
    row: Row[Any],
    by: str,
    *,
    at: int,
    now: int,
    log_clock: bool,
    rendered: dict[str, Any] | None = None,
) -> None:
    """Let an action that awaits its approval go out, with this content if it was edited.

    `at` is by its partition's clock, `now` by the wall clock, and `by` names the API key. With the log clock the worker
    lets a mail to a contact begin.
    """
    freed = by_hand.freed(row, at=at, now=now, log_clock=log_clock)
    conn.execute(
        update(actions)
        .where(actions.c.id == row.id)
        .values(
            reason=None,
            approve_until=None,
            rendered=row.rendered if rendered is None else rendered,
            ready_at=freed["ready_at"],
            waits=freed["waits"],
            next_look_at=freed["next_look_at"],
            next_attempt_at=freed["next_attempt_at"],
        )
    )
    if freed["next_attempt_at"] is None:
        holds.touch(conn)
    close_task(conn, row.id, TaskReason.APPROVED, at, completed_by=by)
    by_hand.note(conn, row, HistoryReason.APPROVED, at)


def reject(conn: Connection, row: Row[Any], by: str, why: str | None, *, at: int, log_clock: bool) -> None:
    """Skip an action that awaits its approval; `why` is kept with its task."""
    close_actions(conn, [row.id], "skipped", ActionReason.NOT_APPROVED, at)
    close_task(conn, row.id, TaskReason.NOT_APPROVED, at, completed_by=by, note=why)
    if log_clock:  # mails of the same play may have waited for it
        behind = (actions.c.play == row.play, actions.c.waits, actions.c.next_look_at > at)
        conn.execute(update(actions).where(*behind).values(next_look_at=at))
        holds.touch(conn)
    else:
        waiting.wake_behind(conn, [row.id], at)


def give_up(conn: Connection, op: NotApproved) -> None:
    """Skip an action whose time is over, unless it was decided on meanwhile, or its time was moved."""
    awaited = (actions.c.id == op.action) & (actions.c.approve_until == op.until)
    if conn.execute(select(actions.c.id).where(awaited).with_for_update()).first() is not None:
        close_actions(conn, [op.action], "skipped", ActionReason.NOT_APPROVED, op.at)
        close_task(conn, op.action, TaskReason.NOT_APPROVED, op.at)
        waiting.wake_behind(conn, [op.action], op.at)
