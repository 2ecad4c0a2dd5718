"""Constant SQL for statements that run for every action: built once per database, handed to the driver as it is.

SQLAlchemy's own statements would cost more than the database's work. The text is the same for both databases: `?`
stands for a parameter, `{ids}` for "is one of these" (its parameter is `listed(…)`). `{lock}` and `{lock_free}` stand
for the locks that PostgreSQL needs so that rows `a` stay as they were read. Other words in braces are arguments.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult

_FORMS = {
    "sqlite": {"ids": "IN (SELECT value FROM json_each(?))", "lock": "", "lock_free": ""},
    "postgresql": {
        "ids": "= ANY(?)", "lock": "FOR UPDATE OF a", "lock_free": "FOR UPDATE OF a SKIP LOCKED",
    },
}  # fmt: skip


class Sql:
    """One statement."""

    def __init__(self, text: str, **words: str) -> None:
        self._text, self._words = " ".join(text.split()), words
        self._built: dict[str, str] = {}

    def run(self, conn: Connection, *parameters: Any) -> CursorResult[Any]:
        """Run it once; returns the result."""
        return conn.exec_driver_sql(self._for(conn), parameters)

    def each(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it once for each row of parameters."""
        if rows:
            conn.exec_driver_sql(self._for(conn), list(rows))

    def _for(self, conn: Connection) -> str:
        name = conn.dialect.name
        built = self._built.get(name)
        if built is None:
            built = self._text.format(**_FORMS[name], **self._words)
            # A service's tables are in a schema on PostgreSQL, and in none on SQLite (see `backbone.database`).
            built = (
                built.replace("?", "%s")
                if name == "postgresql"
                else built.replace("actions.actions_", "actions_")
            )
            self._built[name] = built
        return built


def listed(conn: Connection, ids: Sequence[str]) -> Any:
    """The parameter of `{ids}`."""
    return list(ids) if conn.dialect.name == "postgresql" else msgspec.json.encode(ids).decode()
