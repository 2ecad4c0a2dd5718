"""For migrations: the schema `reporting` on PostgreSQL, views for programs that read SQL. See docs/analysts.md.

SQLite has no views: nobody reads the file of a running server.
"""

from alembic import op

# A NUL in a JSON text, which jsonb cannot hold, becomes U+FFFD. Behind two backslashes it is no escape.
_NUL = r"(?<!\\)((?:\\\\)*)\\u0000"
_AS_JSONB = rf"""
CREATE FUNCTION reporting.as_jsonb(doc bytea) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS $$
SELECT CASE WHEN position('\u0000' IN convert_from(doc, 'UTF8')) = 0 THEN convert_from(doc, 'UTF8')
  ELSE regexp_replace(convert_from(doc, 'UTF8'), '{_NUL}', '\1\\ufffd', 'g') END::jsonb
$$
"""


def make_schema(*, reads_json: bool = False) -> None:
    """The schema, which services that share a database share, and the function behind `jsonb`."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql("CREATE SCHEMA IF NOT EXISTS reporting")
        if reads_json:
            op.get_bind().exec_driver_sql(_AS_JSONB)


def drop_json() -> None:
    """For downgrades: the function."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql("DROP FUNCTION reporting.as_jsonb(bytea)")


def make_view(name: str, query: str, comment: str) -> None:
    """A view in the schema. It reads with the rights of whoever migrates."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(f"CREATE VIEW reporting.{name} AS {query}")
        op.get_bind().exec_driver_sql(f"COMMENT ON VIEW reporting.{name} IS '{comment}'")


def drop_view(name: str) -> None:
    """For downgrades: the schema stays, another service may have views there."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(f"DROP VIEW reporting.{name}")


def moment(column: str) -> str:
    """SQL: microseconds since the epoch as a `timestamptz`, exactly."""
    return f"(timestamptz 'epoch' + {column} * interval '1 microsecond')"


def jsonb(column: str) -> str:
    """SQL: stored JSON as `jsonb`."""
    return f"reporting.as_jsonb({column})"
