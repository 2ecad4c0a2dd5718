"""The holds in memory, on which `touchline test` and the unit tests run plays. Pure."""

from collections.abc import Iterable

from schemas.play_reasons import PlayReason
from services.actions.plays.admission import Hold
from services.actions.plays.model import Play


class MemoryHolds:
    """Implements `admission.Holds`. `default_plays`: for playbooks that set no limit; None: any number may begin."""

    def __init__(self, default_plays: int | None = None) -> None:
        self.playbooks: dict[str, Hold] = {}
        self.rules: dict[str, Hold] = {}
        self._default = default_plays
        self._began: dict[str, list[int]] = {}  # since the last resume
        self._stamp = 0

    def of_playbook(self, name: str) -> Hold:
        return self.playbooks.get(name, Hold())

    def of_rule(self, name: str, partition: int) -> Hold:  # noqa: ARG002
        return self.rules.get(name, Hold())

    def begun(self, playbook: str, after: int, before: int, most: int) -> int:
        return min(most, sum(after < at < before for at in self._began.get(playbook, ())))

    def default_limit(self, *, anew: bool = False) -> int | None:  # noqa: ARG002
        return self._default

    def count(self, play: Play) -> None:
        self._began.setdefault(play.playbook, []).append(play.started_at)

    def trip(self, playbook: str, now: int) -> None:  # noqa: ARG002
        self.pause(playbook, PlayReason.BREAKER)

    def pause(self, playbook: str, reason: PlayReason = PlayReason.PAUSED) -> None:
        """Pause a playbook."""
        self.playbooks[playbook] = Hold(reason, self._next())

    def resume(self, playbook: str) -> None:
        """Let a playbook go on; its count starts anew. `release` lets the held plays begin."""
        self.playbooks[playbook] = Hold(None, self._next())
        self._began.pop(playbook, None)

    def release(self, plays: Iterable[Play]) -> None:
        """Mark held plays as released, in this order: they begin at the next look at what is due."""
        for place, play in enumerate(plays):
            play.released = self._next()
            if play.status == "held" and play.wait is not None:
                play.wait.due = place

    def _next(self) -> int:
        self._stamp += 1
        return self._stamp
