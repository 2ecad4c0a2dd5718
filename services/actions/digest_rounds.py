"""Sends digests: in each round of the worker, those whose moment has come, of the home partitions that it owns.

With the log clock, a digest goes out once the clocks of all partitions have reached its moment: no item from before it
can come any more. With the wall clock, once every partition has been applied up to there, or a while after the moment:
what comes later waits for the next one.

A digest's items are read, rendered outside of any transaction, and written in one that looks again: if an item, the
owner of the home partition or a pause has changed meanwhile, the digest is left for the next round.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.log import EVENTS, Log
from schemas.addresses import normal
from schemas.event import DAY_US
from services.actions.metrics import count_actions
from services.actions.plays import digests
from services.actions.plays.model import ActionDraft, DigestItem, DraftRendering, digest_id
from services.actions.plays.ports import Library
from services.actions.plays.processor import GRACE_US, ClockMode
from services.actions.storage import digests as rows
from services.actions.storage import holds, ownership, suppressions, waiting
from services.actions.storage.ownership import ActionsPartition
from services.actions.storage.partition_mails import PartitionMails
from services.actions.storage.sending_policy import PolicyReader
from services.actions.storage.standing import going
from services.actions.storage.suppressions import Hasher
from services.actions.storage.write_batch import Content, render_ops, write_ops
from services.actions.tables import partitions, plays

AT_ONCE = 20  # digests in one transaction
# How long after its moment a digest waits for partitions that are behind, by the wall clock.
LATE_US = DAY_US // 96
WAITS_US = 10_000_000  # how long it waits for plays whose waits ran out before its moment


class Digest(NamedTuple):
    """A digest whose moment has come."""

    moment: int
    home: int
    found: digests.Sorted
    mail: ActionDraft | None


class DigestRounds:
    """For the worker's thread only. `connect` gives the connection of the round's reading. `look`: the least time
    between two looks for digests that are due, in seconds."""

    def __init__(
        self,
        db: Database,
        log: Log,
        clock: Clock,
        mode: ClockMode,
        library: Library,
        connect: Callable[[], Connection],
        hasher: Hasher | None,
        holds_record: Callable[[str, int, int], bool],
        *,
        look: float,
    ) -> None:
        self._db, self._log, self._clock, self._mode = db, log, clock, mode
        self._library, self._connect, self._hasher = library, connect, hasher
        # Whether the log holds a record there, or what stands there is none.
        self._holds_record = holds_record
        self._look, self._looked = look, 0.0
        self._policies = PolicyReader()
        self.more = False  # whether there may be more than the last round sent

    def find(self, mine: Mapping[int, ActionsPartition]) -> list[Digest]:
        """The digests of our home partitions that are to go out now, composed and not rendered yet."""
        if not self.more and time.monotonic() - self._looked < self._look:
            return []
        self._looked = time.monotonic()
        conn = self._connect()
        upto = self._upto(conn)
        names = rows.due(conn, list(mine), upto, AT_ONCE)
        self.more = len(names) == AT_ONCE
        found = []
        for name in names:
            items = rows.collected(conn, name)
            if items and self._settled(conn, items[0].due):
                found.append(self._composed(conn, items))
        return found

    def _upto(self, conn: Connection) -> int:
        if self._mode == "wall":
            return self._clock.now() - GRACE_US
        clocks = [row.clock for row in ownership.positions(conn).values()]
        return min(clocks) if len(clocks) == self._log.partitions else 0

    def _settled(self, conn: Connection, moment: int) -> bool:
        """Whether nothing from before the moment is still to be applied, as far as we wait for it."""
        late = self._clock.now() - moment
        if self._mode == "log" or late > LATE_US:
            return True
        places = ownership.positions(conn)
        for number, end in self._log.end_offsets(EVENTS).items():
            row = places.get(number)
            if row is None or row.next_event >= end or row.clock >= moment:
                continue
            if self._holds_record(EVENTS, number, row.next_event):
                return False
        over = select(plays.c.id).where(plays.c.due_at < moment, plays.c.partition.in_(list(places)))
        return (
            late > WAITS_US or conn.execute(over.where(*going(holds.paused(conn))).limit(1)).first() is None
        )

    def _composed(self, conn: Connection, items: Sequence[DigestItem]) -> Digest:
        first = items[0]
        moment = first.due
        if rows.was_sent(conn, digest_id(normal(first.recipient), first.key, moment)):
            found = digests.Sorted([], list(items), [])
        else:
            still = holds.plays_standing(conn, [item.play for item in items])
            unwanted = self._unwanted(conn, first.recipient, {item.topic for item in items})
            policy = self._policies.current(conn) if self._mode == "log" else None
            begins = digests.begins_at(first, moment, policy)
            inactive = waiting.inactive(conn, items)
            found = digests.sort_out(items, begins, standing=still, unwanted=unwanted, inactive=inactive)
        for item in found.waiting:
            digests.put_off(item, moment)
        home = rows.home_of(first, self._log.partitions)
        if not found.kept:
            return Digest(moment, home, found, None)
        rows.fill(conn, found.kept[: found.kept[0].at_most])
        return Digest(moment, home, found, digests.compose(found.kept, moment, self._library))

    def _unwanted(self, conn: Connection, address: str, topics: set[str]) -> set[str]:
        if self._hasher is None:
            return set()
        digest = self._hasher.digest(address)
        return {topic for _, topic in suppressions.suppressed(conn, ((digest, topic) for topic in topics))}

    def send(
        self,
        found: Sequence[Digest],
        mine: Mapping[int, ActionsPartition],
        renderer: DraftRendering,
        stay: Callable[[], None],
    ) -> int:
        """Render and write digests; returns how many mails are to be sent now."""
        mails = [one.mail for one in found if one.mail is not None]
        content = render_ops(mails, renderer, stay)
        due, counted = 0, Counter[tuple[str, str, str]]()
        with self._db.write() as conn:
            holds.lock(conn, [holds.ALL])
            owned = self._owned(conn, mine)
            for one in found:
                if self._unchanged(conn, one, owned):
                    written = self._write(conn, one, content)
                    due += written[0]
                    counted += written[1]
                else:
                    self.more = True
        count_actions(counted)
        return due

    def _owned(self, conn: Connection, mine: Mapping[int, ActionsPartition]) -> set[int]:
        """Those of our partitions that are ours still, until the transaction ends."""
        query = select(partitions.c.partition, partitions.c.epoch).where(partitions.c.partition.in_(mine))
        there = conn.execute(query.order_by(partitions.c.partition).with_for_update()).all()
        return {row.partition for row in there if row.epoch == mine[row.partition].epoch}

    def _unchanged(self, conn: Connection, one: Digest, owned: set[int]) -> bool:
        kept, waiting, left_out = one.found
        items = [*kept, *waiting, *(item for item, _ in left_out)]
        if one.home not in owned:
            return False
        still = holds.plays_standing(conn, [item.play for item in kept])
        return not still and rows.as_read(conn, items, one.moment)

    def _write(
        self, conn: Connection, one: Digest, content: Content
    ) -> tuple[int, Counter[tuple[str, str, str]]]:
        kept, waiting, left_out = one.found
        rows.put_off(conn, waiting)
        rows.drop(conn, [item for item, _ in left_out])
        ops = [(digests.told(item, reason, one.moment), item.partition) for item, reason in left_out]
        if one.mail is not None:
            rows.went(conn, kept, one.mail.id)
            ops.append((one.mail, one.home))
        due, counted = 0, Counter[tuple[str, str, str]]()
        now = self._clock.now()
        for op, number in ops:
            mails = PartitionMails(number, None, lambda: conn, lambda _: None)
            written = write_ops(
                conn, [op], content, partition=number, partitions=self._log.partitions, now=now, mails=mails
            )
            due += written.due
            counted += written.actions
        if one.mail is not None and self._mode == "log":
            rows.wait_for_look(conn, one.mail.id)
        return due, counted
