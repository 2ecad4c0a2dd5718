"""all_of: at a member's own moment, when every member has held within a span that ends there."""

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

from schemas.duration import parse_duration
from schemas.when import AllOf as AllOfWords
from services.rules.engine.account_state import AccountState, Subject, subject_key
from services.rules.engine.context import Match

if TYPE_CHECKING:
    from services.rules.engine.compiled_rule import CompiledRule, TriggerKind


class AllOf:
    """What joins the members of a rule. `state.held` remembers per member when it held."""

    def __init__(self, body: AllOfWords, members: "list[TriggerKind]") -> None:
        self.within = parse_duration(body.within)
        self.members = members

    def joined(
        self, rule: "CompiledRule", state: AccountState, found: "list[tuple[int, Match]]"
    ) -> list[Match]:
        """Of what members (by place) held just now, where all have held close together; in time order."""
        for place, hold in found:
            held = state.held.setdefault(subject_key(rule.slot, hold.subject), [[] for _ in self.members])
            times = held[place]
            if not times or times[-1] < hold.at:
                times.append(hold.at)
            elif hold.at not in times:
                insort(times, hold.at)
        found = sorted(found, key=lambda entry: entry[1].at)
        return [hold for _, hold in found if self.close(rule, state, hold.subject, hold.at)]

    def close(self, rule: "CompiledRule", state: AccountState, subject: Subject, at: int) -> bool:
        """Whether each member has held in (at - within, at]."""
        held = state.held.get(subject_key(rule.slot, subject))
        return held is not None and all(self._held(times, at) for times in held)

    def _held(self, times: list[int], at: int) -> bool:
        place = bisect_right(times, at)
        return place > 0 and times[place - 1] > at - self.within

    def sweep(self, held: list[list[int]], floor: int) -> bool:
        """Forget what no moment from `floor` on can need; False when nothing is left."""
        for times in held:
            del times[: bisect_right(times, floor - self.within)]
        return any(held)
