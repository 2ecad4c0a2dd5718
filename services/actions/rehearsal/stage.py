"""The store of a rehearsal: everything in memory, found by account. Nothing is sent. Pure.

As in `plays.in_memory`, an action that would be sent counts as done the moment its step runs, a mail the moment it
begins. What came of a play is kept beside it and counted at the end, so that an erasure takes it away as on a server.
"""

import copy
from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush

import msgspec

from schemas.addresses import normal
from schemas.event import OWN_PREFIX, Event
from schemas.play_reasons import ActionReason
from schemas.profile import Profile
from services.actions.channels import CHANNELS
from services.actions.plays.admission import Admission, Holds
from services.actions.plays.lifecycle_events import about
from services.actions.plays.memory_digests import MemoryDigests
from services.actions.plays.model import (
    LIVE,
    ActionDraft,
    Awaited,
    Cancel,
    CloseTasks,
    DigestItem,
    LeaveDigests,
    Op,
    OwnEvent,
    Play,
    RenderFailure,
    Sighting,
    TaskSpec,
)
from services.actions.plays.outgoing import Outgoing
from services.actions.plays.ports import Library, Stands
from services.actions.policy.mails import Past
from services.actions.policy.rules import SendingPolicy
from services.actions.rehearsal.drawing import Drawing
from services.actions.rehearsal.errors import MAX_ACTIONS, TooManyActions
from services.actions.rehearsal.kept import COMPLETED

Suppressed = Callable[[str, str], bool]  # an address and a topic


class Outcome(msgspec.Struct, gc=False):
    """What came of an action. Exactly one of `reason` and `error` says why it was not done; neither if it was."""

    channel: str
    step: str
    recipient: str | None
    contact: str | None
    at: int
    reason: str | None = None
    error: str | None = None
    waits: bool = False  # it has not begun
    asked: bool = False  # somebody has to approve it
    approver: str | None = None


class OpenTask(msgspec.Struct, gc=False):
    """A task that nobody has completed."""

    id: str
    play: str


class Stage:
    """Implements `ports.Store`. `library` says which events plays hear; the others are not told. `digests` are those of
    all partitions: who has collected them sends them. What `holds` lets stand still does so to the end, for nobody
    resumes anything in a rehearsal."""

    def __init__(
        self,
        drawing: Drawing,
        library: Library,
        suppressed: Suppressed,
        holds: Holds,
        digests: MemoryDigests,
        policy: SendingPolicy | None = None,
        past: Past | None = None,
    ) -> None:
        self._admission = Admission(holds)
        self._drawing, self._library, self._suppressed = drawing, library, suppressed
        self._digests = digests
        self._outgoing = Outgoing(self.profile, normal, policy, past)
        self._waiting: dict[str, tuple[ActionDraft, Outcome]] = {}  # mails
        self.profiles: dict[str, Profile] = {}
        self.plays: dict[str, Play] = {}
        self.outcomes: dict[str, list[Outcome]] = {}  # by play
        self._made: set[str] = set()  # ids of actions
        self._live: defaultdict[str, dict[str, Play]] = defaultdict(dict)  # by account
        self._tasks: dict[tuple[str, str], OpenTask] = {}  # by account and key
        self._tasked: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)  # the open tasks of a play
        self._waits: list[tuple[int, str]] = []
        self._put_off: list[tuple[int, str]] = []  # of these waits
        self._seen: dict[bytes, Sighting] = {}
        self._told: list[OwnEvent] = []

    def drain(self) -> list[OwnEvent]:
        """The events told since the last call."""
        told, self._told = self._told, []
        return told

    def heard(self, event: Event) -> None:
        """Take note of a task that a person completed: it is not open any more."""
        data = event.data
        if event.type != COMPLETED or event.account is None or not isinstance(data, dict):
            return
        for place, task in list(self._tasks.items()):
            if place[0] == event.account and task.id == data.get("action"):
                self._close(place)

    # -- the port

    def profile(self, account: str) -> Profile | None:
        return self.profiles.get(account)

    def put_profile(self, profile: Profile) -> None:
        self.profiles[profile.id] = profile
        self._drawing.changed(profile.id)

    def erase_account(self, account: str) -> None:
        self.profiles.pop(account, None)
        self._drawing.changed(account)
        self._drawing.forget(account)
        self._drop([play.id for play in self.plays.values() if play.account == account])
        self._digests.forget(lambda item: item.account == account)

    def erase_contact(self, account: str, contact: str) -> None:
        self._drawing.forget(account)
        mine = [play for play in self.plays.values() if play.account == account]
        doomed = [play.id for play in mine if play.contact == contact]
        self._drop(doomed)
        self._digests.forget(
            lambda item: item.account == account and (item.contact == contact or item.play in doomed)
        )
        for play in mine:
            outcomes = self.outcomes.get(play.id)
            if outcomes is not None:
                self.outcomes[play.id] = [one for one in outcomes if one.contact != contact]
        self._forget_mails(lambda draft: (draft.account, draft.contact) == (account, contact))

    def _forget_mails(self, gone: Callable[[ActionDraft], bool]) -> None:
        """Forget mails that wait, and are erased."""
        for name in [name for name, (draft, _) in self._waiting.items() if gone(draft)]:
            del self._waiting[name]
            self._outgoing.queue.drop(name, 0)

    def _drop(self, doomed: list[str]) -> None:
        gone = set(doomed)
        for name in doomed:
            play = self.plays.pop(name)
            self.outcomes.pop(name, None)
            self._live[play.account].pop(name, None)
            for place in list(self._tasked.pop(name, ())):
                self._tasks.pop(place, None)
        self._forget_mails(lambda draft: draft.play in gone)

    def sighted(self, digest: bytes) -> Sighting | None:
        return self._seen.get(digest)

    def put_sighting(self, digest: bytes, sighting: Sighting) -> None:
        self._seen[digest] = sighting

    def play(self, play: str) -> Play | None:
        return self.plays.get(play)

    def live_plays(self, account: str) -> list[Play]:
        return list(self._live[account].values()) if account in self._live else []

    def watched_plays(self, account: str) -> list[Play]:  # noqa: ARG002
        return []  # whether a goal is reached is no part of what a rehearsal tells

    def put_play(self, play: Play) -> None:
        self.plays[play.id] = play
        self._see(play)
        if play.status in LIVE and play.wait is not None:
            heappush(self._waits, (play.wait.due, play.id))

    def _see(self, play: Play) -> None:
        """Note whether the play is live, or has an open task."""
        waits = self._outgoing.of(play.id) or self._digests.waits(play.id)
        if play.status in LIVE or self._tasked.get(play.id) or waits:
            self._live[play.account][play.id] = play
        else:
            self._live[play.account].pop(play.id, None)

    def next_wait(self, upto: int) -> Play | None:
        while self._waits and self._waits[0][0] <= upto:
            due, name = self._waits[0]
            play = self.plays.get(name)
            if play is not None and play.wait is not None and play.wait.due == due and self._goes_on(play):
                return play
            heappop(self._waits)
        return None

    def _goes_on(self, play: Play) -> bool:
        return play.status == "held" or (play.status == "open" and self._admission.standing(play) is None)

    def next_approval(self, upto: int) -> Awaited | None:  # noqa: ARG002
        return None  # a mail counts as approved at once

    def put_off(self, play: str) -> None:
        self._put_off.append((heappop(self._waits)[0], play))

    def recall(self, stands: Stands) -> None:  # noqa: ARG002
        for one in self._put_off:
            heappush(self._waits, one)
        self._put_off.clear()

    def next_digest(self, upto: int) -> None:
        """None: all partitions together send them."""

    def next_look(self, upto: int) -> int | None:
        return self._outgoing.next_look(upto)

    def look(self, at: int, stands: Stands) -> None:
        for mail, turn in self._outgoing.look(at, stands):
            if not (turn.begins or turn.skipped):
                continue
            draft, outcome = self._waiting.pop(mail.id)
            outcome.waits, outcome.reason, outcome.at = False, turn.reason, at
            if turn.begins:
                self._tell_of(CHANNELS[draft.channel].event("done", None), draft, at)
            self._see(self.plays[draft.play])

    def do(self, op: Op) -> None:
        match op:
            case ActionDraft():
                self.act(op)
            case DigestItem():
                self._digests.put(op)
            case LeaveDigests():
                for told in self._digests.leave(op):
                    self.act(told)
            case CloseTasks():
                for place in list(self._tasked.get(op.play, ())):
                    self._close(place)
            case Cancel():  # any other action counts as sent when its step ran
                for name in self._outgoing.cancel(op.play, op.at):
                    _, outcome = self._waiting.pop(name)
                    outcome.waits, outcome.reason, outcome.at = False, op.reason, op.at
            case OwnEvent():
                self._tell(op)
            case _:
                pass  # a history is not kept

    # -- carrying out

    def act(self, draft: ActionDraft) -> None:
        """Carry out an action, which may be the mail of a digest."""
        if draft.id in self._made:
            return
        if len(self._made) >= MAX_ACTIONS:
            raise TooManyActions
        self._made.add(draft.id)
        outcome = Outcome(
            channel=draft.channel,
            step=draft.step,
            recipient=draft.recipient,
            contact=draft.contact,
            at=draft.due_at,
        )
        self.outcomes.setdefault(draft.play, []).append(outcome)
        self._end(draft, outcome)

    def _end(self, draft: ActionDraft, outcome: Outcome) -> None:
        if draft.status == "failed":
            outcome.error = self._drawing.explain(draft)
            return
        if draft.status != "pending":
            outcome.reason = draft.reason
            return
        answer = self._drawing.draw(copy.copy(draft))
        if isinstance(answer, RenderFailure):
            outcome.error = answer.detail
            return
        if isinstance(draft.spec, TaskSpec):
            self._task(draft, draft.spec, answer.content.get("key"), outcome)
            return
        if draft.approval is not None:  # it counts as approved at once
            outcome.asked, outcome.approver = True, draft.approval.approver
            self._tell_of("task.created", draft)
        channel = CHANNELS[draft.channel]
        asks = channel.needs_consent and not draft.spec.internal
        if asks and draft.recipient is not None and self._suppressed(draft.recipient, draft.topic):
            outcome.reason = ActionReason.SUPPRESSED
            return
        self._drawing.show(draft, answer)
        if self._outgoing.take(draft):
            outcome.waits = True
            self._waiting[draft.id] = msgspec.structs.replace(draft, context={}), outcome
            return
        self._tell_of(channel.event("done", None), draft)

    def _task(self, draft: ActionDraft, spec: TaskSpec, key: str | None, outcome: Outcome) -> None:
        place = (draft.account, key or spec.default_key)
        task = self._tasks.get(place)
        if task is not None:
            self._give(place, task, draft.play)
            outcome.reason = ActionReason.TASK_UPDATED
            return
        self._tasks[place] = OpenTask(draft.id, draft.play)
        self._tasked[draft.play].add(place)
        self._tell_of("task.created", draft)

    def _give(self, place: tuple[str, str], task: OpenTask, play: str) -> None:
        """Give an open task to the play that updated it."""
        self._tasked[task.play].discard(place)
        before = self.plays.get(task.play)
        if before is not None:
            self._see(before)
        task.play = play
        self._tasked[play].add(place)

    def _close(self, place: tuple[str, str]) -> None:
        task = self._tasks.pop(place)
        self._tasked[task.play].discard(place)
        play = self.plays.get(task.play)
        if play is not None:
            self._see(play)

    def _tell(self, event: OwnEvent) -> None:
        if self._library.watches(event.type):
            self._told.append(event)

    def _tell_of(self, kind: str | None, draft: ActionDraft, at: int | None = None) -> None:
        if kind is None or not self._library.watches(OWN_PREFIX + kind):
            return
        time = draft.due_at if at is None else at
        self._told.append(about(kind, draft, time=time, depth=draft.depth, place=draft.place))
