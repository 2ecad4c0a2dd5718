"""Which worker may write for a partition, and how far the partition has been applied: one row each, with an epoch.

A worker that is given a partition claims it by raising the row's epoch. Each of its transactions then advances the
row, and finds it only under that epoch and at the offsets where the worker left it. So a worker that lost its
partition without noticing (a zombie, as Kafka says) can write nothing, however late it wakes up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection, Table, select, update

from backbone.database import Database, insert_new

Lane = tuple[str, int]  # topic, partition


class Fenced(Exception):
    """Another worker owns the partition by now, or our memory is older than the table: drop it and rejoin."""


@dataclass(slots=True)
class OwnedPartition:
    """The columns that every row begins with; `epoch` is the right to write. Services add offsets, a clock, …"""

    partition: int
    epoch: int


Row = TypeVar("Row", bound=OwnedPartition)


class Ownership(Generic[Row]):
    """The rows of one service's partitions.

    `table` has integer columns only, among them the key `partition` and `epoch`. `row` makes a row from its
    columns, in the table's order. `offsets` names, by topic, the column with the offset at which to read on.
    `advanced` names the other columns that `advance` writes; the service itself writes any that are left.
    """

    def __init__(
        self,
        table: Table,
        row: Callable[..., Row],
        *,
        offsets: Mapping[str, str],
        advanced: Sequence[str] = (),
    ) -> None:
        self._table, self._row = table, row
        self._offsets = dict(offsets)
        self._advanced = (*offsets.values(), *advanced)

    @property
    def topics(self) -> list[str]:
        """The topics that are read, in the order of `offsets`."""
        return list(self._offsets)

    def offsets(self, row: Row) -> tuple[int, ...]:
        """The offsets at which a partition reads on, in the order of `topics`; `advance` expects them in the table."""
        return tuple(getattr(row, column) for column in self._offsets.values())

    def lanes(self, row: Row) -> dict[Lane, int]:
        """The same offsets, by topic and partition."""
        return {(topic, row.partition): getattr(row, column) for topic, column in self._offsets.items()}

    def claim(
        self, db: Database, numbers: Sequence[int], starts: Mapping[str, Mapping[int, int]]
    ) -> list[Row]:
        """Become the owner of these partitions by raising their epochs; returns their rows.

        A partition without a row gets one that begins where the log does (`starts`: offsets by topic and partition).
        """
        table, claimed = self._table, []
        with db.write() as conn:
            for number in sorted(numbers):  # always in this order, so that two workers never deadlock
                begin = {
                    column: starts.get(topic, {}).get(number, 0) for topic, column in self._offsets.items()
                }
                fresh = dict.fromkeys(table.columns.keys(), 0) | begin | {"partition": number}
                insert_new(conn, table, [fresh], ["partition"])  # two workers may do so at once
                query = select(table).where(table.c.partition == number).with_for_update()
                row = self._row(*conn.execute(query).one())
                row.epoch += 1
                conn.execute(update(table).where(table.c.partition == number).values(epoch=row.epoch))
                claimed.append(row)
        return claimed

    def advance(self, conn: Connection, row: Row, expected: tuple[int, ...]) -> None:
        """Advance a partition if it is still ours and at the `expected` offsets; raises `Fenced` otherwise."""
        table = self._table
        there = [table.c[name] == at for name, at in zip(self._offsets.values(), expected, strict=True)]
        done = conn.execute(
            update(table)
            .where(table.c.partition == row.partition, table.c.epoch == row.epoch, *there)
            .values({name: getattr(row, name) for name in self._advanced})
        )
        if done.rowcount != 1:
            raise Fenced(f"partition {row.partition} has another owner")

    def positions(self, conn: Connection) -> dict[int, Row]:
        """Every partition's row, by number."""
        rows = (self._row(*values) for values in conn.execute(select(self._table)))
        return {row.partition: row for row in rows}
