"""The sightings of events in one partition, as a batch reads and changes them."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from backbone.database import upsert
from services.actions.plays.model import Sighting
from services.actions.tables import seen

CHUNK = 500


class Sightings:
    """What a batch knows of them. `connect` gives the batch's connection."""

    def __init__(self, partition: int, connect: Callable[[], Connection]) -> None:
        self._partition, self._connect = partition, connect
        self._known: dict[bytes, Sighting | None] = {}
        self._new: set[bytes] = set()

    @property
    def dirty(self) -> bool:
        """Whether there is something to write."""
        return bool(self._new)

    def preload(self, digests: Iterable[bytes]) -> None:
        """Fetch in few queries what a batch will ask for."""
        unknown = [digest for digest in dict.fromkeys(digests) if digest not in self._known]
        for start in range(0, len(unknown), CHUNK):
            self._load(unknown[start : start + CHUNK])

    def _load(self, digests: Sequence[bytes]) -> None:
        self._known |= dict.fromkeys(digests)
        query = select(seen.c.digest, seen.c.time, seen.c.at, seen.c.said).where(
            seen.c.partition == self._partition, seen.c.digest.in_(digests)
        )
        for row in self._connect().execute(query):
            self._known[bytes(row.digest)] = Sighting(time=row.time, at=row.at, said=row.said)

    def get(self, digest: bytes) -> Sighting | None:
        """The last sighting of an event with this hash."""
        if digest not in self._known:
            self._load([digest])
        return self._known[digest]

    def put(self, digest: bytes, sighting: Sighting) -> None:
        """Keep a sighting."""
        self._known[digest] = sighting
        self._new.add(digest)

    def flush(self, conn: Connection) -> None:
        """Write what is new."""
        if self._new:
            upsert(conn, seen, [self._row(digest) for digest in sorted(self._new)], ["partition", "digest"])

    def _row(self, digest: bytes) -> dict[str, object]:
        held = self._known[digest]
        assert held is not None  # noqa: S101  put by `put`
        return {"partition": self._partition, "digest": digest, **msgspec.structs.asdict(held)}


def forget(conn: Connection, partition: int, before: int) -> None:
    """Drop the sightings of events from before a moment of the partition's clock."""
    conn.execute(delete(seen).where(seen.c.partition == partition, seen.c.at < before))
