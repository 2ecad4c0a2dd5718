"""Constant SQL for statements that run for every action: built once per database, handed to the driver as it is.

SQLAlchemy's own statements would cost more than the database's work. The text is the same for both databases: `?`
stands for a parameter, `{ids}` for "is one of these" (its parameter is `listed(…)`). `{lock}` and `{lock_free}` stand
for the locks that PostgreSQL needs so that rows `a` stay as they were read. `{by_due}`, after the table of actions, has
SQLite read them by when they are due; without statistics it would read all that are pending, and sort them. Other words
in braces are arguments.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, CursorResult

ROWS_AT_ONCE = 200
_FORMS = {
    "sqlite": {
        "ids": "IN (SELECT value FROM json_each(?))", "lock": "", "lock_free": "",
        "by_due": "INDEXED BY actions_actions_next",
    },
    "postgresql": {
        "ids": "= ANY(?)", "lock": "FOR UPDATE OF a", "lock_free": "FOR UPDATE OF a SKIP LOCKED",
        "by_due": "",
    },
}  # fmt: skip


Read = TypeVar("Read", bound=msgspec.Struct)


class Sql:
    """One statement."""

    def __init__(self, text: str, **words: str) -> None:
        self._text, self._words = " ".join(text.split()), words
        self._built: dict[str, str] = {}

    def run(self, conn: Connection, *parameters: Any) -> CursorResult[Any]:
        """Run it once; returns the result."""
        return conn.exec_driver_sql(self._for(conn), parameters)

    def read(self, conn: Connection, kind: type[Read], *parameters: Any) -> list[Read]:
        """Run a query that has the fields of `kind` as its columns, in their order; returns its rows.

        `kind` is `array_like`. SQLite gives all rows as one JSON text: Python's lock is handed over for every row that
        is fetched, and a busy event loop takes its time to hand it back.
        """
        if conn.dialect.name == "postgresql":
            return msgspec.convert([tuple(row) for row in self.run(conn, *parameters)], list[kind])  # type: ignore[valid-type]
        fields = ", ".join(kind.__struct_fields__)
        text = f"SELECT json_group_array(json_array({fields})) FROM ({self._for(conn)})"  # noqa: S608 - our own names
        return _rows_of(kind).decode(conn.exec_driver_sql(text, parameters).scalar_one())

    def each(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it once for each row of parameters."""
        if rows:
            conn.exec_driver_sql(self._for(conn), list(rows))

    def insert(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert these rows. The statement ends with one row of parameters; SQLite takes many rows at once."""
        if conn.dialect.name == "postgresql":
            self.each(conn, rows)
            return
        text = self._for(conn)
        row = text[text.rindex("(") :]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            conn.exec_driver_sql(
                ", ".join([text, *[row] * (len(some) - 1)]), tuple(chain.from_iterable(some))
            )

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


@lru_cache
def _rows_of(kind: type[Read]) -> msgspec.json.Decoder[list[Read]]:
    return msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]


def listed(conn: Connection, ids: Sequence[str]) -> Any:
    """The parameter of `{ids}`."""
    return list(ids) if conn.dialect.name == "postgresql" else msgspec.json.encode(ids).decode()
