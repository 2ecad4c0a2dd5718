"""What of ingest needs a person: events whose account nobody knows."""

from sqlalchemy import Connection, func, select

from services.ingest.tables import unmatched as table


def unmatched(connection: Connection) -> tuple[int, int | None]:
    """How many events `GET /v1/unmatched` lists, and when the oldest came (microseconds; None: there are none).

    Events on their way are `due`. They are counted apart, so that no query reads the events themselves.
    """
    total = connection.scalar(select(func.count()).select_from(table)) or 0
    leaving = select(func.count()).where(table.c.due, table.c.going.is_not(None))
    oldest = select(table.c.received_at).where(table.c.going.is_(None)).order_by(table.c.received_at).limit(1)
    return total - (connection.scalar(leaving) or 0), connection.scalar(oldest)
