"""One database for all rooms: SQLite or PostgreSQL through SQLAlchemy Core, sync; used from worker threads.

Tables carry their service's name as schema and as prefix (`Table("rules_accounts", metadata("rules"), …)`).
SQLite knows no schemas, so a translate map drops them there. SQLite allows one writer: `write()` holds a
process-wide lock and begins with BEGIN IMMEDIATE, so that no transaction fails half way for want of the lock.
"""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ExceptionContext,
    Insert,
    MetaData,
    Table,
    any_,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    exc,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool, StaticPool

from backbone.errors import DatabaseUnavailable
from backbone.private_files import private_database
from backbone.redaction import words

ROOMS = ("backbone", "ingest", "rules", "actions")
IDLE_IN_TRANSACTION_S = 30  # after which PostgreSQL ends the transaction of a frozen process
READ_ONLY = "25006"  # SQLSTATE of a write in a transaction that may only read
DATA_CORRUPTED = frozenset({"XX001", "XX002"})  # SQLSTATEs of a damaged table and a damaged index
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FILE = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
)
SCRUB_MS = 200  # how long a reader may keep writers waiting
BUSY_S = 10.0  # how long another process may hold SQLite's write lock before we give up
# What the address may set otherwise. A server that is gone without a word is given up after some 20 seconds: without
# this the system would wait a quarter of an hour for an answer, and two hours where there is nothing to send.
_POSTGRES = {
    "connect_timeout": 5,
    "application_name": "touchline",
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    # a frozen worker must not keep its rows locked from the next one
    "options": f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_S}s",
}
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata(room: str) -> MetaData:
    """The MetaData that a room's tables belong to: schema named after the room, constraints named by rule."""
    return MetaData(schema=room, naming_convention=NAMING)


class Database:
    """Connections to one database. Opens nothing before the first use. Safe to use from several threads."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = make_url(url)
        self.dialect = parsed.get_backend_name()  # "sqlite" or "postgresql"
        options: dict[str, Any] = {}
        private: Path | None = None  # the file to keep from others
        if self.dialect == "sqlite":
            memory = parsed.database in {None, "", ":memory:"}
            options["poolclass"] = StaticPool if memory else NullPool
            options["connect_args"] = {"timeout": BUSY_S, "check_same_thread": False}
            if not memory:
                options.pop("poolclass")
                options |= {"pool_size": pool_size, "max_overflow": pool_size}
                if not str(parsed.database).startswith("file:"):
                    private = Path(str(parsed.database))
        else:
            options |= {"pool_size": pool_size, "max_overflow": pool_size, "pool_pre_ping": True}
            given = {name: value for name, value in _POSTGRES.items() if name not in parsed.query}
            options |= {"pool_timeout": BUSY_S, "connect_args": given}
        engine = create_engine(parsed, hide_parameters=True, **options)
        if self.dialect == "postgresql":
            event.listen(engine, "do_executemany", _executemany)
            event.listen(engine, "handle_error", _read_only)
        if self.dialect == "sqlite":
            if private is not None:
                event.listen(engine, "do_connect", partial(_keep_private, private))
            event.listen(engine, "connect", _sqlite_connect)
            event.listen(engine, "begin", _sqlite_begin)
            engine = engine.execution_options(schema_translate_map=dict.fromkeys(ROOMS))
        self.engine = engine
        self._writer = threading.Lock()
        self._writing = threading.local()

    @contextmanager
    def read(self, *, steady: bool = False) -> Iterator[Connection]:
        """A transaction to read in. Raises `DatabaseUnavailable`.

        On SQLite it is one consistent snapshot; on PostgreSQL each statement is one, or with `steady` all together.
        """
        with _translated(), self.engine.begin() as connection:
            if steady and self.dialect == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction to write in, committed at the end of the block, rolled back on an exception.

        Raises `DatabaseUnavailable`; after one raised by the commit itself it is unknown whether it took place.
        """
        if self.dialect != "sqlite":
            with _translated(), self.engine.begin() as connection:
                yield connection
            return
        if getattr(self._writing, "on", False):
            raise RuntimeError("write() inside write(): pass the connection down instead")
        with self._writer:
            self._writing.on = True
            try:
                with _translated(), self.engine.connect() as plain:
                    connection = plain.execution_options(touchline_immediate=True)
                    with connection.begin():
                        yield connection
            finally:
                self._writing.on = False

    def ping(self) -> bool:
        """Whether the database answers."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except DatabaseUnavailable:
            return False
        return True

    def scrub(self) -> bool:
        """SQLite: empty the write-ahead file, which holds pages as they were before their rows were deleted,
        while nobody writes. Returns whether it is empty: a reader may prevent that until the next time."""
        if self.dialect != "sqlite" or not self._log_bytes():
            return True
        with self._writer, _translated(), self.engine.connect() as plain:
            driver = plain.connection.driver_connection
            assert driver is not None  # noqa: S101  it has just been connected
            driver.execute(f"PRAGMA busy_timeout={SCRUB_MS}")
            try:
                busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                driver.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
            return not busy

    def _log_bytes(self) -> int:
        """The size of the write-ahead file."""
        try:
            return Path(f"{self.engine.url.database}-wal").stat().st_size
        except OSError:  # there is none
            return 0

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise DatabaseUnavailable(_first_line(error)) from error
    except exc.DBAPIError as error:
        if not error.connection_invalidated and not _damaged(error):
            raise
        raise DatabaseUnavailable(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """The driver's message, and what to do where it is about a file."""
    origin = getattr(error, "orig", None) or error
    said = words(origin)
    if _damaged(error):
        return f"the database is damaged ({said}): restore it from a backup"
    if getattr(origin, "sqlite_errorcode", 0) & 0xFF in _FILE:
        said += " (may touchline.db and its folder be written to, and is there room on the disk?)"
    return f"the database cannot be used now: {said}"


def _damaged(error: Exception) -> bool:
    origin = getattr(error, "orig", None)
    found = getattr(origin, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
    return found or getattr(origin, "sqlstate", None) in DATA_CORRUPTED


def _executemany(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
    """psycopg sends these as a pipeline, after which PostgreSQL (seen with 15) does not start its timeout for
    idle transactions until the next statement. Here is one, or a frozen worker would keep its rows for ever."""
    cursor.executemany(statement, parameters)
    cursor.connection.execute("SELECT 1")
    return True  # it is done


def _read_only(context: ExceptionContext) -> None:
    """Treat a server that takes no writes (a standby by now) as gone: connect anew, perhaps to the primary."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _keep_private(path: Path, *_: Any) -> None:
    private_database(path)


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin ourselves, see _sqlite_begin
    _write_ahead(connection)
    for pragma in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-16000",
        "secure_delete=ON",  # overwrites deleted rows, in free pages too
    ):
        _pragma(connection, pragma)


def _write_ahead(connection: Any) -> None:
    """Switch to the write-ahead log. Where several connections do so first at the same moment, SQLite refuses some of
    them at once, without waiting as it does for its other locks: so we wait."""
    give_up = time.monotonic() + BUSY_S
    while True:
        try:
            return _pragma(connection, "journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _pragma(connection: Any, pragma: str) -> None:
    try:
        connection.execute(f"PRAGMA {pragma}")
    except UnicodeDecodeError as error:  # in place of the driver's message, which quotes data
        raise DatabaseUnavailable("the database is damaged: restore it from a backup") from error


def _sqlite_begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("touchline_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    *,
    keeping: Sequence[str] = (),
    adding: Sequence[str] = (),
) -> None:
    """Insert the rows; where one with the same `keys` exists, set its other given columns instead.

    `keeping`: but for these. `adding`: to these, the numbers given are added.
    """
    if not rows:
        return
    statement = _insert(connection, table)
    changed = {
        name: table.c[name] + statement.excluded[name] if name in adding else statement.excluded[name]
        for name in rows[0]
        if name not in (*keys, *keeping)
    }
    if changed:
        statement = statement.on_conflict_do_update(index_elements=list(keys), set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(keys))
    connection.execute(statement, [dict(row) for row in rows])


def insert_unless_there(connection: Connection, table: Table, keys: Sequence[str] | None = None) -> Insert:
    """The statement that inserts a row unless there is one with the same `keys` (default: any unique index)."""
    made: Insert = _insert(connection, table).on_conflict_do_nothing(
        index_elements=list(keys) if keys else None
    )
    return made


def insert_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None
) -> int:
    """Insert the rows that are not there yet, by `keys` (by default, by any unique index). Returns how
    many were inserted."""
    statement = insert_unless_there(connection, table, keys)
    counted = {"preserve_rowcount": True}  # PostgreSQL's INSERT tells no count otherwise
    return sum(connection.execute(statement, dict(row), execution_options=counted).rowcount for row in rows)


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows with the same columns, all of them new; on PostgreSQL as arrays, in one statement."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    columns = [table.c[name] for name in rows[0]]
    arrays = [cast(bindparam(f"all_{each.name}"), postgresql.ARRAY(each.type)) for each in columns]
    names = [column(each.name, each.type) for each in columns]
    given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
    statement = insert(table).from_select([each.name for each in columns], select(*given.c))
    connection.execute(statement, {f"all_{each.name}": [row[each.name] for row in rows] for each in columns})


def among(connection: Connection, one: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column's value is one of these; on PostgreSQL the statement is the same for any number of values."""
    if connection.dialect.name != "postgresql":
        return one.in_(values)
    return one == any_(literal(list(values), postgresql.ARRAY(one.type)))
