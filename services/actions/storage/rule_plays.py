"""The stored plays of a rule in one partition, for its pause."""

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, Connection, func, select

from services.actions.plays.model import LIVE, SENDABLE, Play
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.holds import Key, row_of
from services.actions.storage.plays import PlayStore
from services.actions.tables import actions, plays


class StoredRulePlays:
    """Implements `plays.rule_pauses.RulePlays`. `connect` gives the batch's connection, `holds` is of the batch."""

    def __init__(
        self, store: PlayStore, connect: Callable[[], Connection], holds: BatchHolds | None = None
    ) -> None:
        self._store, self._connect, self._holds = store, connect, holds

    def settled(self) -> bool:
        return not self._store.dirty

    def differs(self, rule: str, revision: int, *, holds: bool) -> bool:
        here = self._store.partition
        return self._holds is not None and self._holds.differs(rule, here, revision, holds=holds)

    def set_hold(self, rule: str, revision: int, now: int, *, holds: bool) -> None:
        if self._holds is not None:
            self._holds.set_hold(rule, self._store.partition, revision, now, holds=holds)

    def changing(self) -> bool:
        return self._holds is not None and self._holds.changing(self._store.partition)

    def live(self, rule: str, most: int) -> list[Play]:
        return self._found(self._of(rule), most)

    def standing(self, rule: str, most: int) -> list[Play]:
        hold = row_of(self._connect(), Key("rule", rule, self._store.partition)).hold
        if hold.paused is None:
            return []
        released = plays.c.released.is_(None) | (plays.c.released < hold.generation)
        return self._found((*self._of(rule), plays.c.status == "open", released), most)

    def _found(self, mine: tuple[ColumnElement[bool], ...], most: int) -> list[Play]:
        query = select(plays.c.id, plays.c.account).where(*mine).order_by(plays.c.id).limit(most)
        rows = self._connect().execute(query).all()
        self._store.preload({row.account: None for row in rows}, (), ())
        return [play for row in rows for play in self._store.live_plays(row.account) if play.id == row.id]

    def mails(self, plays: Sequence[str]) -> int:
        mine = (actions.c.play.in_(plays), *_WAITING)
        return self._connect().scalar(select(func.count()).select_from(actions).where(*mine)) or 0

    def count(self, rule: str) -> tuple[int, int]:
        conn, mine = self._connect(), select(plays.c.id).where(*self._of(rule))
        found = conn.scalar(select(func.count()).select_from(mine.subquery())) or 0
        waiting = select(func.count()).select_from(actions).where(actions.c.play.in_(mine), *_WAITING)
        return found, conn.scalar(waiting) or 0

    def _of(self, rule: str) -> tuple[ColumnElement[bool], ...]:
        return (
            plays.c.partition == self._store.partition, plays.c.rule == rule, plays.c.status.in_(LIVE),
        )  # fmt: skip


_WAITING = (actions.c.channel == "email", actions.c.status.in_(SENDABLE))
