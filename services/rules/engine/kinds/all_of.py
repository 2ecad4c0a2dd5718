"""all_of: fires when one member holds, if every member has held within a span that ends at that moment."""

from bisect import bisect_right, insort
from typing import Any, ClassVar

import msgspec

from schemas.duration import parse_duration
from schemas.reasons import Reason
from schemas.when import AllOf as AllOfWords
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key
from services.rules.engine.kind_state import KindState
from services.rules.engine.kinds.base import Match


class HeldTimes(KindState):
    """The times at which each member held, ascending, in microseconds."""

    times: list[list[int]] = msgspec.field(default_factory=list)

    def forget(self, contact: str) -> None:
        """Nothing to forget: the state holds no contact."""

    def stored(self) -> list[list[int]]:
        """The lists of times."""
        return self.times

    @classmethod
    def restored(cls, value: Any) -> "HeldTimes":
        """The state from the lists of times."""
        return cls(msgspec.convert(value, list[list[int]]))


class AllOf:
    """Joins the members of a rule; it is not a member itself."""

    name: ClassVar[str] = "all_of"
    state: ClassVar[type[HeldTimes]] = HeldTimes
    reason = Reason.ALL_HELD

    def __init__(self, body: AllOfWords, slot: int) -> None:
        self.slot, self.count = slot, len(body.of)
        self.within = parse_duration(body.within)

    def joined(self, state: AccountState, found: list[tuple[int, Match]]) -> list[Match]:
        """The matches at which all members have held within the span, in time order.

        `found`: the members' matches just now, each with the place of its member.
        """
        kept = state.kept_by(self.name)
        for place, hold in found:
            key = subject_key(self.slot, hold.subject)
            held = kept.get(key)
            if held is None:
                held = kept[key] = HeldTimes([[] for _ in range(self.count)])
            times = held.times[place]
            if not times or times[-1] < hold.at:
                times.append(hold.at)
            elif hold.at not in times:
                insort(times, hold.at)
        found = sorted(found, key=lambda entry: entry[1].at)
        return [hold for _, hold in found if self.close(state, hold.subject, hold.at)]

    def close(self, state: AccountState, subject: Subject, at: int) -> bool:
        """Whether every member has held in (at - within, at]."""
        held = state.kept_by(self.name).get(subject_key(self.slot, subject))
        return held is not None and all(self._held(times, at) for times in held.times)

    def _held(self, times: list[int], at: int) -> bool:
        place = bisect_right(times, at)
        return place > 0 and times[place - 1] > at - self.within

    def sweep(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Forget the times that no moment from `floor` on can need."""
        kept = state.kept_by(self.name)
        for times in kept[key].times:
            del times[: bisect_right(times, floor - self.within)]
        if not any(kept[key].times):
            del kept[key]
