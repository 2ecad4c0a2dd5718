"""What a batch changed in a partition, ready to be written. The engine no longer refers to any of it.

So the partition task can apply the next batch while this one is being committed.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from schemas.event import microseconds
from schemas.names import MAX_NAME, fitting
from schemas.trigger import Trigger
from services.rules.backtest.erased import note as note_erased
from services.rules.engine.by_hand import StartAnswer
from services.rules.engine.concerned import Concerned
from services.rules.storage import listings, queries, rule_pauses, starts
from services.rules.storage.listings import Listing
from services.rules.storage.ownership import OWNERSHIP, RulesPartition

_trigger_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class WriteSet:
    """`row` is the partition's row afterwards, `expected` the offsets that the table must hold before."""

    row: RulesPartition
    expected: tuple[int, ...]
    accounts: list[queries.AccountRow]
    listings: list[Listing]  # of those accounts whose profiles changed
    triggers: list[Trigger]
    relayed: list[str]  # ids of triggers that are on the log
    erased: dict[str, int]  # accounts to the offset of the erasure
    erased_contacts: dict[tuple[str, str], int]
    outgoing: list[queries.Outgoing] = field(default_factory=list)
    passed: list[tuple[int, int]] = field(default_factory=list)  # places of the outbox that are on the log
    forgotten: list[str] = field(default_factory=list)  # ids of triggers whose plays are kept no longer
    concerned: list[Concerned] = field(default_factory=list)
    started: list[StartAnswer] = field(default_factory=list)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    written_at: int = 0  # microseconds, by the worker's own clock
    heartbeats: dict[str, bytes | None] = field(default_factory=dict)  # by clause; None: it is gone

    def save(self, conn: Connection) -> None:
        """Write it. Raises `Fenced` if the partition is no longer ours, or not at the expected offsets."""
        OWNERSHIP.advance(conn, self.row, self.expected)
        queries.erase_accounts(conn, self.row.partition, self.erased)
        contacts = [(account, fitting(name, MAX_NAME) or "") for account, name in self.erased_contacts]
        queries.erase_contacts(conn, contacts)
        note_erased(conn, sorted(self.erased), contacts, self.written_at)
        queries.save_accounts(conn, self.accounts)
        listings.save(conn, self.listings)
        queries.save_triggers(
            conn, [_stored(trigger) for trigger in self.triggers if not self._gone(trigger)]
        )
        queries.mark_relayed(conn, self.relayed)
        queries.save_outgoing(conn, self.outgoing)
        queries.drop_outgoing(conn, self.row.partition, self.passed)
        rule_pauses.save(conn, self.row.partition, self.concerned, self.written_at)
        starts.save_answers(conn, self.row.partition, self.started)
        queries.forget_triggers(conn, self.row.partition, self.forgotten)
        queries.save_heartbeats(conn, self.row.partition, self.heartbeats)

    def _gone(self, trigger: Trigger) -> bool:
        """Whether the account or person that a trigger shows was erased after it was decided. It is relayed,
        and nothing of it stays here."""
        if not self.erased and not self.erased_contacts:
            return False
        account = self.erased.get(trigger.account, -1)
        contact = self.erased_contacts.get((trigger.account, trigger.contact or ""), -1)  # no contact is ""
        return trigger.position.offset < max(account, contact)


def _stored(trigger: Trigger) -> queries.TriggerRow:
    """The table row of a trigger."""
    return queries.TriggerRow(
        id=trigger.id,
        rule=trigger.rule,
        account=trigger.account,
        contact=fitting(trigger.contact, MAX_NAME),
        at=microseconds(datetime.fromisoformat(trigger.at)),
        partition=trigger.position.partition,
        doc=_trigger_json(trigger),
        tier=trigger.tier,
        key_digest=queries.key_digest(trigger.key),
        alone=trigger.playbook is None or trigger.shadow,
    )
