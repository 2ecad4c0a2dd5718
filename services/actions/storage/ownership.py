"""How far the actions worker has come in each partition, and who may write on. SQL only."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select, update

from backbone.database import Database, insert_new
from services.actions.tables import partitions


class Fenced(Exception):
    """Another worker owns the partition by now, or our memory is behind the table: drop it and rejoin."""


class PartitionRow(msgspec.Struct):
    """A partition's row; `epoch` is the right to write. Offsets as in the table."""

    partition: int
    epoch: int
    next_event: int
    next_trigger: int
    past: int
    clock: int
    swept: int = 0


def take(
    db: Database, numbers: Sequence[int], events: Mapping[int, int], triggers: Mapping[int, int]
) -> list[PartitionRow]:
    """Become the owner of these partitions: raise each epoch. A new row begins at the given starts of the
    log."""
    taken = []
    with db.write() as conn:
        for number in numbers:
            fresh = PartitionRow(number, 0, events.get(number, 0), triggers.get(number, 0), 0, 0)
            insert_new(conn, partitions, [_columns(fresh)], ["partition"])  # two may come at once
            query = select(partitions).where(partitions.c.partition == number).with_for_update()
            mine = PartitionRow(*conn.execute(query).one())
            mine.epoch += 1
            conn.execute(update(partitions).where(partitions.c.partition == number).values(epoch=mine.epoch))
            taken.append(mine)
    return taken


def advance(conn: Connection, row: PartitionRow, expected: tuple[int, int]) -> None:
    """Move a partition on, if it is still ours and where we left it (event, trigger); raises `Fenced`
    otherwise."""
    done = conn.execute(
        update(partitions)
        .where(
            partitions.c.partition == row.partition,
            partitions.c.epoch == row.epoch,
            partitions.c.next_event == expected[0],
            partitions.c.next_trigger == expected[1],
        )
        .values(next_event=row.next_event, next_trigger=row.next_trigger, past=row.past, clock=row.clock)
    )
    if done.rowcount != 1:
        raise Fenced(f"partition {row.partition} has another owner")


def positions(conn: Connection) -> dict[int, PartitionRow]:
    """Every partition's row, by number."""
    return {row.partition: PartitionRow(*row) for row in conn.execute(select(partitions))}


def clock_of(conn: Connection, partition: int) -> int:
    """A partition's clock, 0 if it was never read."""
    return conn.scalar(select(partitions.c.clock).where(partitions.c.partition == partition)) or 0


def _columns(row: PartitionRow) -> dict[str, int]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
