"""Saving rules and tiers, and the rule set that a revision stands for.

What comes into force is one row of `rules_revisions`. It takes effect in each partition at the place of its control
record, which is written after the row and before the answer. If a crash came between, the record is written later.
What a rule says is kept as a version too (`versions.py`), whether it comes into force or not.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, text, update

from backbone.clock import Clock
from backbone.database import Database
from backbone.log import EVENTS, Entry, Log
from schemas.event import RULES_SAVED, Event, encode, from_microseconds
from schemas.rule import RuleIn, TiersDoc
from services.rules.engine.ruleset import RuleRevision, RuleSet, UnknownRevision, compile_rules
from services.rules.tables import revisions

DELETED = "deleted"
KEPT_SETS = 8  # compiled rule sets in memory; partitions lag one another by a few revisions at most
KEPT_RULES = 20_000  # rules read from their rows
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Save:
    """What is to come into force; `name` None means the tiers.

    `saved` False: a version that is there already, with another status or published again. `holds`: a pause asks that
    the rule's plays be held; that holds until the rule is active again, whatever is saved meanwhile.
    """

    name: str | None
    version: int
    status: str
    doc: dict[str, Any]
    generation: int = 0
    unless_generation: int = 0
    backfill: bool = False
    saved: bool = True
    holds: bool = False


def lock(conn: Connection) -> None:
    """Until the transaction ends, no other process saves a rule."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE rules.rules_revisions IN EXCLUSIVE MODE"))


def write(conn: Connection, save: Save, changed_by: str, now: int) -> int:
    """Record it under the next revision number, which is returned. The caller holds the lock.

    `changed_by`, `now`: who saved the version, and when.
    """
    number = (conn.scalar(select(func.max(revisions.c.revision))) or 0) + 1
    before = latest(conn, save.name)
    conn.execute(
        insert(revisions).values(
            revision=number,
            name=save.name,
            version=save.version,
            generation=save.generation,
            unless_generation=save.unless_generation,
            status=save.status,
            backfill=save.backfill,
            doc=save.doc,
            changed_by=changed_by,
            changed_at=now,
            announced=False,
            saved=save.saved,
            holds=save.status != "active" and (save.holds or (before is not None and before.holds)),
        )
    )
    return number


def announce(db: Database, log: Log, clock: Clock) -> None:
    """Put a control record into every partition for each revision that has none yet, in order."""
    with db.read() as conn:
        columns = select(revisions.c.revision, revisions.c.name, revisions.c.holds, revisions.c.status)
        rows = conn.execute(
            columns.where(revisions.c.announced.is_(False)).order_by(revisions.c.revision)
        ).all()
    if not rows:
        return
    at = from_microseconds(clock.now())
    values = [encode(_record(row, at)) for row in rows]
    entries = [Entry(value=one, partition=number) for one in values for number in range(log.partitions)]
    log.append(EVENTS, entries).result(timeout=TIMEOUT_S)
    numbers = [row.revision for row in rows]
    with db.write() as conn:
        conn.execute(update(revisions).where(revisions.c.revision.in_(numbers)).values(announced=True))


def _record(row: Any, at: datetime) -> Event:
    """The control record of a revision. Actions learns from it whether the rule holds its plays, or is gone."""
    of_rule = {} if row.name is None else {"rule": row.name, "holds": row.holds}
    gone = {"deleted": True} if row.status == DELETED else {}
    data = {"revision": row.revision, **of_rule, **gone}
    return Event(type=RULES_SAVED, id=f"revision-{row.revision}", source="touchline", time=at, data=data)


def latest(conn: Connection, name: str | None) -> Row[Any] | None:
    """A rule (or the tiers) as it is in force: its newest row, deleted or not."""
    same = revisions.c.name.is_(None) if name is None else revisions.c.name == name
    return conn.execute(select(revisions).where(same).order_by(revisions.c.revision.desc()).limit(1)).first()


def newest_rules() -> Select[Any]:
    """The newest row of every rule that is there."""
    last = (
        select(func.max(revisions.c.revision)).where(revisions.c.name.is_not(None)).group_by(revisions.c.name)
    )
    return select(revisions).where(revisions.c.revision.in_(last), revisions.c.status != DELETED)


def exists_at(conn: Connection, name: str) -> bool:
    """Whether there is a rule of that name now."""
    row = latest(conn, name)
    return row is not None and row.status != DELETED


class RuleSets:
    """Revision number (0: no rules) to compiled rules. Raises `UnknownRevision`. Safe to share between threads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._sets: OrderedDict[int, RuleSet] = OrderedDict()
        self._rows: dict[str | None, Row[Any]] = {}  # the newest row of each name at revision `_at`
        self._at = 0
        self._parsed: dict[
            int, RuleRevision
        ] = {}  # by revision, which names one version and status of one rule

    def __call__(self, revision: int) -> RuleSet:
        with self._lock:
            known = self._sets.get(revision)
            if known is None:
                known = self._sets[revision] = self._compile(revision)
                while len(self._sets) > KEPT_SETS:
                    self._sets.popitem(last=False)
            return known

    def _compile(self, revision: int) -> RuleSet:
        if revision < self._at:
            self._rows, self._at = {}, 0
        with self._db.read() as conn:
            query = select(revisions).where(revisions.c.revision > self._at, revisions.c.revision <= revision)
            rows = conn.execute(query.order_by(revisions.c.revision)).all()
        if revision != self._at and (not rows or rows[-1].revision != revision):
            raise UnknownRevision(f"there is no revision {revision}")
        self._rows.update({row.name: row for row in rows})
        self._at = revision
        tiers = self._rows.get(None)
        return compile_rules(
            revision,
            [
                self._rule(row)
                for name, row in self._rows.items()
                if name is not None and row.status != DELETED
            ],
            TiersDoc.model_validate(tiers.doc if tiers is not None else {"tiers": DEFAULT_TIERS}),
            tiers_revision=0 if tiers is None else tiers.revision,
        )

    def _rule(self, row: Row[Any]) -> RuleRevision:
        """A rule of a row; the same object each time, so that a thousand saves of a thousand rules do not
        compile each rule a thousand times."""
        found = self._parsed.get(row.revision)
        if found is None:
            if len(self._parsed) >= KEPT_RULES:
                self._parsed.clear()
            found = self._parsed[row.revision] = _rule(row)
        return found


DEFAULT_TIERS: Sequence[dict[str, str]] = ({"tier": "tech"},)


def _rule(row: Row[Any]) -> RuleRevision:
    return RuleRevision(
        name=row.name,
        version=row.version,
        generation=row.generation,
        unless_generation=row.unless_generation,
        status=row.status,
        backfill=row.backfill,
        doc=RuleIn.model_validate(row.doc),
    )
