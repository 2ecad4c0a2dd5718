"""Where users belong, slowly: every call ever made is kept in a list and looked through again for each question.

It is written from the contract ("Who belongs where"), not from the code. There are two levels: False is vouched for;
True came with a `track` key. The level True sees the facts of both, and those that are vouched for go first.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    kind: str  # track, identify, group
    time: int
    known: str | None = None
    anonymous: str | None = None
    group: str | None = None  # the group of a group call
    named: str | None = None  # the group that the context names
    message: str | None = None
    unvouched: bool = False
    traits: tuple[tuple[str, int], ...] = ()

    @property
    def user(self) -> str:
        return self.known or self.anonymous or ""


@dataclass
class Where:
    account: str
    time: int
    contact: str | None
    made: str | None = None  # the contact that a group call or a first tie makes as well


@dataclass
class Fact:
    """A fact about a user, from `time` on. `value`: a group, or for an anonymous user the known user."""

    who: str
    time: int
    value: str
    unvouched: bool


@dataclass
class Oracle:
    groups: list[Fact] = field(default_factory=list)
    ties: list[Fact] = field(default_factory=list)
    said: list[tuple[str, bool, str, int]] = field(default_factory=list)  # user, level, trait, value
    identified: set[tuple[str, bool]] = field(default_factory=set)
    sent: list[tuple[Call, Where]] = field(default_factory=list)
    alone: set[tuple[str, bool]] = field(default_factory=set)
    merged: dict[tuple[str, bool], str] = field(default_factory=dict)

    def receive(self, call: Call) -> Where:
        for before, where in self.sent:
            same = (before.user, before.message, before.unvouched)
            if call.message is not None and same == (call.user, call.message, call.unvouched):
                return where
        where = self._first(call)
        self.sent.append((call, where))
        return where

    def _first(self, call: Call) -> Where:
        level = call.unvouched
        first, took_over = self._tie(call)
        person = call.known or self.who(call.user, call.time, level) or call.user
        account = call.group or call.named or self.group(person, call.time, level)
        if account is None:
            account = person
            self.alone.add((person, level))
        self.said += [(person, level, name, value) for name, value in call.traits]
        if call.kind == "identify":
            self.identified.add((person, level))
        if call.group is not None:
            self._merge(person, account, level)
            self.groups.append(Fact(person, call.time, call.group, level))
        if account == person:
            self._too_late(person, call.time, level)
        contact = person if person != call.user or call.known or call.kind == "identify" else None
        where = Where(account, call.time, contact)
        if took_over or (call.group is not None and (call.known or (person, level) in self.identified)):
            where.made = person
        if first and call.anonymous:
            self._merge(call.anonymous, account, level)
        if took_over and call.named is None:
            self._merge(person, account, level)
        return where

    def _tie(self, call: Call) -> tuple[bool, bool]:
        """(whether the call first ties the anonymous user to a known one, whether the known one took anything over)."""
        if not (call.known and call.anonymous and call.known != call.anonymous):
            return False, False
        level = call.unvouched
        if self.who(call.anonymous, call.time, level) == call.known:
            return False, False
        first = not [tie for tie in self.ties if tie.who == call.anonymous and (level or not tie.unvouched)]
        self.ties = [
            tie
            for tie in self.ties
            if (tie.who, tie.time, tie.unvouched) != (call.anonymous, call.time, level)
        ]
        self.ties.append(Fact(call.anonymous, call.time, call.known, level))
        if not first:
            return False, False
        own = {fact.time for fact in self.groups if (fact.who, fact.unvouched) == (call.known, level)}
        last = {
            fact.time: fact for fact in self.groups if (fact.who, fact.unvouched) == (call.anonymous, level)
        }
        groups = [
            Fact(call.known, one.time, one.value, level) for one in last.values() if one.time not in own
        ]
        self.groups += groups
        theirs = [one for one in self.said if one[:2] == (call.anonymous, level)]
        self.said = [(call.known, level, name, value) for _, _, name, value in theirs] + self.said
        identified = (call.anonymous, level) in self.identified
        if identified:
            self.identified.add((call.known, level))
        return True, bool(groups) or identified

    def who(self, anonymous: str, time: int, level: bool) -> str | None:
        return self._last(self.ties, anonymous, time, level)

    def group(self, person: str, time: int, level: bool) -> str | None:
        return self._last(self.groups, person, time, level)

    @staticmethod
    def _last(facts: list[Fact], who: str, time: int, level: bool) -> str | None:
        for unvouched in (False, True) if level else (False,):
            fit = [
                (fact.time, place, fact.value)
                for place, fact in enumerate(facts)
                if (fact.who, fact.unvouched) == (who, unvouched) and fact.time <= time
            ]
            if fit:
                return max(fit)[2]
        return None

    def traits(self, person: str, level: bool) -> dict[str, int]:
        return {name: value for user, at, name, value in self.said if (user, at) == (person, level)}

    def _too_late(self, person: str, time: int, level: bool) -> None:
        """Merge the user's own account if the call is from before the first fact about where the user belongs."""
        levels = (False, True) if level else (False,)
        for unvouched in levels:
            ties = [one for one in self.ties if (one.who, one.unvouched) == (person, unvouched)]
            if ties:
                first = min(ties, key=lambda one: one.time)
                return self._merge(person, self.group(first.value, first.time, level) or first.value, level)
        for unvouched in levels:
            later = [
                (one.time, -place, one.value)
                for place, one in enumerate(self.groups)
                if (one.who, one.unvouched) == (person, unvouched) and one.time > time
            ]
            if later:
                return self._merge(person, min(later)[2], level)
        return None

    def _merge(self, account: str, into: str, level: bool) -> None:
        """Merge the account that stands for one user alone, if any, into another: only once, and in no circle."""
        alone = (account, level) in self.alone or (not level and (account, True) in self.alone)
        taken = (account, level) in self.merged or (level and (account, False) in self.merged)
        if alone and not taken and not self._leads(into, account, level):
            self.merged[account, level] = into

    def _leads(self, start: str, end: str, level: bool) -> bool:
        reached = {start}
        for _ in range(50):
            steps = {
                into
                for (account, unvouched), into in self.merged.items()
                if account in reached and (level or not unvouched)
            }
            reached |= steps
        return end in reached
