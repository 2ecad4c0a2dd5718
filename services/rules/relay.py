"""The outbox: committed triggers onto `touchline.triggers`, each batch followed by how far rules has come.

Ids are deterministic, so a trigger relayed twice after a crash is one trigger to whoever reads it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from backbone.database import Database
from backbone.failpoint import hit
from backbone.log import MAX_RECORD_BYTES, TRIGGERS, Entry, Log
from backbone.log.limits import chunked, memory_of
from backbone.log.records import Place
from schemas.trigger import Progress, Trigger, TriggerRecord
from services.rules import store
from services.rules.shard import Shard

TIMEOUT_S = 30.0
PAGE = 1_000
UNDER_WAY = 4  # appends that may wait for the log at a time

_encode = msgspec.json.Encoder().encode
_trigger = msgspec.json.Decoder(Trigger).decode


class News(NamedTuple):
    """A record for `touchline.triggers`: whose, and what it tells: a trigger (by its id), or the progress."""

    shard: Shard
    told: str | int
    entry: Entry


@dataclass(slots=True)
class Sent:
    """An append: by shard what it tells."""

    told: list[tuple[Shard, str | int]]
    done: Future[list[Place]]


class Relay:
    """Writes to `touchline.triggers`; used by the worker's thread only."""

    def __init__(self, db: Database, log: Log) -> None:
        self._db, self._log = db, log
        self._sent: deque[Sent] = deque()
        self._last: Future[list[Place]] | None = None  # the newest append

    @property
    def waiting(self) -> bool:
        """Whether the log has not answered an append yet."""
        return bool(self._sent)

    def forget(self) -> None:
        """The partitions are no longer ours."""
        self._sent.clear()
        self._last = None

    def recover(self, rows: Sequence[store.PartitionRow]) -> None:
        """What an earlier owner committed and may not have relayed, oldest first."""
        for row in rows:
            while True:
                with self._db.read() as conn:
                    waiting = [_trigger(doc) for doc in store.unrelayed(conn, row.partition, PAGE)]
                if not waiting:
                    break
                for part in chunked((_entry(row.partition, trigger) for trigger in waiting), memory_of):
                    self._log.append(TRIGGERS, part).result(timeout=TIMEOUT_S)
                with self._db.write() as conn:
                    store.mark_relayed(conn, [trigger.id for trigger in waiting])

    def flush(self, shards: Iterable[Shard]) -> None:
        """Hand over what the last commits left, of all partitions together, and look at the appends before.

        Nothing waits for the log here, unless it is behind: what it has is marked so with a later commit. The log
        keeps the order, and takes nothing behind an append that failed: how far we have come must not be told
        past a trigger that is not there, or it would be taken for a repeat later. Raises what an append failed with.
        """
        moved = [shard for shard in shards if shard.outbox or shard.told != shard.saved.next_offset]
        for part in chunked(_news(moved), lambda news: memory_of(news.entry)):
            self._append(part)
        while self._sent and self._sent[0].done.done():
            self._arrived(self._sent.popleft())

    def _append(self, news: list[News]) -> None:
        self._last = self._log.append(TRIGGERS, [one.entry for one in news], after=self._last)
        self._sent.append(Sent([(one.shard, one.told) for one in news], self._last))
        while len(self._sent) > UNDER_WAY:
            self._arrived(self._sent.popleft())

    def _arrived(self, sent: Sent) -> None:
        sent.done.result(timeout=TIMEOUT_S)
        hit("rules.after_relay_before_mark")
        for shard, told in sent.told:
            if isinstance(told, str):
                shard.relayed.append(told)
            else:
                shard.reported = told


def _news(moved: Iterable[Shard]) -> Iterator[News]:
    """The triggers of each shard, and behind them how far it has come."""
    for shard in moved:
        number, offset = shard.row.partition, shard.saved.next_offset
        for trigger in shard.outbox:
            yield News(shard, trigger.id, _entry(number, trigger))
        progress = Progress(partition=number, offset=offset, clock=shard.saved.clock)
        yield News(shard, offset, Entry(value=_encode(TriggerRecord(progress=progress)), partition=number))
        shard.outbox, shard.told = [], offset


def _entry(partition: int, trigger: Trigger) -> Entry:
    """A trigger that no record holds (its event comes from another program) goes without its event's data."""
    value = _encode(TriggerRecord(trigger=trigger))
    if len(value) > MAX_RECORD_BYTES and trigger.event is not None:
        bare = replace(trigger, event=replace(trigger.event, data=None))
        value = _encode(TriggerRecord(trigger=bare))
    return Entry(value=value, key=trigger.account, partition=partition)
