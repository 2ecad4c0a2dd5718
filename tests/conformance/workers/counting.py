"""The smallest possible service on a partition worker: it counts the records of each key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, select

from backbone.database import Database, upsert
from backbone.log import EVENTS, Log, Record, dead_letter
from backbone.ownership import OwnedPartition, Ownership
from backbone.partition_worker import PartitionWorker

metadata = MetaData()
partitions = Table(
    "counting_partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
counts = Table(
    "counting_counts",
    metadata,
    Column("key", String(20), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("n", Integer, nullable=False),
)


@dataclass(slots=True)
class CountingRow(OwnedPartition):
    next_offset: int
    seen: int


OWNERSHIP = Ownership(partitions, CountingRow, offsets={EVENTS: "next_offset"}, advanced=("seen",))
POISON = b"poison"


class CountingTask:
    """The counts of one partition, in memory; they are wrong as soon as another worker writes that partition."""

    def __init__(self, db: Database, row: CountingRow) -> None:
        self.row, self.expected = row, OWNERSHIP.offsets(row)
        with db.read() as conn:
            found = conn.execute(
                select(counts.c.key, counts.c.n).where(counts.c.partition == row.partition)
            ).all()
        self.counts = Counter(dict(map(tuple, found)))


class CountingWorker(PartitionWorker[CountingRow, CountingTask]):
    """A worker that counts. It calls `before_commit` between counting and writing; another `group` shares nothing."""

    def __init__(self, db: Database, log: Log, group: str = "counting") -> None:
        super().__init__(db, log, OWNERSHIP, name="counting", group=group)
        self.before_commit: Callable[[], None] = lambda: None
        self.forgotten = 0  # how often it dropped its memory and began anew
        self.finished = False

    def open_task(self, row: CountingRow) -> CountingTask:
        return CountingTask(self._db, row)

    def poll_limits(self) -> tuple[float, int]:
        return 0.1, 50

    def work(self, records: Sequence[Record]) -> None:
        parts = self.by_task(records)
        self.put_aside([dead_letter(r, "poison") for _, part in parts for r in part if r.value == POISON])
        for task, part in parts:
            task.counts.update(str(record.key) for record in part if record.value != POISON)
            task.row.next_offset = part[-1].offset + 1
            task.row.seen += len(part)
        if not parts:
            return
        self.before_commit()
        with self._db.write() as conn:
            for task, _ in parts:
                number = task.row.partition
                OWNERSHIP.advance(conn, task.row, task.expected)
                rows = [{"key": key, "partition": number, "n": n} for key, n in task.counts.items()]
                upsert(conn, counts, rows, ["key"])
        for task, _ in parts:
            task.expected = OWNERSHIP.offsets(task.row)

    def forget(self) -> None:
        self.forgotten += 1

    def finish(self) -> None:
        self.finished = True
