"""The holds as a batch of the worker sees them, and the check at its commit that they are still so."""

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from backbone import notices, telemetry
from backbone.database import Database
from backbone.ownership import Fenced
from schemas.notices import NoticeKind
from schemas.play_reasons import PlayReason
from services.actions.plays.admission import Hold, default_plays
from services.actions.plays.model import Play
from services.actions.storage.holds import (
    ALL,
    NONE,
    OF_RULE,
    Key,
    Locked,
    Row,
    lock,
    pause,
    release_plays,
    resume,
    row_of,
    rows,
    set_revision,
    stamps,
)
from services.actions.tables import accounts, plays

LOOK_S = 0.5  # between looks at whether somebody paused, resumed or released something
KNOWN_S = 60.0  # how long a count of the accounts is good for, unless it decides

log_ = telemetry.get_logger("touchline.actions")


class _Counting(NamedTuple):
    """What the count of a playbook's plays was compared with."""

    most: int
    within: int


class _RuleHold(NamedTuple):
    """A rule begins to hold its plays, or holds them no longer."""

    holds: bool
    revision: int
    at: int


class BatchHolds:
    """Implements `plays.admission.Holds` for a batch of all partitions of a worker. For its thread, except `stale`.

    `fresh` tells how many accounts the batch adds to those that are stored.
    """

    def __init__(
        self, db: Database, connect: Callable[[], Connection], fresh: Callable[[], int] = lambda: 0
    ) -> None:
        self._db, self._connect, self._fresh = db, connect, fresh
        self.stale = True  # set from any thread: somebody asked for something
        self._stamps = -1
        self._looked = 0.0
        self._known: tuple[int, float] | None = None  # accounts stored, and when they were counted
        self.end_batch()

    def end_batch(self) -> None:
        """Forget the batch."""
        self._rows: dict[Key, Row] | None = None
        self._asked: dict[Key, Hold] = {}  # what the batch relies on
        self._here: dict[Key, Hold] = {}  # what the batch itself paused
        self._began: dict[str, list[int]] = {}
        self._counting: dict[str, _Counting] = {}
        self._least: dict[str, tuple[int, int]] = {}  # from which moment on, how many began at most
        self._tripped: dict[str, int] = {}
        self._changed: dict[Key, _RuleHold] = {}

    def moved(self) -> bool:
        """Whether somebody paused, resumed or released something since the last look."""
        if not self.stale and time.monotonic() - self._looked < LOOK_S:
            return False
        self.stale, self._looked = False, time.monotonic()
        with self._db.read() as conn:
            found = stamps(conn)
        before, self._stamps = self._stamps, found
        return found != before

    # -- the port

    def of_playbook(self, name: str) -> Hold:
        return self._hold(Key("playbook", name))

    def of_rule(self, name: str, partition: int) -> Hold:
        return self._hold(Key("rule", name, partition))

    def begun(self, playbook: str, after: int, before: int, most: int) -> int:
        self._counting[playbook] = _Counting(most, (before - after) // 2)
        mine = sum(after < at < before for at in self._began.get(playbook, ()))
        since, count = self._least.get(playbook, (before, 0))
        if since <= after and count + mine < most:
            return count + mine
        counted_after = self._all().get(Key("playbook", playbook), NONE).counted_after
        count = count_begun(self._connect(), playbook, counted_after, after, None, most)
        self._least[playbook] = (after, count)
        if count + mine < most:
            return count + mine
        return mine + count_begun(self._connect(), playbook, counted_after, after, before, most)

    def default_limit(self, *, anew: bool = False) -> int | None:
        known, at = self._known or (0, 0.0)
        if anew or self._known is None or time.monotonic() - at > KNOWN_S:
            known = self._connect().scalar(select(func.count()).select_from(accounts)) or 0
            self._known = (known, time.monotonic())
        return default_plays(known + self._fresh())

    def count(self, play: Play) -> None:
        self._began.setdefault(play.playbook, []).append(play.started_at)

    def trip(self, playbook: str, now: int) -> None:
        key = Key("playbook", playbook)
        self._here[key] = Hold(PlayReason.BREAKER, self._hold(key).generation + 1)
        self._tripped[playbook] = now

    # -- rules that hold their plays

    def differs(self, rule: str, partition: int, revision: int, *, holds: bool) -> bool:
        """Whether it is news that a rule holds its plays from this revision on, or does not."""
        hold = self.of_rule(rule, partition)
        known = self._all().get(Key("rule", rule, partition), NONE)
        return (hold.paused is not None) != holds and revision > known.revision

    def set_hold(self, rule: str, partition: int, revision: int, now: int, *, holds: bool) -> None:
        """Let a rule hold its plays, or let them go on. All that was put before has to be committed already, and
        nothing more is put until this is committed (`changing`): the rows of held plays change with it."""
        key = Key("rule", rule, partition)
        self._here[key] = Hold(PlayReason.RULE_PAUSED if holds else None, self._hold(key).generation + 1)
        self._changed[key] = _RuleHold(holds, revision, now)

    def changing(self, partition: int) -> bool:
        """Whether a change of a rule's hold in this partition waits for its commit."""
        return any(key.partition == partition for key in self._changed)

    # -- reading

    @property
    def loaded(self) -> bool:
        """Whether this batch has read what is paused."""
        return self._rows is not None

    def paused(self) -> dict[Key, Hold]:
        """Everything that is paused."""
        stored = {key: row.hold for key, row in self._all().items()}
        return {key: hold for key, hold in (stored | self._here).items() if hold.paused is not None}

    def _hold(self, key: Key) -> Hold:
        if key in self._here:
            return self._here[key]
        hold = self._all().get(key, NONE).hold
        self._asked.setdefault(key, hold)
        return hold

    def _all(self) -> dict[Key, Row]:
        if self._rows is None:
            self._rows = rows(self._connect())
        return self._rows

    # -- the commit

    def verify(self, conn: Connection, wall: int) -> list[str]:
        """Raise `Fenced` if the batch relied on what is no longer so; else pause what its breakers pause.

        To be called first in the batch's transaction: it takes the locks. Returns the playbooks that were paused.
        `wall` is the wall clock.
        """
        alone: set[Locked] = {Key("playbook", name) for name in (*self._began, *self._tripped)}
        lock(conn, self._asked, alone.union([ALL, *self._changed] if self._changed else []))
        now_stored = rows(conn) if self._asked else {}
        for key, hold in self._asked.items():
            if now_stored.get(key, NONE).hold != hold:
                raise Fenced(f"the {key.kind} {key.name!r} was paused or resumed meanwhile")
        if conn.dialect.name == "postgresql":  # SQLite's one worker has counted all there is
            for playbook in self._began:
                self._recount(conn, playbook)
        for playbook, now in self._tripped.items():
            limit = self._counting[playbook]
            pause(conn, Key("playbook", playbook), PlayReason.BREAKER, "breaker", "touchline", now)
            detail = f"limit {limit.most} plays within {limit.within // 1_000_000} s"
            notices.raise_(conn, NoticeKind.BREAKER, playbook, detail, wall)
        for key, change in self._changed.items():
            self._set_hold(conn, key, change, wall)
        return list(self._tripped)

    def _set_hold(self, conn: Connection, key: Key, hold: _RuleHold, wall: int) -> None:
        if hold.holds:
            pause(conn, key, PlayReason.RULE_PAUSED, None, "touchline", hold.at)
        else:
            resume(conn, key, wall)
            release_plays(conn, key, OF_RULE)
        set_revision(conn, key, hold.revision)
        self.stale = True  # look anew at the plays that may go on

    def _recount(self, conn: Connection, playbook: str) -> None:
        """Raise `Fenced` if plays that other workers began meanwhile leave no room for ours."""
        counting = self._counting.get(playbook)
        if counting is None:  # it has no limit
            return
        most, within = counting
        began = self._began[playbook]
        counted_after = row_of(conn, Key("playbook", playbook)).counted_after
        if count_begun(conn, playbook, counted_after, min(began) - within, None, most) + len(began) <= most:
            return
        for at in sorted(set(began)):
            after, before = at - within, at + within
            mine = sum(after < one < before for one in began if one <= at)
            if count_begun(conn, playbook, counted_after, after, before, most) + mine > most:
                raise Fenced(f"other workers began plays of the playbook {playbook!r} meanwhile")


def count_begun(
    conn: Connection, playbook: str, counted_after: int, after: int, before: int | None, most: int
) -> int:
    """How many plays that count began between two moments, both exclusive; `most` at most."""
    query = select(plays.c.seq).where(
        plays.c.counts, plays.c.playbook == playbook, plays.c.started_at > after, plays.c.seq > counted_after
    )
    if before is not None:
        query = query.where(plays.c.started_at < before)
    return conn.scalar(select(func.count()).select_from(query.limit(most).subquery())) or 0
