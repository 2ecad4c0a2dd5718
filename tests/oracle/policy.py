"""A slow and obvious model of the sending policy (contract, section 12): when each mail begins, or why it is skipped.

It sees all mails at once. Time jumps from one moment at which something may change to the next; within a moment it
tries everything again and again until nothing changes. Nothing here is shared with the code under test but the words
of the policy, which are read from plain JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.times import MINUTE, from_us, span

JSON = dict[str, Any]
FAR = 1 << 62
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Mail:
    """A mail to a contact. Its step ran at `runs_at`; `place` is its place in the log among those of one moment.

    `gap`: the waits between it and the mail before it of the same play. A wait for a date keeps its date, and so is
    none of these.
    """

    id: str
    address: str
    account: str
    tier: str
    topic: str
    runs_at: int
    place: int = 0
    priority: int = 5
    zone: str | None = None  # of the contact, else of the account
    within: int | None = None
    play: str = ""
    gap: int = 0


@dataclass
class Course:
    """What became of a mail so far: it began, was skipped, or waits; the reason says why it did not begin."""

    began_at: int | None = None
    skipped_at: int | None = None
    reason: str | None = None

    @property
    def waits(self) -> bool:
        return self.began_at is None and self.skipped_at is None


@dataclass
class PolicyOracle:
    """All mails under one policy. `run` says what becomes of each up to and including a moment."""

    policy: JSON
    known: list[Mail] = field(default_factory=list)  # whose steps have run
    course: dict[str, Course] = field(default_factory=dict)

    def run(self, mails: Iterable[Mail], until: int) -> dict[str, Course]:
        coming = sorted(mails, key=lambda mail: (mail.runs_at, mail.place))
        now = coming[0].runs_at if coming else until
        while now <= until:
            self._settle(now)
            while coming and coming[0].runs_at == now:
                arrived = coming.pop(0)
                self.known.append(arrived)
                self.course[arrived.id] = Course()
                self._settle(now)
            later = [mail.runs_at for mail in coming]
            now = min((at for at in [*later, *self._moments(now)] if at > now), default=FAR)
        return self.course

    def _settle(self, now: int) -> None:
        """Everything that happens at this moment, one thing after the other."""
        while self._begin_one(now) or self._skip_one(now):
            pass
        for mail in self._waiting():
            self.course[mail.id].reason = self._reason(mail, now)

    def _begin_one(self, now: int) -> bool:
        able = [
            mail for mail in self._waiting() if self._reason(mail, now) is None and now <= self._last(mail)
        ]
        for mail in able:
            ahead = [one for one in able if self._rivals(one, mail) and self._order(one) < self._order(mail)]
            if not ahead:
                self.course[mail.id] = Course(began_at=now)
                return True
        return False

    def _skip_one(self, now: int) -> bool:
        """To be called when no mail can begin any more at this moment."""
        for mail in self._waiting():
            if now >= self._last(mail):
                patient = mail.within is None or now < mail.runs_at + mail.within
                reason = self._reason(mail, now) if patient else "too_late"
                self.course[mail.id] = Course(skipped_at=now, reason=reason)
                return True
        return False

    def _last(self, mail: Mail) -> int:
        """The last moment at which it may begin, as far as that is known."""
        due = self._due(mail)
        ends = [] if due is None else [due + span(self.policy.get("wait_at_most", "7d"))]
        return min([*ends, FAR if mail.within is None else mail.runs_at + mail.within])

    def _waiting(self) -> list[Mail]:
        return [mail for mail in self.known if self.course[mail.id].waits]

    def _order(self, mail: Mail) -> tuple[int, int, str]:
        due = self._due(mail)
        assert due is not None
        return -mail.priority, due, mail.id

    def _rivals(self, one: Mail, other: Mail) -> bool:
        """Whether they wait for the same address or under one of the same caps."""
        if one.address == other.address:
            return True
        shared = [cap for cap in self._caps() if covers(cap, one) and covers(cap, other)]
        return any(whose(cap, one) == whose(cap, other) for cap in shared)

    def _reason(self, mail: Mail, now: int) -> str | None:
        """Why it cannot begin now, whatever the others do; None: it can."""
        due = self._due(mail)
        if due is None or now < due:
            return "behind"
        if not self._in_hours(mail, now):
            return "quiet_hours"
        return None if all(self._has_room(cap, mail, now) for cap in self._caps()) else "capped"

    def _due(self, mail: Mail) -> int | None:
        """*d*; None while a mail of the same play and recipient that goes before it waits."""
        between = 0
        own = [one for one in self.known if (one.play, one.address) == (mail.play, mail.address)]
        before = own[: own.index(mail)]
        if any(self.course[one.id].waits for one in before):
            return None
        following = mail
        for one in reversed(before):
            between += following.gap
            began = self.course[one.id].began_at
            if began is not None:
                return max(mail.runs_at, began + between)
            following = one
        return mail.runs_at

    def _caps(self) -> list[JSON]:
        caps: list[JSON] = self.policy.get("caps") or []
        return caps

    def _has_room(self, cap: JSON, mail: Mail, now: int) -> bool:
        if not covers(cap, mail):
            return True
        begun = [
            one
            for one in self.known
            if covers(cap, one) and whose(cap, one) == whose(cap, mail)
            if (at := self.course[one.id].began_at) is not None and now - span(cap["within"]) < at <= now
        ]
        return len(begun) < at_most(cap, mail.tier)

    def _in_hours(self, mail: Mail, now: int) -> bool:
        hours = self.policy.get("hours") or {}
        if mail.topic in hours.get("except_topics", []):
            return True
        zone = mail.zone or self.policy.get("timezone") or "UTC"
        local = from_us(now).astimezone(ZoneInfo(zone))
        if local.date().isoformat() in (self.policy.get("holidays") or []):
            return False
        if not hours:
            return True
        clock = local.strftime("%H:%M")
        return DAYS[local.weekday()] in hours.get("days", DAYS) and hours["from"] <= clock < hours["to"]

    def _moments(self, now: int) -> Iterator[int]:
        """The moments from here on at which something may change for a mail that waits."""
        waiting = self._waiting()
        for mail in waiting:
            yield self._last(mail)
            yield self._due(mail) or now
        for course in self.course.values():
            for cap in self._caps():
                if course.began_at is not None:
                    yield course.began_at + span(cap["within"])
        if any(self.course[mail.id].reason == "quiet_hours" for mail in waiting):
            step = self._step()
            yield now - now % step + step

    def _step(self) -> int:
        """Hours begin and end at whole minutes, and all zones lie a multiple of a quarter of an hour apart."""
        hours = self.policy.get("hours") or {"from": "00:00", "to": "24:00"}
        quarters = all(int(hours[name][3:]) % 15 == 0 for name in ("from", "to"))
        return 15 * MINUTE if quarters else MINUTE


def covers(cap: JSON, mail: Mail) -> bool:
    """Whether the cap limits and counts this mail."""
    return mail.topic not in cap.get("except_topics", []) and at_most_of(cap, mail.tier) is not None


def at_most_of(cap: JSON, tier: str) -> int | None:
    most = cap["at_most"]
    found: int | None = most.get(tier) if isinstance(most, dict) else most
    return found


def at_most(cap: JSON, tier: str) -> int:
    found = at_most_of(cap, tier)
    assert found is not None
    return found


def whose(cap: JSON, mail: Mail) -> str:
    return mail.account if cap.get("per", "address") == "account" else mail.address
