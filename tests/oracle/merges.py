"""Accounts that are merged into others. A closed account fires nothing; an event for it counts for the other account.

The other account gets the event at once, right behind the original; the engine is shown it in that place too.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.oracle.history import Account, Arrived, History
from tests.oracle.oracle import Oracle, Trigger
from tests.oracle.times import LATE

JSON = dict[str, Any]
UPDATES = ("account.updated", "contact.updated")


class MergingOracle(Oracle):
    """An oracle that knows the closed accounts. They are not in `accounts`, so no rule is ever asked about them."""

    def __init__(self, clock: str) -> None:
        super().__init__(clock)
        self.closed: dict[str, tuple[Account, str]] = {}  # its memory, and the account that goes on

    def _arrived(self, event: JSON, time: int, *, own: bool) -> None:
        account, into = self.closed.get(event["account"], (None, ""))
        if account is None and event["type"] == "account.merged":
            account = self.accounts.setdefault(event["account"], Account(event["account"]))
            if self._is_new(account, event, time):
                self._close(account, event["data"]["into"])
        elif account is None:
            super()._arrived(event, time, own=own)
        elif not own:
            late = account.newest is not None and time < account.newest - LATE
            new = self._is_new(account, event, time)
            if new and event["type"] != "account.merged" and (not late or event["type"] in UPDATES):
                self._send_on(event, time, into)

    def _is_new(self, account: Account, event: JSON, time: int) -> bool:
        repeat = self._repeated(account, event, time)
        account.newest = max(time, account.newest or time)
        if not repeat:
            self._remember(account, event, time)
        return not repeat

    def _send_on(self, event: JSON, time: int, into: str) -> None:
        """Apply the event to the account that goes on. It is no repeat: the account that got it first checked that."""
        self.place += 1
        other, further = self.closed.get(into, (None, ""))
        if other is None:
            account = self.accounts.setdefault(into, Account(into))
            named = {**event, "account": into, "source": event.get("source", "api")}
            self._take(account, named, time, own=False, repeat=False)
        else:
            self._send_on(event, time, further)

    def _close(self, account: Account, into: str) -> None:
        if into == account.id or self._leads_to(into, account.id):
            return
        del self.accounts[account.id]
        self.closed[account.id] = (account, into)
        self._take_in(account.profile.pop("contacts", {}), into)

    def _leads_to(self, account: str, wanted: str) -> bool:
        while account in self.closed:
            account = self.closed[account][1]
        return account == wanted

    def _take_in(self, contacts: JSON, into: str) -> None:
        """Move the contacts to the other account, except those whose id it already has.

        Nothing fires for the move itself, but the contacts' later moments will.
        """
        self.place += 1
        other, further = self.closed.get(into, (None, ""))
        if other is not None:
            self._take_in(contacts, further)
            return
        assert self.clock is not None
        account = self.accounts.setdefault(into, Account(into))
        account.newest = self.clock if account.newest is None else account.newest
        account.earliest = self.clock if account.earliest is None else account.earliest
        known = account.profile.setdefault("contacts", {})
        for name, contact in contacts.items():
            known.setdefault(name, copy.deepcopy(contact))
        told = {"type": "touchline.account.absorbed", "id": f"of {self.place}", "historical": True}
        account.events.append(Arrived(self.seq, told, self.clock, late=False, account=self._view(account)))
        self.seq += 1
        self._overdue(account, silent=True)


def run(history: History) -> list[Trigger]:
    """Every trigger of a history, in the order in which they were decided."""
    return read(history).triggers


def read(history: History) -> MergingOracle:
    """The oracle after a whole history."""
    oracle = MergingOracle(history.clock)
    saves = list(history.config)
    for offset, receipt, event in history.events:
        while saves and saves[0][0] <= offset:
            oracle.save(copy.deepcopy(saves.pop(0)[1]))
        oracle.read(receipt, json.loads(json.dumps(event)))
    for _, revision in saves:
        oracle.save(revision)
    if history.final_clock is not None:
        oracle.advance(history.final_clock)
    return oracle
