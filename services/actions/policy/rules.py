"""The sending policy, ready to judge with: its hours, its caps, and how long a mail waits for them. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from schemas.duration import parse_duration
from schemas.play_reasons import ActionReason
from schemas.policy import WEEK, PolicyDoc, minutes
from schemas.policy import Cap as CapDoc
from schemas.tiered import TIERS, for_tier
from services.actions.policy.hours import DAY, SECOND, OpenHours
from services.actions.policy.mails import Begun, WaitingMail

MINUTE = 60 * SECOND
NEVER = 1 << 62
UTC_ZONE = "UTC"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Cap:
    """How many mails may begin within a time. `at_most`: by tier; one that is left out is not capped."""

    at_most: Mapping[str, int]
    within: int
    per_account: bool
    exempt: frozenset[str]

    def covers(self, topic: str, tier: str) -> bool:
        """Whether it limits and counts mails of this topic and tier."""
        return tier in self.at_most and topic not in self.exempt

    def free(self, tier: str, begun: Collection[Begun], at: int) -> int:
        """The first moment from `at` on at which there is room for a mail of a tier it covers, as far as is known.

        `begun`: mails to its address, or of its account. What began less than `within` after `at` counts too: another
        partition's clock may be ahead.
        """
        most = self.at_most[tier]
        if most == 0:
            return NEVER
        if len(begun) < most:
            return at
        counted = sorted(one.at for one in begun if self._counts(one, at))
        return at if len(counted) < most else counted[-most] + self.within

    def _counts(self, one: Begun, at: int) -> bool:
        return at - self.within < one.at < at + self.within and self.covers(one.topic, one.tier)


@dataclass(frozen=True, slots=True)
class SendingPolicy:
    """A version of the policy. `exempt`: topics that the hours do not hold for. `patience`: how long a mail waits."""

    zone: str = UTC_ZONE
    hours: OpenHours | None = None
    exempt: frozenset[str] = frozenset()
    caps: Sequence[Cap] = field(default=())
    patience: int = NEVER

    @property
    def longest(self) -> int:
        """How far back its caps count."""
        return max((cap.within for cap in self.caps), default=0)

    @property
    def by_account(self) -> bool:
        """Whether a cap counts the mails of an account."""
        return any(cap.per_account for cap in self.caps)

    def opening(self, mail: WaitingMail, at: int, until: int) -> int:
        """The first moment from `at` on at which the hours let a mail begin; `NEVER` if there is none by `until`."""
        if self.hours is None or mail.topic in self.exempt:
            return at
        found = self.hours.opening(at, mail.zone or self.zone, max(at, until))
        return NEVER if found is None else found

    def free(
        self, mail: WaitingMail, to_address: Collection[Begun], of_account: Collection[Begun], at: int
    ) -> int:
        """The first moment from `at` on at which every cap may have room for a mail."""
        free = at
        for cap in self.caps:
            if cap.covers(mail.topic, mail.tier):
                begun = of_account if cap.per_account else to_address
                free = max(free, cap.free(mail.tier, begun, at))
        return free

    def hindrance(
        self,
        mail: WaitingMail,
        to_address: Collection[Begun],
        of_account: Collection[Begun],
        at: int,
        until: int,
    ) -> tuple[ActionReason, int] | None:
        """Why the hours or a cap do not let a mail begin at `at`, and when to look again; None: they do."""
        opening = self.opening(mail, at, until)
        if opening > at:
            return ActionReason.QUIET_HOURS, opening
        free = self.free(mail, to_address, of_account, at)
        return (ActionReason.CAPPED, free) if free > at else None

    def keys(self, mail: WaitingMail) -> list[tuple[str, str]]:
        """Of two mails with one of these in common, the one that goes first makes the other wait."""
        found = [("address", mail.address)]
        found += [
            (str(place), mail.account)
            for place, cap in enumerate(self.caps)
            if cap.per_account and cap.covers(mail.topic, mail.tier)
        ]
        return found


NO_POLICY = SendingPolicy()  # for mails that wait for something else


def compile_policy(doc: PolicyDoc) -> SendingPolicy:
    """Make a policy ready to judge with."""
    holidays = frozenset((date.fromisoformat(one) - _EPOCH).days for one in doc.holidays)
    hours, exempt = None, frozenset[str]()
    if doc.hours is not None:
        days = frozenset(WEEK.index(one) for one in doc.hours.days)
        start, end = minutes(doc.hours.from_) * MINUTE, minutes(doc.hours.to) * MINUTE
        hours = OpenHours(start, end, days, holidays)
        exempt = frozenset(doc.hours.except_topics)
    elif holidays:
        hours = OpenHours(0, DAY, frozenset(range(len(WEEK))), holidays)
    return SendingPolicy(
        zone=doc.timezone or UTC_ZONE,
        hours=hours,
        exempt=exempt,
        caps=tuple(_cap(one) for one in doc.caps),
        patience=parse_duration(doc.wait_at_most),
    )


def _cap(doc: CapDoc) -> Cap:
    most = {tier: for_tier(doc.at_most, tier) for tier in TIERS}
    return Cap(
        at_most={tier: count for tier, count in most.items() if count is not None},
        within=parse_duration(doc.within),
        per_account=doc.per == "account",
        exempt=frozenset(doc.except_topics),
    )
