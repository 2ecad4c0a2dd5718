"""Tells of sources that fell silent: one notice for each, however many rules in force listen to it."""

from collections.abc import Callable

from sqlalchemy import Connection

from backbone import notices
from backbone.database import Database
from schemas.event import rfc3339
from schemas.heartbeats import AliveClause, clause_of
from schemas.notices import NoticeKind
from schemas.rule import Alive
from services.rules.sources import SourceState, written
from services.rules.storage.revisions import newest_rules

KIND = NoticeKind.SOURCE_SILENT
RUNNING = ("active", "shadow")
MOST_NAME = 200  # characters of the event types; a longer list is cut


class SilentNotices:
    """`sources` gives every source and whether it is silent now; `now` is the wall clock, in microseconds."""

    def __init__(
        self, db: Database, now: Callable[[], int], sources: Callable[[Connection], list[SourceState]]
    ) -> None:
        self._db, self._now, self._sources = db, now, sources

    def write(self) -> None:
        """Raise and clear what is to be. Raises `DatabaseUnavailable`."""
        with self._db.read() as conn:
            told = {one.object for one in notices.open_notices(conn, KIND)}
            silent = {AliveClause(one.types, one.within): one for one in self._sources(conn) if one.silent}
            found = _concerned(conn, silent) if silent else {}
        over, new = told - found.keys(), found.keys() - told
        if not over and not new:
            return
        with self._db.write() as conn:
            for name in sorted(over):
                notices.clear(conn, KIND, name, self._now())
            for name in sorted(new):
                notices.raise_(conn, KIND, name, found[name], self._now())


def _concerned(conn: Connection, silent: dict[AliveClause, SourceState]) -> dict[str, str]:
    """The silent sources that rules in force listen to, by what the notice calls them: since when, and which rules."""
    listening: dict[AliveClause, list[str]] = {}
    for row in conn.execute(newest_rules()):
        if row.status in RUNNING and row.doc.get("alive") is not None:
            clause = clause_of(Alive.model_validate(row.doc["alive"]))
            if clause in silent:
                listening.setdefault(clause, []).append(row.name)
    return {
        _called(
            silent[clause]
        ): f"none since {rfc3339(silent[clause].last)}; rules: {', '.join(sorted(rules))}"
        for clause, rules in listening.items()
    }


def _called(source: SourceState) -> str:
    """The source as its notice names it. Rules with another `within` for the same events have a notice of their own."""
    name = source.name if len(source.name) <= MOST_NAME else f"{source.name[:MOST_NAME]}…"
    return f"{name} (within {written(source.within)})"
