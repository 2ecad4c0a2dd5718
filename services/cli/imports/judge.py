"""Whom the rules would touch: the engine that serves, in memory, over what a file holds.

Accounts that the server knows stand in it as they are there; the events that the server has are not read. The clock
stands at the moment of the import, as on a server by the wall clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.event import Event, decode, encode, from_microseconds, microseconds
from schemas.profile import Profile
from schemas.rule import RuleIn, TiersDoc
from services.cli.scenario_world import ruleset
from services.rules.engine.matches import Matching, matching
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine

MOST = 500_000  # events that are judged, the first of the files: they stand in memory
ONLY_ACCOUNTS = frozenset({"becomes", "date"})  # kinds that read no event but updates
NEAR = 0.8
Subject = tuple[str, str | None, str | None]  # account, contact, key


@dataclass
class Touched:
    """A rule, the subjects that it would fire for, and those that it would hold for afterwards.

    `cooling`: it would fire for them, were it not for their cooldown. `unjudged`: it counts events, and there are none.
    """

    rule: RuleIn
    fires: list[Subject] = field(default_factory=list)
    cooling: list[Subject] = field(default_factory=list)
    holds: list[Matching] = field(default_factory=list)
    near: int = 0
    unjudged: bool = False


class Judge:
    """One partition with everything in memory. Times in microseconds.

    `in_order`: events are judged in the order of time, as for a rule that is activated with backfill; else in the order
    of the files, as a rule in force sees them.
    """

    def __init__(self, rules: Sequence[RuleIn], tiers: TiersDoc, now: int, *, in_order: bool) -> None:
        self.rules, self.now = list(rules), now
        self._ruleset = ruleset(rules, tiers)
        self._accounts = InMemoryAccounts()
        self._log: list[bytes] = []
        self._engine = PartitionEngine(
            0,
            clock_mode="wall",
            clock=now,
            revision=self._ruleset,
            accounts=self._accounts,
            rulesets=lambda _: self._ruleset,
            fetch=lambda offset: decode(self._log[offset], place="", timestamp=now),
            history=lambda _: (),
        )
        self.fired: dict[tuple[str, Subject], None] = {}  # rule and subject, in the order of the triggers
        self._in_order = in_order
        self._waiting: list[tuple[int, int, bytes]] = []  # time, place, event
        self.left_out = 0  # events beyond those that fit

    def tier(self, profile: Profile) -> str:
        """The tier that an account has."""
        return self._ruleset.tier(profile)[0]

    def known(self, profile: Profile, first: int, last: int) -> None:
        """An account as the server knows it, with the times of its first and its newest event there."""
        contacts = [msgspec.to_builtins(one) for one in profile.contacts.values()]
        data = {**msgspec.to_builtins(profile), "contacts": contacts}
        # behind the newest event by a week, others are late for the rules in force, but not for backfill
        self._update(profile.id, data, historical=True, time=0 if self._in_order else last)
        state = self._accounts.get(profile.id)
        if state is not None:
            state.earliest = first

    def update(self, account: str, body: dict[str, Any], *, historical: bool) -> None:
        """A row of a table of accounts."""
        self._settle()
        self._update(account, body, historical=historical, time=self.now)

    def event(self, event: Event) -> None:
        """An event of a file."""
        if self.left_out or len(self._log) + len(self._waiting) >= MOST:
            self.left_out += 1
        elif self._in_order:
            time = self.now if event.time is None else microseconds(event.time)
            self._waiting.append((time, len(self._waiting), encode(event)))
        else:
            self._apply(event)

    def _settle(self) -> None:
        """Judge what waits, in the order of time."""
        waiting, self._waiting = sorted(self._waiting), []
        for _, _, value in waiting:
            self._apply(decode(value, place="", timestamp=self.now))

    def _update(self, account: str, data: Any, *, historical: bool, time: int) -> None:
        self._apply(
            Event(
                id=f"import.{len(self._log)}",
                source="import",
                type="account.updated",
                account=account,
                data=data,
                time=from_microseconds(time),
                historical=historical,
            )
        )

    def _apply(self, event: Event) -> None:
        self._log.append(encode(event))
        self._engine.apply([(len(self._log) - 1, self.now, event)])
        for trigger in self._engine.drain():
            self.fired[trigger.rule, (trigger.account, trigger.contact, trigger.key)] = None
        self._engine.forget_changes()
        self._engine.take_out()

    def touched(self, *, events: bool) -> Iterator[Touched]:
        """Every rule, with whom it would touch. Without `events`, only those that read no other can hold."""
        self._settle()
        for rule in self._ruleset.rules:
            found = Touched(rule.doc)
            found.fires = [subject for name, subject in self.fired if name == rule.name]
            only_accounts = rule.unless is None and all(one.name in ONLY_ACCOUNTS for one in rule.members)
            found.unjudged = not (events or only_accounts)
            if not found.unjudged:
                for state in self._accounts.all():
                    for one in matching(self._ruleset, rule, state, self.now, NEAR):
                        if one.holds:
                            found.holds.append(one)
                        else:
                            found.near += 1
            found.holds.sort(key=lambda one: one.place)
            yield found
