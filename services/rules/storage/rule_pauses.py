"""What actions tells of the plays that a rule's pause concerned. Rows are kept for a day."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select

from backbone.database import insert_new
from services.rules.engine.concerned import Concerned
from services.rules.tables import concerned

KEPT_US = 24 * 3_600 * 1_000_000


def save(conn: Connection, partition: int, told: Sequence[Concerned], now: int) -> None:
    """Keep what a partition tells; a record that came twice counts once. `now`: the wall clock."""
    rows = [{**one._asdict(), "partition": partition, "at": now} for one in told]
    if rows:
        insert_new(conn, concerned, rows, ["pause", "part"])


def total(conn: Connection, pause: str, partitions: int) -> tuple[int, int] | None:
    """How many plays and mails a pause concerned; None while a partition has not told all."""
    mine = concerned.c.pause == pause
    done = conn.scalar(select(func.count(concerned.c.partition.distinct())).where(mine, concerned.c.done))
    if (done or 0) < partitions:
        return None
    row = conn.execute(select(func.sum(concerned.c.plays), func.sum(concerned.c.mails)).where(mine)).one()
    return int(row[0] or 0), int(row[1] or 0)


def prune(conn: Connection, now: int) -> None:
    """Delete what was told more than a day ago. `now` in microseconds."""
    conn.execute(delete(concerned).where(concerned.c.at < now - KEPT_US))
