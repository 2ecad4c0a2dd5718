"""What comes back of mails in memory, for `touchline test` and the unit tests. Pure."""

from collections import defaultdict

from schemas.addresses import normal
from schemas.play_reasons import ActionReason
from services.actions.plays.lifecycle_events import about
from services.actions.plays.mail_reports import EVENTS, FINAL, REASONS, ReportKind, too_often
from services.actions.plays.memory_rows import MemoryAction
from services.actions.plays.model import OwnEvent


class MemoryReports:
    """The reports so far, and the addresses that get no more mail since; what is asked of it is as on a server.

    It is a container of what is suppressed: pairs of an address, in the form that compares, and a topic.
    """

    def __init__(self) -> None:
        self._kinds: defaultdict[str, set[ReportKind]] = defaultdict(set)  # by action
        self._soft: defaultdict[str, list[int]] = defaultdict(list)  # when, by address
        self._suppressed: set[str] = set()

    def take(self, action: MemoryAction, kind: ReportKind, now: int, place: int | None) -> OwnEvent | None:
        """Take a report about a mail that went out; the event that tells of it, unless one has told already.

        `place` is its play's.
        """
        kinds, reason = self._kinds[action.id], REASONS[kind]
        told = any(REASONS[one] == reason for one in kinds)
        if kind in kinds:
            return None
        kinds.add(kind)
        self._suppress(normal(action.recipient or ""), kind, now)
        if action.reason != ActionReason.COMPLAINED:
            action.reason = reason
        more = {"reason": reason.value, "kind": kind.value}
        return None if told else about(EVENTS[reason], action, time=now, depth=None, place=place, more=more)

    def _suppress(self, address: str, kind: ReportKind, now: int) -> None:
        if kind == ReportKind.SOFT_BOUNCE:
            self._soft[address].append(now)
        if kind in FINAL or (kind == ReportKind.SOFT_BOUNCE and too_often(self._soft[address])):
            self._suppressed.add(address)

    def __contains__(self, pair: object) -> bool:
        return isinstance(pair, tuple) and pair[0] in self._suppressed

    def suppressed(self, address: str, topic: str) -> bool:
        """Whether an address gets no mail about a topic; it may be written in any way."""
        return (normal(address), topic) in self
