"""Plays a playbook over given triggers and the log. Pure: the log and the renderer are handed in."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any, Protocol

from msgspec.structs import replace

from schemas.blanks import EndpointTemplates
from schemas.event import rfc3339
from schemas.playbook import PlaybookIn
from schemas.template import TemplateIn
from schemas.trigger import Moved, Trigger
from services.actions.plays import digests
from services.actions.plays.action_drafts import StepRun
from services.actions.plays.memory_digests import MemoryDigests
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.model import ActionDraft, DigestItem, DraftRendering, Play, RenderFailure
from services.actions.plays.program import Instruction, Program
from services.actions.plays.step_effects import effects_of
from services.actions.policy.mails import Past
from services.actions.policy.rules import SendingPolicy
from services.actions.rehearsal.drawing import Drawing, slot_of
from services.actions.rehearsal.kept import DIGESTS, ROOM, Kept, Line
from services.actions.rehearsal.limit import LaneHolds, Trip, tripped
from services.actions.rehearsal.order import turns
from services.actions.rehearsal.player import Player
from services.actions.rehearsal.report import Tally
from services.actions.rehearsal.stage import Stage, Suppressed

TRIED = 50  # plays with which a step that no play reached is tried, until one has somebody to write to


class PastLog(Protocol):
    """The log as a rehearsal reads it. A partition may be read several times."""

    partitions: int

    def lines(self, partition: int, accounts: Collection[str]) -> Iterable[Line]:
        """Every event of the partition, in order; `value` may be empty for other accounts than these."""
        ...

    def moved(self, partition: int, accounts: Collection[str]) -> Iterable[Moved]:
        """What rules decided about merges of these accounts, in order."""
        ...


class Rehearsal:
    """One rehearsal. `endpoints`: by name. `until`: where it ends; None: at the newest event of all.
    `accounts`: how many are known, for a playbook that sets no limit.
    """

    def __init__(
        self,
        playbook: PlaybookIn,
        templates: Iterable[TemplateIn],
        renderer: DraftRendering,
        suppressed: Suppressed,
        *,
        endpoints: Mapping[str, EndpointTemplates] | None = None,
        brand: Mapping[str, Any] | None = None,
        policy: SendingPolicy | None = None,
        until: int | None = None,
        accounts: int = 0,
        room: int = ROOM,
    ) -> None:
        self._name, self._until, self._room = playbook.name, until, room
        zone = None if policy is None else policy.zone
        self._library = MemoryLibrary([playbook], templates, endpoints, brand, zone)
        self._programs = self._library.version(playbook.name, 1).programs
        self._suppressed, self._policy = suppressed, policy
        self._renderer, self._accounts = renderer, accounts
        self.trip: Trip | None = None
        self._end = 0 if until is None else until
        self._clear()

    def _clear(self) -> None:
        # of all partitions, each played to its end: a cap counts what began before or after
        self._past = Past()
        self.drawing = Drawing(self._renderer)
        self._digests = MemoryDigests(self._suppressed, self._policy)
        self.stages: list[Stage] = []
        self._players: list[Player] = []
        self._holds: list[LaneHolds] = []

    def play(self, triggers: Sequence[Trigger], log: PastLog) -> None:
        """Play everything, a second time if the breaker trips (see `limit.py`)."""
        self._all(triggers, log)
        began = (one for holds in self._holds for one in holds.beginnings)
        self.trip = tripped(began, self._library.version(self._name, 1).limit, self._accounts)
        if self.trip is not None:
            self._clear()
            self._all(triggers, log)

    def _all(self, triggers: Sequence[Trigger], log: PastLog) -> None:
        """Play partition by partition, then the rest of each up to the common end."""
        by_partition: defaultdict[int, list[Trigger]] = defaultdict(list)
        for trigger in triggers:
            by_partition[trigger.position.partition].append(trigger)
        for partition in range(log.partitions):
            mine = by_partition.get(partition, [])
            if mine or self._until is None:
                self._partition(partition, mine, log)
        for player in self._players:
            player.carry(self._end)
        self._send_digests()

    def _send_digests(self) -> None:
        """Let all digests go out whose moment has come, one after the other.

        At the end, since they have items of all partitions. What is in them was decided by the times of the items and
        of the exits, so it is what they would have had in their moments.
        """
        while (moment := self._digests.next()) is not None and moment <= self._end:
            for found in self._digests.take(moment, self._library, self._standing_at(moment)):
                for draft in (*found.left_out, *([found.mail] if found.mail is not None else [])):
                    place = next(n for n, one in enumerate(self.stages) if draft.play in one.plays)
                    self.stages[place].act(draft)
                    self._players[place].look_back(moment)

    def _standing_at(self, moment: int) -> Callable[[Collection[str]], Collection[str]]:
        """Which of some plays stand still then: once the breaker has tripped, all."""
        paused = self.trip is not None and moment > self.trip.at
        return (lambda plays: plays) if paused else (lambda _: ())

    def _partition(self, number: int, triggers: list[Trigger], log: PastLog) -> None:
        """Play a partition, in as many readings as its accounts need."""
        low = 0
        while low < DIGESTS:
            kept = Kept(triggers, self._library.watches, low=low, room=self._room, until=self._until)
            for line in log.lines(number, kept.accounts):
                kept.take(line)
            for moved in log.moved(number, kept.accounts) if kept.accounts else ():
                kept.take_moved(moved)
            if self._until is None:
                self._end = max(self._end, kept.newest_past, kept.clock)
            if kept.accounts:
                holds = LaneHolds(len(self._holds), self.trip)
                stage = Stage(
                    self.drawing,
                    self._library,
                    self._suppressed,
                    holds,
                    self._digests,
                    self._policy,
                    self._past,
                )
                player = Player(number, stage, self._library, self._name, holds)
                player.play(turns(kept, self._until))
                self.stages.append(stage)
                self._players.append(player)
                self._holds.append(holds)
            low = kept.high

    def report(self, tally: Tally) -> dict[str, Any]:
        """What came of it, and what is wrong with the steps that no play has reached."""
        for stage in self.stages:
            for play in stage.plays.values():
                tally.add(play, stage.outcomes.get(play.id, ()))
        for tier, program in self._programs.items():
            for one in program.instructions:
                if one.step.words is not None:
                    self._try(tier, program, one, tally)
        samples: list[Mapping[str, Any]] = [*self.drawing.chosen()]
        trip = None if self.trip is None else rfc3339(self.trip.at)
        return {**tally.report(samples), "breaker_at": trip}

    def _try(self, tier: str, program: Program, one: Instruction, tally: Tally) -> None:
        """Render a step, or a variant of its mail, that no play has reached, for a real trigger, of its tier if
        there is one."""
        drawn, tags = self.drawing.drawn, ("", *self._variants(one))
        if all((tier, one.id, tag) in drawn for tag in tags):
            return
        for draft in self._drafts(tier, program, one):
            for tag in tags:
                view = _read_by(draft, tag)
                if slot_of(view) in drawn:
                    continue
                answer = self.drawing.draw(view)
                if isinstance(answer, RenderFailure):
                    tally.error(draft.account, one.id, answer.detail, draft.due_at)
            return

    def _variants(self, one: Instruction) -> Iterable[str]:
        """The tags of the variants of the step's mail."""
        mail = one.step.email or one.step.digest
        versions = {} if mail is None else self._library.template_versions(frozenset([mail.template]))
        return [
            tag
            for name, version in versions.items()
            for tag in self._library.template(name, version)["variants"]
        ]

    def _drafts(self, tier: str, program: Program, one: Instruction) -> Iterable[ActionDraft]:
        """Drafts of the step that can be rendered, for one play after the other."""
        found = ((stage, play) for stage in self.stages for play in stage.plays.values())
        first = nsmallest(TRIED, found, lambda pair: (pair[1].tier != tier, pair[1].started_at, pair[1].id))
        versions = self._library.template_versions(program.templates)
        for stage, play in first:
            profile = stage.profile(play.account)
            if profile is None:
                continue
            mine = _as_of(play, tier, versions)
            run = StepRun(mine, one.id, profile, self._library, max(play.started_at, self._end))
            for op in effects_of(run, one.step):
                draft = digests.compose([op], op.due, self._library) if isinstance(op, DigestItem) else op
                if isinstance(draft, ActionDraft) and draft.status == "pending":
                    yield draft


def _read_by(draft: ActionDraft, tag: str) -> ActionDraft:
    """The draft as if its reader had this locale; empty: none."""
    contact = draft.context.get("contact")
    if not contact:
        return draft
    return replace(draft, context={**draft.context, "contact": {**contact, "locale": tag or None}})


def _as_of(play: Play, tier: str, versions: dict[str, int]) -> Play:
    """The play as if it were of this tier."""
    return replace(play, tier=tier, templates=versions, trigger={**play.trigger, "tier": tier})
