"""A lane of the embedded log, one partition of a topic, in memory."""

from dataclasses import dataclass, field

from backbone.log.embedded.chunk_reader import StoredPartition
from backbone.log.records import Entry, Record


@dataclass(slots=True)
class PartitionLog:
    """A lane in memory. `tail` holds the newest records, up to `next` - 1; guarded by the log's condition."""

    stored: StoredPartition
    start: int
    next: int
    timestamp: int
    tail: list[Record] = field(default_factory=list)
    fresh: list[Entry] = field(default_factory=list)  # the writer's: placed by the commit in hand

    def copy_tail(self, offset: int, limit: int) -> list[Record] | None:
        """Up to `limit` records from `offset` on, None if they are no longer in memory."""
        skip = offset - (self.next - len(self.tail))
        return self.tail[skip : skip + limit] if skip >= 0 else None
