"""How far the actions worker has applied each partition, and which worker may write for it."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from backbone.log import EVENTS, TRIGGERS
from backbone.ownership import OwnedPartition, Ownership
from services.actions.tables import partitions


@dataclass(slots=True)
class ActionsPartition(OwnedPartition):
    """A partition's row, as in the table; `clock` and `swept` are in microseconds."""

    next_event: int
    next_trigger: int
    past: int
    clock: int
    swept: int = 0


OWNERSHIP = Ownership(
    partitions,
    ActionsPartition,
    offsets={EVENTS: "next_event", TRIGGERS: "next_trigger"},
    advanced=("past", "clock"),
)


positions = OWNERSHIP.positions


def clock_of(conn: Connection, partition: int) -> int:
    """A partition's clock, 0 if it was never read."""
    return conn.scalar(select(partitions.c.clock).where(partitions.c.partition == partition)) or 0
