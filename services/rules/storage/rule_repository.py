"""Saves rules and tiers: checks against what is in force, sets version, generation and revision, then
announces what came into force."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection, Row

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import read_again
from backbone.documents.in_use import hold, there
from backbone.errors import Conflict, Invalid, NameTaken, NotFound, StateConflict
from backbone.log import Log
from backbone.web.app import check_if_match, etag
from schemas.rule import RuleIn, TiersDoc
from services.rules import published_outlines
from services.rules.engine.ruleset import next_generations
from services.rules.storage.revisions import DELETED, Save, announce, latest, lock, write
from services.rules.storage.versions import publishable, version_row, write_version

RUNNING = ("active", "shadow")
NO_BACKFILL = "goes with a save that comes into force, not with publish=false; see the verb activate"


class Author(NamedTuple):
    """Who saved a version, and when."""

    changed_by: str
    changed_at: int


class RuleRepository:
    """Saves rules and tiers. What comes into force is returned as its row, announced to the workers."""

    def __init__(self, db: Database, log: Log, clock: Clock) -> None:
        self._db, self._log, self._clock = db, log, clock

    def announce(self) -> None:
        """Announce saves to the workers, also those that an earlier process did not announce."""
        announce(self._db, self._log, self._clock)

    def check(self, rule: RuleIn) -> None:
        """Raises `Invalid` if saving the rule would."""
        with self._db.read() as conn:
            _status(rule, latest(conn, rule.name))

    def create(self, conn: Connection, rule: RuleIn, by: str) -> Row[Any]:
        """A new rule; raises `NameTaken`."""
        return self._write_rule(conn, rule, self._free(conn, rule.name), by)

    def create_apart(self, conn: Connection, rule: RuleIn, by: str) -> Row[Any]:
        """The version of a rule that is not in force yet; raises `NameTaken`."""
        self._free(conn, rule.name)
        return self._write_apart(conn, rule, by)

    def put(self, conn: Connection, rule: RuleIn, if_match: str | None, by: str) -> tuple[Row[Any], bool]:
        """The rule as given, and whether it is new; raises `PreconditionFailed`."""
        before = self._locked(conn, rule.name)
        check_if_match(if_match, tag(before))
        return self._write_rule(conn, rule, before, by), not exists(before)

    def put_apart(
        self, conn: Connection, rule: RuleIn, if_match: str | None, by: str
    ) -> tuple[Row[Any], Row[Any] | None]:
        """The new version, and the rule as it stays in force (None: there is none); raises `PreconditionFailed`."""
        before = self._locked(conn, rule.name)
        check_if_match(if_match, tag(before))
        return self._write_apart(conn, rule, by), before if exists(before) else None

    def publish(self, conn: Connection, name: str, version: int, if_match: str | None) -> Row[Any]:
        """Put a version into force; the rule's status stays, a rule that is not there becomes a draft.

        Raises `NotFound`, `PreconditionFailed`, `StateConflict`, and `Invalid` if it can no longer be read.
        """
        before = self._locked(conn, name)
        kept = publishable(conn, name, version)
        check_if_match(if_match, tag(before))
        rule = read_again(RuleIn, version, {**kept.doc, "name": name})
        if before is not None and exists(before) and before.version == version:
            return before
        status = before.status if before is not None and exists(before) else "draft"
        author = Author(kept.changed_by, kept.changed_at)
        return self._into_force(conn, rule, before, status, version, author, saved=False)

    def delete(self, conn: Connection, name: str, if_match: str | None, by: str) -> None:
        """The rule ends, its history stays; raises `NotFound`, `PreconditionFailed`."""
        before = self._existing(conn, name)
        check_if_match(if_match, tag(before))
        author = Author(by, self._clock.now())
        version = write_version(conn, name, before.doc, *author, deleted=True)
        save = Save(name, version, DELETED, before.doc, before.generation, before.unless_generation)
        self._write(conn, save, author)

    def turn(
        self,
        conn: Connection,
        name: str,
        status: str,
        *,
        backfill: bool = False,
        holds: bool = False,
        if_match: str | None = None,
    ) -> Row[Any]:
        """Activate, pause or shadow the version in force; the same status again changes nothing.

        `holds`: the rule's plays are to be held until it is active again.

        Raises `NotFound`, `PreconditionFailed`, `StateConflict`.
        """
        before = self._existing(conn, name)
        check_if_match(if_match, tag(before))
        if status == "paused" and before.status == "draft":
            raise StateConflict(f"{name} is a draft: there is nothing to pause")
        if before.status == status and not backfill and (before.holds or not holds):
            return before
        again = before.status == "draft" or backfill
        save = Save(
            name,
            before.version,
            status,
            {**before.doc, "status": status},
            before.generation + (1 if again else 0),  # a draft has no state to go on from
            before.unless_generation + (1 if again else 0),
            backfill,
            saved=False,
            holds=holds,
        )
        self._write(conn, save, Author(before.changed_by, before.changed_at))
        return present(latest(conn, name))

    def tiers(self, conn: Connection, doc: TiersDoc, if_match: str | None, by: str) -> Row[Any]:
        """The tier policy; raises `PreconditionFailed`."""
        before = self._locked(conn, None)
        check_if_match(if_match, etag(before.version if before is not None else 0))
        version = 1 if before is None else before.version + 1
        self._write(conn, Save(None, version, "active", dumped(doc)), Author(by, self._clock.now()))
        return present(latest(conn, None))

    def run(self, change: Callable[[Connection], Any], playbook: str | None = None) -> Any:
        """Make one save in a transaction of its own, and announce it after the commit.

        `playbook`: the one that the rule names. Raises `Conflict` if that is deleted while the rule is being
        saved, since its triggers would start nothing and yet begin the cooldown. A playbook that never
        existed may still be to come.
        """
        known = playbook is not None and self._knows(playbook)
        with self._db.write() as conn:
            result = change(conn)
            if playbook is not None and known and not there(conn, "playbook", playbook):
                raise Conflict(
                    f"the playbook {playbook!r} was deleted meanwhile; nothing was saved", code="gone"
                )
        self.announce()
        return result

    def playbook_of(self, name: str, version: int | None = None) -> str | None:
        """The playbook that a rule, or a version of it, names."""
        with self._db.read() as conn:
            row = latest(conn, name) if version is None else version_row(conn, name, version)
        return None if row is None else row.doc.get("playbook")

    def _knows(self, playbook: str) -> bool:
        with self._db.read() as conn:
            return there(conn, "playbook", playbook)

    def _write_rule(self, conn: Connection, rule: RuleIn, before: Row[Any] | None, by: str) -> Row[Any]:
        status = _status(rule, before)
        author = Author(by, self._clock.now())
        version = write_version(conn, rule.name, dumped(rule), *author)
        return self._into_force(conn, rule, before, status, version, author)

    def _write_apart(self, conn: Connection, rule: RuleIn, by: str) -> Row[Any]:
        if rule.backfill:
            raise Invalid([{"field": "backfill", "message": NO_BACKFILL}])
        version = write_version(conn, rule.name, dumped(rule), by, self._clock.now())
        return present(version_row(conn, rule.name, version))

    def _into_force(
        self,
        conn: Connection,
        rule: RuleIn,
        before: Row[Any] | None,
        status: str,
        version: int,
        author: Author,
        *,
        saved: bool = True,
    ) -> Row[Any]:
        """A version comes into force; its state goes on from the version before where it can."""
        doc = {**dumped(rule, exclude={"backfill"}), "status": status}
        generations = _generations(rule, before)
        save = Save(rule.name, version, status, doc, *generations, backfill=rule.backfill, saved=saved)
        self._write(conn, save, author)
        return present(latest(conn, rule.name))

    def _write(self, conn: Connection, save: Save, author: Author) -> None:
        playbook = save.doc.get("playbook")
        if playbook is not None and save.status != DELETED:
            hold(conn, [("playbook", playbook)])
        write(conn, save, *author)
        published_outlines.write_outline(conn, save.name, save.version, save.status, save.doc)

    def _existing(self, conn: Connection, name: str) -> Row[Any]:
        before = self._locked(conn, name)
        if before is None or not exists(before):
            raise NotFound(f"there is no rule named {name}")
        return before

    def _free(self, conn: Connection, name: str) -> Row[Any] | None:
        before = self._locked(conn, name)
        if exists(before):
            raise NameTaken(f"there is a rule named {name}")
        return before

    def held(self, conn: Connection, name: str | None) -> Row[Any] | None:
        """A rule (or the tiers) as it is in force, which nobody else changes until the transaction ends."""
        return self._locked(conn, name)

    @staticmethod
    def _locked(conn: Connection, name: str | None) -> Row[Any] | None:
        lock(conn)
        return latest(conn, name)


def tag(row: Row[Any] | None) -> str | None:
    """The ETag of a rule: its version, and its status where a verb or a publication has set that since.

    So the ETag changes whenever version or status do. None for a rule that is not there.
    """
    if row is None or not exists(row):
        return None
    return etag(row.version if row.saved else f"{row.version}-{row.status}")


def _generations(rule: RuleIn, before: Row[Any] | None) -> tuple[int, int]:
    """The generations of a version that comes into force."""
    if before is None:
        return 0, 0
    anew = before.generation + 1, before.unless_generation + 1
    if not exists(before) or rule.backfill or before.status == "draft":
        return anew
    try:
        old = RuleIn.model_validate(before.doc)
    except ValidationError:  # saved by another version of this program: nobody knows what its state means
        return anew
    return next_generations(old, rule, before.generation, before.unless_generation)


def _status(rule: RuleIn, before: Row[Any] | None) -> str:
    """The status that a rule gets: its own, else the one it has. Raises `Invalid`."""
    kept: str = before.status if before is not None and exists(before) else "draft"
    status = rule.status or kept
    if rule.backfill and status not in RUNNING:
        raise Invalid([{"field": "backfill", "message": "goes with status active or shadow"}])
    return status


def exists(row: Row[Any] | None) -> bool:
    """Whether the row is of a rule that exists."""
    return row is not None and row.status != DELETED


def present(row: Row[Any] | None) -> Row[Any]:
    """The row that was just written."""
    if row is None:
        raise LookupError("a save left no row")
    return row


def dumped(model: Any, **options: Any) -> dict[str, Any]:
    """What the user gave, as JSON. Defaults are left out, so that a later default reaches rules that
    did not choose."""
    result: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_unset=True, **options)
    return result
