"""Who gets which mail about tasks, and when. Pure. Moments are in microseconds since the epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from schemas.addresses import normal
from schemas.dates import zone_of
from schemas.digest import next_moment
from schemas.event import from_microseconds
from schemas.policy import WEEK
from schemas.task_mails import OneAssignee, TaskMailsDoc

MINUTE = 60_000_000
AT_ONCE = 3  # most mails about new tasks to one assignee within `WITHIN_US`
WITHIN_US = 10 * MINUTE
LATE_US = 6 * 60 * MINUTE  # by the wall clock, a morning mail that is later than that is of no use
_USUAL = OneAssignee.model_validate({})
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The document, ready to be asked. `zone`: that of assignees without one of their own."""

    doc: TaskMailsDoc
    people: dict[str, OneAssignee]
    zone: str

    @classmethod
    def of(cls, doc: TaskMailsDoc, policy_zone: str | None) -> "Wishes":
        """The wishes of a document; `policy_zone`: that of the sending policy."""
        people = {normal(address): one for address, one in doc.people.items()}
        return cls(doc, people, doc.timezone or policy_zone or "UTC")

    def wants(self, kind: str, assigned: str) -> bool:
        """Whether an assignee (an address in its normal form) gets mails of this kind: `made` or `morning`."""
        asked = self.doc.made if kind == "made" else self.doc.morning is not None
        one = self.people.get(assigned, _USUAL)
        return asked and (one.made if kind == "made" else one.morning)

    def zone_of(self, assigned: str) -> str:
        """The timezone of an assignee."""
        return self.people.get(assigned, _USUAL).timezone or self.zone

    def zones(self) -> list[str]:
        """Every timezone that some assignee may have."""
        return sorted({self.zone} | {one.timezone for one in self.people.values() if one.timezone})

    def mornings(self, after: int, upto: int, zone: str, most: int) -> Iterator[int]:
        """The first moments of morning mails in a zone with `after` < moment ≤ `upto`, in order, `most` at most."""
        if self.doc.morning is None:
            return
        at = after
        for _ in range(most):
            at = next_moment(at, self.doc.morning.at, self.doc.morning.days, zone)
            if at > upto:
                return
            yield at


def joined(waiting: Sequence[Item], recent: int) -> list[list[Item]]:
    """What goes out now of the new tasks that wait for one assignee, mail by mail.

    `recent`: the mails of the last `WITHIN_US`. There are `AT_ONCE` of them at most; what would be more is joined in
    the last one, and if that is used up, it waits.
    """
    room = AT_ONCE - recent
    if room <= 0 or not waiting:
        return []
    return [[one] for one in waiting] if len(waiting) <= room else [list(waiting)]


@dataclass(frozen=True, slots=True)
class Day:
    """A local day, as a morning mail sees it: the moments at which it and its week (to Sunday) end."""

    date: date
    end: int
    week_end: int

    @classmethod
    def at(cls, moment: int, zone: str) -> "Day":
        """The day that the clock of a zone shows at this moment."""
        day = from_microseconds(moment).astimezone(zone_of(zone)).date()
        tomorrow = WEEK[(day.weekday() + 1) % 7]
        return cls(
            day, next_moment(moment, "00:00", [tomorrow], zone), next_moment(moment, "00:00", ["mon"], zone)
        )
