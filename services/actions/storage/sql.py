"""Constant SQL for statements that run for every action: built once per database, handed to the driver as it is.

SQLAlchemy's own statements would cost more than the database's work. The text is the same for both databases: `?`
stands for a parameter, `{ids}` for "is one of these" (its parameter is `listed(…)`). `{lock}` and `{lock_free}` stand
for the locks that PostgreSQL needs so that rows `a` stay as they were read. `{by_due}`, after the table of actions, has
SQLite read them by when they are due; without statistics it would read all that are pending, and sort them. Other words
in braces are arguments.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, CursorResult, exc

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


class Unreadable(Exception):
    """Rows hold what their columns cannot: a number that is text, text that is not UTF-8, content that is not JSON.

    `columns`: of each such row, by its `id`, the names of these columns.
    """

    def __init__(self, columns: Mapping[Any, Collection[str]]) -> None:
        super().__init__(f"{len(columns)} rows cannot be read")
        self.columns = columns


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

        Raises `Unreadable` with all rows that do not fit; `kind` has an `id` then.
        """
        rows, odd = self._sorted_out(conn, kind, *parameters)
        if odd:
            raise Unreadable(odd)
        return rows

    def read_fitting(self, conn: Connection, kind: type[Read], *parameters: Any) -> list[Read]:
        """As `read`, without the rows that do not fit."""
        return self._sorted_out(conn, kind, *parameters)[0]

    def _sorted_out(
        self, conn: Connection, kind: type[Read], *parameters: Any
    ) -> tuple[list[Read], dict[Any, list[str]]]:
        try:
            return self._together(conn, kind, *parameters), {}
        except (msgspec.DecodeError, exc.OperationalError) as error:
            if isinstance(error, exc.OperationalError) and conn.dialect.name != "sqlite":
                raise  # SQLite says so of bytes too
            rows = self.apart(conn, kind, *parameters)
        odd = {values["id"]: columns for values, columns in rows if columns}
        return [kind(**values) for values, columns in rows if not columns], odd

    def _together(self, conn: Connection, kind: type[Read], *parameters: Any) -> list[Read]:
        if conn.dialect.name == "postgresql":
            return msgspec.convert([tuple(row) for row in self.run(conn, *parameters)], list[kind])  # type: ignore[valid-type]
        fields = ", ".join(kind.__struct_fields__)
        text = f"SELECT json_group_array(json_array({fields})) FROM ({self._for(conn)})"  # noqa: S608 - our own names
        return _rows_of(kind).decode(conn.exec_driver_sql(text, parameters).scalar_one())

    def apart(
        self, conn: Connection, kind: type[Read], *parameters: Any
    ) -> list[tuple[dict[str, Any], list[str]]]:
        """As `read`, each row by itself: its values, and the names of the columns whose values do not fit."""
        with _any_text(conn):
            rows = self.run(conn, *parameters).all()
        fields = msgspec.structs.fields(kind)
        found = []
        for row in rows:
            values = {field.name: value for field, value in zip(fields, row, strict=True)}
            found.append((values, [one.name for one in fields if not _fits(values[one.name], one.type)]))
        return found

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


@contextmanager
def _any_text(conn: Connection) -> Iterator[None]:
    """Have SQLite give text that is not UTF-8 as bytes, instead of refusing all rows for it."""
    driver: Any = conn.connection.driver_connection
    if conn.dialect.name != "sqlite":
        yield
        return
    driver.text_factory = _text
    try:
        yield
    finally:
        driver.text_factory = str


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


@lru_cache
def _rows_of(kind: type[Read]) -> msgspec.json.Decoder[list[Read]]:
    return msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]


def listed(conn: Connection, ids: Sequence[str]) -> Any:
    """The parameter of `{ids}`."""
    return list(ids) if conn.dialect.name == "postgresql" else msgspec.json.encode(ids).decode()
