"""Consumers of the embedded log, and the groups in which they share its partitions."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from backbone.log.embedded.chunk_reader import READ_BYTES, bytes_of
from backbone.log.records import Assigned, Lane, LogUnavailable, OffsetOutOfRange, Record, Revoked


class ReadableLog(Protocol):
    """What a consumer needs of the log that it reads."""

    changed: threading.Condition  # guards `version`; notified after each commit
    version: int  # commits so far

    @property
    def open(self) -> bool:
        """Whether the log can still be read."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        """See `Log.read`."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """See `Log.end_offsets`."""
        ...


class ConsumerGroups:
    """Who is in which group. `changed` guards it and is notified when a group changes."""

    def __init__(self, partitions: int, changed: threading.Condition) -> None:
        self._partitions, self._changed = partitions, changed
        self._members: dict[str, list[EmbeddedConsumer]] = {}
        self._generations: dict[str, int] = {}

    def join(self, group: str, member: EmbeddedConsumer) -> None:
        with self._changed:
            members = self._members.setdefault(group, [])
            if member not in members:
                members.append(member)
                self._turn(group)

    def leave(self, group: str, member: EmbeddedConsumer) -> None:
        with self._changed:
            if member in self._members.get(group, ()):
                self._members[group].remove(member)
                self._turn(group)

    def _turn(self, group: str) -> None:
        self._generations[group] = self.generation(group) + 1
        self._changed.notify_all()

    def generation(self, group: str) -> int:
        """Grows with every change of the group; 0 for one that has no members yet."""
        return self._generations.get(group, 0)

    def share(self, group: str, member: EmbeddedConsumer) -> tuple[int, list[int]]:
        """The generation and the member's partitions, in ranges as Kafka's RangeAssignor cuts them."""
        with self._changed:
            members = self._members.get(group, [])
            if member not in members:
                return self.generation(group), []
            each, more = divmod(self._partitions, len(members))
            index = members.index(member)
            begin = index * each + min(index, more)
            return self.generation(group), list(range(begin, begin + each + (index < more)))


class EmbeddedConsumer:
    """See `backbone.log.Consumer`."""

    def __init__(self, log: ReadableLog, groups: ConsumerGroups, group: str, topics: Sequence[str]) -> None:
        self._log, self._groups, self._group, self._topics = log, groups, group, tuple(topics)
        self._generation = -1
        self._owned: list[int] = []
        self._positions: dict[Lane, int] = {}
        self._paused: set[Lane] = set()
        self._order: list[Lane] = []
        self._awake = self._closed = False
        self._callbacks: tuple[Assigned, Revoked] | None = None

    def subscribe(self, on_assigned: Assigned, on_revoked: Revoked) -> None:
        """See `Consumer.subscribe`."""
        self._callbacks = (on_assigned, on_revoked)
        self._groups.join(self._group, self)

    def poll(self, timeout: float, max_records: int) -> list[Record]:
        """See `Consumer.poll`. Raises `LogUnavailable` where the file cannot be read or the log is closed."""
        deadline = time.monotonic() + timeout
        while True:
            if self._closed or not self._log.open:
                raise LogUnavailable("the log is closed")
            self._rebalance()
            with self._log.changed:
                version = self._log.version
            if records := self._gather(max_records):
                return records
            if self._wait(version, deadline - time.monotonic()):
                return []

    def _wait(self, version: int, remaining: float) -> bool:
        """Until a commit or a change of the group; True if the time is over or `wake` was called."""
        with self._log.changed:
            news = self._log.changed.wait_for(lambda: self._awake or self._news(version), max(0.0, remaining))
            over = self._awake or not news
            self._awake = False
        return over

    def _news(self, version: int) -> bool:
        log = self._log
        return (
            log.version != version or not log.open or self._groups.generation(self._group) != self._generation
        )

    def _rebalance(self) -> None:
        if self._callbacks is None or self._groups.generation(self._group) == self._generation:
            return
        on_assigned, _ = self._callbacks
        generation, partitions = self._groups.share(self._group, self)
        self._revoke()
        self._positions = dict(on_assigned(partitions))
        self._owned, self._generation = partitions, generation
        self._paused.clear()
        self._order = [(topic, p) for topic in self._topics for p in partitions]
        if missing := [lane for lane in self._order if lane not in self._positions]:
            raise KeyError(f"on_assigned gave no offset for {missing}")

    def _revoke(self) -> None:
        owned, self._owned, self._order = self._owned, [], []
        if owned and self._callbacks is not None:
            self._callbacks[1](owned)

    def _gather(self, limit: int) -> list[Record]:
        found: list[Record] = []
        order, size = self._order, 0
        for index, lane in enumerate(order):
            if lane in self._paused:
                continue
            try:
                records = self._log.read(*lane, self._positions[lane], limit - len(found))
            except OffsetOutOfRange:
                if found:  # these first; the next poll fails
                    break
                raise
            if records:
                self._positions[lane] = records[-1].offset + 1
                found += records
                size += bytes_of(records)
            if len(found) >= limit or size >= READ_BYTES:  # the others go first next time
                self._order = order[index + 1 :] + order[: index + 1]
                break
        return found

    def stay(self) -> None:
        """Nobody is given up here."""

    def end_offsets(self) -> dict[Lane, int]:
        """See `Consumer.end_offsets`."""
        ends = {topic: self._log.end_offsets(topic) for topic in self._topics}
        return {(topic, p): ends[topic][p] for topic in self._topics for p in self._owned}

    def positions(self) -> dict[Lane, int]:
        """See `Consumer.positions`."""
        return {(topic, p): self._positions[topic, p] for topic in self._topics for p in self._owned}

    def pause(self, topic: str, partition: int) -> None:
        """See `Consumer.pause`."""
        self._paused.add((topic, partition))

    def resume(self, topic: str, partition: int) -> None:
        """See `Consumer.resume`."""
        self._paused.discard((topic, partition))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `Consumer.seek`."""
        if (topic, partition) not in self._positions:
            raise KeyError(f"{topic} partition {partition} is not assigned to this consumer")
        self._positions[topic, partition] = offset

    def commit(self, offsets: Mapping[Lane, int]) -> None:
        """Nothing to tell: whoever could watch the lag of a process's own log sits in the process."""

    def rejoin(self) -> None:
        """See `Consumer.rejoin`."""
        self._groups.leave(self._group, self)
        self._revoke()
        if self._callbacks is not None:
            self._groups.join(self._group, self)

    def wake(self) -> None:
        """See `Consumer.wake`."""
        with self._log.changed:
            self._awake = True
            self._log.changed.notify_all()

    def close(self) -> None:
        """See `Consumer.close`."""
        self._closed = True
        self._groups.leave(self._group, self)
        self._revoke()
