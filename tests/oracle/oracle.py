"""The loop: it reads records in order, moves the clock before each, and works out every rule from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from tests.oracle import alive, checks, profile, windows
from tests.oracle.conditions import holds
from tests.oracle.history import Account, Arrived, Revision, event_time
from tests.oracle.kinds import KINDS
from tests.oracle.kinds.base import Hold, Kind, Part, Step
from tests.oracle.rules import Rule, default_cooldown, starts_anew, unless_anew
from tests.oracle.times import LATE, SECOND, midnights, parse_time, span
from tests.oracle.windows import Scene, Subject

JSON = dict[str, Any]
Trigger = dict[str, Any]
Holds = dict[Subject, list[tuple[int, Hold]]]  # per subject: (member, hold)

LOOP_DEPTH = 3  # from this depth on, no rule answers an event of Touchline's own
GRACE = SECOND  # how far the wall clock stays behind the receipt time


class Oracle:
    """One partition, read once from start to end."""

    def __init__(self, clock: str) -> None:
        self.mode = clock
        self.clock: int | None = None
        self.seq = 0  # number of the next distinct event
        self.place = -1  # place of the last record applied; saves count as records
        self.accounts: dict[str, Account] = {}
        self.rules: dict[str, Rule] = {}
        self.policy: list[JSON] = Revision().tier_policy()
        self.triggers: list[Trigger] = []
        self.beats: alive.Beats = {}
        self.came: list[tuple[str, int]] = []  # type and time of everything on the log

    # -- the log ---------------------------------------------------------------------------------------------

    def save(self, revision: Revision) -> None:
        """Put a save in force at this place."""
        old = self.rules
        self.rules = {}
        for body in revision.rules:
            if body.get("status", "draft") != "draft":
                self.rules[body["name"]] = self._saved(old.get(body["name"]), body)
        self.policy = revision.tier_policy()
        self.place += 1
        self._saved_beats(list(self.rules.values()), old)
        built = [rule for name, rule in self.rules.items() if _builds(old.get(name), rule.body)]
        for account in self.accounts.values():
            assert self.clock is not None
            self._moments(built, account, (self.clock, self.clock), silent=True)
            self._overdue(account, silent=False)

    def _saved_beats(self, rules: list[Rule], old: dict[str, Rule]) -> None:
        before = self.beats
        self.beats = alive.saved(before, [rule.body for rule in rules])
        for rule in rules:
            clause = alive.clause_of(rule.body)
            if clause is None:
                continue
            if alive.is_unheard(before, clause) or _builds(old.get(rule.body["name"]), rule.body):
                self.beats[clause] += [time for type_, time in self.came if alive.hears(clause, type_)]

    def _beat(self, event: JSON, time: int) -> None:
        """Note an event for the clauses that want it, and decide what has waited for it; it counts only afterwards."""
        assert self.clock is not None
        wanted = [clause for clause in self.beats if alive.hears(clause, event["type"])]
        for clause in wanted:
            self.beats[clause].append(time)
        for account in self.accounts.values() if wanted else ():
            self._moments(self.rules.values(), account, (self.clock, self.clock), silent=False)

    def _saved(self, kept: Rule | None, body: JSON) -> Rule:
        if _builds(kept, body):
            return Rule(body, 0, 0, self.seq)
        if kept is None:
            return Rule(body, self.seq, self.seq, 0)
        unless_start = self.seq if unless_anew(kept.body, body) else kept.unless_start
        if starts_anew(kept.body, body):
            return Rule(body, self.seq, unless_start, 0)
        return Rule(body, kept.start, unless_start, kept.built, kept.memory, kept.waiting)

    def read(self, receipt: int, event: JSON) -> None:
        """Read one record: first move the clock and run what falls due, then apply the event."""
        own = event["type"].startswith("touchline.")
        if event["type"] == "touchline.clock":
            self.advance(parse_time(event["time"]) if self.mode == "log" else receipt - GRACE)
            self.place += 1
            return
        time = event_time(event, receipt)
        self.came.append((event["type"], time))
        if self.mode == "wall":
            self.advance(receipt - GRACE)
        elif not own:
            self.advance(time)
        self.place += 1
        self._arrived(event, time, own=own)

    def _arrived(self, event: JSON, time: int, *, own: bool) -> None:
        if own and event["account"] not in self.accounts:
            return  # the account is unknown or was erased: an event of Touchline's own does not create it
        account = self.accounts.setdefault(event["account"], Account(event["account"]))
        self._take(account, event, time, own=own, repeat=self._repeated(account, event, time))

    def _take(self, account: Account, event: JSON, time: int, *, own: bool, repeat: bool) -> None:
        late = account.newest is not None and time < account.newest - LATE
        if not own or account.newest is None:
            account.newest = max(time, account.newest or time)
        if not repeat:
            self._remember(account, event, time)
            self._apply(account, event, time, late)

    def _repeated(self, account: Account, event: JSON, time: int) -> bool:
        arrivals = account.names.get((event.get("source", "api"), event["id"]), [])
        if not arrivals or account.newest is None:
            return False
        if account.newest <= arrivals[-1][1] + LATE:
            return True
        again = any(time == first for first, _ in arrivals)
        if again:  # "for at least 7 days": the contract leaves open that they are counted from here again
            arrivals.append((time, account.newest))
        return again

    def _remember(self, account: Account, event: JSON, time: int) -> None:
        assert account.newest is not None
        name = (event.get("source", "api"), event["id"])
        account.names.setdefault(name, []).append((time, account.newest))
        account.earliest = time if account.earliest is None else min(account.earliest, time)

    def _apply(self, account: Account, event: JSON, time: int, late: bool) -> None:
        if not late:
            self.place -= 1
            self._beat(event, time)
            self.place += 1
        known = bool(account.events)
        before = self._view(account)
        if event["type"] == "account.updated":
            profile.merge_account(account.profile, event.get("data") or {})
        if event["type"] == "contact.updated" and event.get("contact"):
            profile.merge_contact(account.profile, event["contact"], event.get("data") or {})
        arrived = Arrived(self.seq, event, time, late, self._view(account))
        self.seq += 1
        account.events.append(arrived)
        if not arrived.silent:
            for rule in self.rules.values():
                found = self._at_event(rule, account, arrived, before if known else None)
                self._fire_all(rule, account, found)
        self._overdue(account, silent=arrived.silent)

    def _view(self, account: Account) -> JSON:
        return profile.account_view(account.id, account.profile, self.policy)

    def _scene(self, rule: Rule, account: Account, member: JSON, subject: Subject) -> Scene:
        view = self._view(account)
        return Scene(account, view, rule.body, member, subject, rule.start, rule.unless_start, rule.built)

    # -- events ----------------------------------------------------------------------------------------------

    def _at_event(self, rule: Rule, account: Account, event: Arrived, before: JSON | None) -> Holds:
        found: Holds = {}
        for part, kind in self._parts(rule, account):
            for subject, hold in kind.at_event(part, event, before):
                found.setdefault(subject, []).append((part.index, hold))
        return found

    def _parts(self, rule: Rule, account: Account, *, overdue: bool = False) -> list[tuple[Part, Kind]]:
        """The members of a rule, each with its trigger kind."""
        found = []
        for index, member in enumerate(rule.members):
            kind, body = windows.kind_of(member)
            scene = partial(self._scene, rule, account, member)
            memory = partial(rule.of, account.id)
            source = alive.source_of(self.beats, rule.body)
            part = Part(rule.body, index, body, account, self._view(account), scene, memory, source, overdue)
            found.append((part, KINDS[kind]))
        return found

    # -- moments ---------------------------------------------------------------------------------------------

    def advance(self, to: int) -> None:
        """Run everything that falls due up to `to`, per account in time order, then set the clock to `to`."""
        if self.clock is not None and to <= self.clock:
            return
        if self.clock is not None:
            for account in self.accounts.values():
                self._moments(self.rules.values(), account, (self.clock, to), silent=False)
        self.clock = to

    def _overdue(self, account: Account, *, silent: bool) -> None:
        """Decide the moments in the past that an event, a tier change or a save has made due."""
        assert self.clock is not None
        self._moments(self.rules.values(), account, (self.clock, self.clock), silent=silent, overdue=True)

    def _moments(
        self, rules: Iterable[Rule], account: Account, step: Step, *, silent: bool, overdue: bool = False
    ) -> None:
        for rule in rules:
            due: dict[int, Holds] = {}
            parts = self._parts(rule, account, overdue=overdue)
            waited = sorted(rule.waiting.pop(account.id, ()))
            for at in [*waited, *midnights(*step)]:
                for part, kind in parts:
                    ticks = kind.ticks(part.body) and not self._held_back(rule, part, kind, at, step[1])
                    hold = kind.at_tick(part.scene((None, None)), at) if ticks else None
                    if hold is not None:
                        _note(due, (None, None), part.index, hold)
            for part, kind in parts:
                for subject, hold in kind.moments(part, step, silent=silent):
                    _note(due, subject, part.index, hold)
            for at in sorted(due):
                self._fire_all(rule, account, due[at])

    @staticmethod
    def _held_back(rule: Rule, part: Part, kind: Kind, at: int, now: int) -> bool:
        """Whether a tick is passed over, or cannot be decided yet."""
        source = part.source
        if source is None:
            return False
        if source.decides_tick(at, now):
            return source.passes_over(at, kind.looks_at(part.body, at))
        if kind.may_hold(part.scene((None, None)), at):
            rule.waiting.setdefault(part.account.id, set()).add(at)
        return True

    # -- firing ----------------------------------------------------------------------------------------------

    def _fire_all(self, rule: Rule, account: Account, found: Holds) -> None:
        for subject, entries in found.items():
            if rule.joint is not None:
                entries = self._joined(rule, account, subject, entries)
            for _, hold in entries:
                if rule.firing:
                    self._fire(rule, account, subject, hold)

    def _joined(
        self, rule: Rule, account: Account, subject: Subject, entries: list[tuple[int, Hold]]
    ) -> list[tuple[int, Hold]]:
        """The entries at which every member has held within the joint window."""
        assert rule.joint is not None
        held = rule.of(account.id, subject).held
        for index, hold in entries:
            held.setdefault(index, set()).add(hold.at)
        length = span(rule.joint["within"])
        members = range(len(rule.members))
        entries = sorted(entries, key=lambda entry: entry[1].at)
        return [
            entry
            for entry in entries
            if all(any(entry[1].at - length < u <= entry[1].at for u in held.get(m, ())) for m in members)
        ]

    def _fire(self, rule: Rule, account: Account, subject: Subject, hold: Hold) -> None:
        memory = rule.of(account.id, subject)
        scene = self._scene(rule, account, rule.body["when"], subject)
        cause = hold.at if hold.moment or hold.event is None else (hold.event.seq, "event")
        if cause in memory.fired or _cooling(rule.body, scene.tier, memory.last, hold.at):
            return
        contact = subject[0] or (hold.event.contact if hold.event else None)
        view = {"account": scene.view, "contact": profile.contact_view(scene.view, contact)}
        if hold.event is not None and not hold.moment:
            view = windows.event_view(hold.event, scene.view)
        if not holds(rule.body.get("where"), view):
            return
        if checks.held_back(scene, hold.at, moment=hold.moment):
            return
        if _depth(hold) >= LOOP_DEPTH:
            return
        memory.fired.add(cause)
        memory.last = hold.at if memory.last is None else max(memory.last, hold.at)
        found = _trigger(rule.body, account, subject, scene.tier, contact, hold)
        self.triggers.append({**found, "position": self.place})


def _builds(before: Rule | None, body: JSON) -> bool:
    """Whether a save asks for a backfill of the rule's state from the log."""
    return bool(body.get("backfill")) and (before is None or before.body != body)


def _note(due: dict[int, Holds], subject: Subject, index: int, hold: Hold) -> None:
    due.setdefault(hold.at, {}).setdefault(subject, []).append((index, hold))


def _depth(hold: Hold) -> int:
    """The depth of the event that holds, or that armed the moment; 0 for events that are not Touchline's own."""
    if hold.event is None or not hold.event.type.startswith("touchline."):
        return 0
    data = hold.event.event.get("data")
    depth = data.get("depth") if isinstance(data, dict) else None
    return depth if isinstance(depth, int) and not isinstance(depth, bool) else 1


def _cooling(rule: JSON, tier: str | None, last: int | None, at: int) -> bool:
    if last is None:
        return False
    cooldown = rule.get("cooldown") or default_cooldown(rule["when"], tier)
    if cooldown == "once":
        return True
    return span(cooldown) > 0 and at - last < span(cooldown)


def _trigger(
    rule: JSON, account: Account, subject: Subject, tier: str | None, contact: str | None, hold: Hold
) -> Trigger:
    event = hold.event
    cause: tuple[Any, ...] = ("moment", hold.at)
    if event is not None and not hold.moment:
        cause = ("event", event.source, event.id, event.time)
    return {
        "rule": rule["name"],
        "account": account.id,
        "contact": contact,
        "contact_subject": subject[0],
        "key": subject[1],
        "tier": tier,
        "at": hold.at,
        "event_id": event.id if event else None,
        "event": (event.source, event.id, event.time) if event else None,
        "value": hold.value,
        "threshold": hold.threshold,
        "cause": cause,
        "evidence": hold.evidence,
        "figures": hold.figures,
        "shadow": rule.get("status") == "shadow",
        "depth": max(0, _depth(hold)),
        "kind": windows.kind_of(rule["when"])[0],
    }
