"""The outbox: committed triggers onto `touchline.triggers`, each batch followed by how far rules has come.

Ids are deterministic, so a trigger relayed twice after a crash is one trigger to whoever reads it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from backbone.database import Database
from backbone.failpoint import hit
from backbone.log import TRIGGERS, Entry, Log
from schemas.trigger import Progress, Trigger, TriggerRecord
from services.rules import store
from services.rules.shard import Shard

TIMEOUT_S = 30.0
PAGE = 1_000

_encode = msgspec.json.Encoder().encode
_trigger = msgspec.json.Decoder(Trigger).decode


class Relay:
    """Writes to `touchline.triggers`; used by the worker's thread only."""

    def __init__(self, db: Database, log: Log) -> None:
        self._db, self._log = db, log

    def recover(self, rows: Sequence[store.PartitionRow]) -> None:
        """What an earlier owner committed and may not have relayed, oldest first."""
        for row in rows:
            while True:
                with self._db.read() as conn:
                    waiting = [_trigger(doc) for doc in store.unrelayed(conn, row.partition, PAGE)]
                if not waiting:
                    break
                self._append([_entry(row.partition, trigger) for trigger in waiting])
                with self._db.write() as conn:
                    store.mark_relayed(conn, [trigger.id for trigger in waiting])

    def flush(self, shards: Iterable[Shard]) -> None:
        """Relay what the last commits left, for all partitions in one append."""
        moved = [shard for shard in shards if shard.outbox or shard.reported != shard.row.next_offset]
        if not moved:
            return
        entries: list[Entry] = []
        for shard in moved:
            number = shard.row.partition
            entries += [_entry(number, trigger) for trigger in shard.outbox]
            progress = Progress(partition=number, offset=shard.row.next_offset, clock=shard.row.clock)
            entries.append(Entry(value=_encode(TriggerRecord(progress=progress)), partition=number))
        self._append(entries)
        hit("rules.after_relay_before_mark")
        for shard in moved:
            shard.relayed += [trigger.id for trigger in shard.outbox]
            shard.outbox, shard.reported = [], shard.row.next_offset

    def _append(self, entries: list[Entry]) -> None:
        self._log.append(TRIGGERS, entries).result(timeout=TIMEOUT_S)


def _entry(partition: int, trigger: Trigger) -> Entry:
    return Entry(value=_encode(TriggerRecord(trigger=trigger)), key=trigger.account, partition=partition)
