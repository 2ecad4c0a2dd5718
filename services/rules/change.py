"""What a batch changed in a partition, ready to be written: nothing in it belongs to the engine any more.

So the shard can judge the next batch while this one is being committed.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from schemas.event import microseconds
from schemas.trigger import Trigger
from services.rules import store

_trigger_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Change:
    """`row` is where the partition stands afterwards, `expected` the offset where the table must say that it is."""

    row: store.PartitionRow
    expected: int
    accounts: list[store.AccountRow]
    triggers: list[Trigger]
    relayed: list[str]  # ids of triggers that are on the log
    erased: list[str]
    erased_contacts: list[tuple[str, str]]
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    def save(self, conn: Connection) -> None:
        """Write it; raises `Fenced` if the partition is no longer ours, or not where it should be."""
        store.advance(conn, self.row, self.expected)
        store.erase_accounts(conn, self.erased)
        store.erase_contacts(conn, self.erased_contacts)
        store.save_accounts(conn, self.accounts)
        store.save_triggers(conn, [_stored(trigger) for trigger in self.triggers])
        store.mark_relayed(conn, self.relayed)


def _stored(trigger: Trigger) -> store.TriggerRow:
    """The table row of a trigger."""
    return store.TriggerRow(
        id=trigger.id,
        rule=trigger.rule,
        account=trigger.account,
        contact=trigger.contact,
        at=microseconds(datetime.fromisoformat(trigger.at)),
        partition=trigger.position.partition,
        doc=_trigger_json(trigger),
    )
