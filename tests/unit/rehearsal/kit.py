"""Building blocks for the tests of rehearsals: a log in memory, and a rehearsal over it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from backbone.log import EVENTS, TRIGGERS, Record, partition_for
from schemas.event import Event, encode, microseconds, rfc3339
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.trigger import Moved, Position, Trigger, TriggerRecord
from services.actions.plays.model import DraftRendering, Rendered, RenderFailure, RenderJob, TaskSpec
from services.actions.policy.rules import SendingPolicy
from services.actions.rehearsal.kept import ROOM
from services.actions.rehearsal.rehearse import Rehearsal
from services.actions.rehearsal.report import Tally
from services.actions.rehearsal_log import LogOfAccounts
from tests.unit.plays.kit import DAY, T0, TEMPLATES, account, book, event, trigger

__all__ = [
    "DAY",
    "T0",
    "TEMPLATES",
    "MemoryLog",
    "Renderer",
    "account",
    "book",
    "event",
    "rehearse",
    "trigger",
]


class MemoryLog:
    """A log of events, and of what rules decided about merges."""

    def __init__(self, events: Iterable[Event], moved: Iterable[Moved] = (), partitions: int = 1) -> None:
        self.partitions = partitions
        self._lanes: dict[tuple[str, int], list[Record]] = {}
        self.places: list[Position] = []
        for one in events:
            assert one.time is not None
            number = partition_for(one.account, partitions) if one.account else 0
            stamp = microseconds(one.time) + (90 * DAY if one.historical else 0)
            self._add(EVENTS, number, encode(one), stamp)
        for each in moved:
            self._add(TRIGGERS, each.position.partition, msgspec.json.encode(TriggerRecord(moved=each)), 0)

    def _add(self, topic: str, number: int, value: bytes, stamp: int) -> None:
        lane = self._lanes.setdefault((topic, number), [])
        lane.append(Record(topic, number, len(lane), None, value, stamp))
        if topic == EVENTS:
            self.places.append(Position(number, len(lane) - 1))

    def start_offsets(self, topic: str) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), 0)

    def end_offsets(self, topic: str) -> dict[int, int]:
        return {n: len(self._lanes.get((topic, n), ())) for n in range(self.partitions)}

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        return self._lanes.get((topic, partition), [])[offset : offset + min(limit, 3)]


class Renderer:
    """Fills in nothing, or fails as told. `asked`: the actions that were rendered."""

    def __init__(self, fails: Callable[[RenderJob], bool] = lambda _: False) -> None:
        self._fails = fails
        self.asked: list[tuple[str, str]] = []  # account and step

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        return [self._one(job) for job in jobs]

    def _one(self, job: RenderJob) -> Rendered | RenderFailure:
        draft = job.draft
        self.asked.append((draft.account, draft.step))
        if self._fails(job):
            return RenderFailure(reason="template_error", detail="no such name")
        if isinstance(draft.spec, TaskSpec):
            key = draft.spec.key and draft.spec.key.replace(
                "{{ trigger.key }}", str(draft.context["trigger"]["key"])
            )
            return Rendered(content={"title": draft.spec.title, "body": None, "key": key})
        if draft.channel == "email":
            return Rendered(content={"subject": f"for {draft.account}", "text": "t", "html": "h"})
        return Rendered(content={"body": {}})

    def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
        return []


def rehearse(
    playbook: PlaybookIn,
    triggers: Sequence[Trigger],
    log: MemoryLog,
    *,
    templates: Sequence[TemplateIn] = TEMPLATES,
    renderer: DraftRendering | None = None,
    suppressed: Callable[[str, str], bool] = lambda _, __: False,
    until: int | None = None,
    accounts: int = 1_000_000,
    room: int = ROOM,
    wall: bool = False,
    policy: SendingPolicy | None = None,
) -> tuple[Rehearsal, dict[str, Any]]:
    """The rehearsal after it was played, and its report."""
    played = Rehearsal(
        playbook,
        templates,
        renderer or Renderer(),
        suppressed,
        until=until,
        accounts=accounts,
        room=room,
        policy=policy,
    )
    played.play(triggers, LogOfAccounts(log, wall=wall))
    return played, played.report(Tally())


def acts(played: Rehearsal) -> list[tuple[Any, ...]]:
    """Every action: (account, channel, step, recipient, time, reason, error), sorted."""
    return sorted(
        (
            (play.account, one.channel, one.step, one.recipient, rfc3339(one.at), one.reason, one.error)
            for stage in played.stages
            for name, outcomes in stage.outcomes.items()
            for play in (stage.plays[name],)
            for one in outcomes
        ),
        key=repr,
    )


def statuses(played: Rehearsal) -> dict[str, tuple[str, str | None]]:
    """Status and reason of every play, by its trigger."""
    return {
        play.trigger_id: (play.status, play.reason)
        for stage in played.stages
        for play in stage.plays.values()
    }
