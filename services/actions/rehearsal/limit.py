"""The breaker of a rehearsal: where the plays of all partitions together would exceed their playbook's limit. Pure.

The partitions are played one after the other, but the limit counts over all of them. So everything is played without a
limit first, which tells when each play begins. Up to the moment at which they are too many that is what a server does.
There the breaker pauses the playbook, and nobody resumes it in a rehearsal. So everything is played a second time, and
each partition is paused at that moment.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.play_reasons import PlayReason
from services.actions.plays.admission import Hold, default_plays
from services.actions.plays.model import Play
from services.actions.plays.program import Limit


class Beginning(NamedTuple):
    """When a play began, and in which lane: a reading of a partition."""

    at: int
    lane: int


class Trip(NamedTuple):
    """The breaker pauses the playbook at `at`; `admitted`: how many plays of each lane begin before."""

    at: int
    admitted: Mapping[int, int]


def tripped(beginnings: Iterable[Beginning], limit: Limit | None, accounts: int) -> Trip | None:
    """Where the breaker trips, if it does. The beginnings of each lane are in order."""
    if limit is None:
        return None
    most = default_plays(accounts) if limit.plays is None else limit.plays
    admitted: Counter[int] = Counter()
    within: deque[int] = deque()
    for at, lane in sorted(beginnings):
        while within and within[0] <= at - limit.within:
            within.popleft()
        if len(within) >= most:
            return Trip(at, admitted)
        within.append(at)
        admitted[lane] += 1
    return None


class LaneHolds:
    """Implements `admission.Holds` for a lane: notes what begins, and from the trip on holds everything."""

    def __init__(self, lane: int, trip: Trip | None) -> None:
        self._lane = lane
        self._room = None if trip is None else trip.admitted.get(lane, 0)
        self._hold = Hold()
        self.trips_at = None if trip is None else trip.at  # until it has
        self.beginnings: list[Beginning] = []

    def pause(self) -> None:
        """Hold everything from now on."""
        self._hold, self.trips_at = Hold(PlayReason.BREAKER, 1), None

    # -- the port

    def of_playbook(self, name: str) -> Hold:  # noqa: ARG002
        return self._hold

    def of_rule(self, name: str, partition: int) -> Hold:  # noqa: ARG002
        return Hold()

    def begun(self, playbook: str, after: int, before: int, most: int) -> int:  # noqa: ARG002
        return most if self._room is not None and len(self.beginnings) >= self._room else 0

    def default_limit(self, *, anew: bool = False) -> int | None:  # noqa: ARG002
        return 1  # any number will do: `begun` knows where it is reached

    def count(self, play: Play) -> None:
        self.beginnings.append(Beginning(play.started_at, self._lane))

    def trip(self, playbook: str, now: int) -> None:  # noqa: ARG002
        self.pause()
