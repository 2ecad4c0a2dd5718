"""The step machine: how a play starts, goes through its steps, waits, and ends. Pure; effects go to the store.

trigger ──► (held ──►) open ──► (step, step, wait …) ──► finished
              │          └── exit_when, `then: exit`, by hand ──► exited
              └── exit_when ──► exited; discarded, held too long ──► skipped
no playbook, tier not covered, play open or held already ──► skipped
the account is held out ──► (held ──►) held_out
"""

from schemas.duration import parse_duration
from schemas.event import OWN_PREFIX, RESERVED, Event, depth_after
from schemas.play_reasons import ActionReason, PlayReason, StepReason
from schemas.playbook import WaitDate, WaitEvent
from schemas.profile import Profile
from schemas.trigger import Trigger
from services.actions.plays import goals
from services.actions.plays.action_drafts import StepRun
from services.actions.plays.admission import Admission, Holds, NothingHeld, Refusal
from services.actions.plays.dedup import time_of
from services.actions.plays.holdout import is_held_out
from services.actions.plays.model import (
    LIVE,
    Cancel,
    CloseTasks,
    LeaveDigests,
    OwnEvent,
    Play,
    StepNote,
    Wait,
    event_id,
    play_id,
)
from services.actions.plays.play_values import (
    beginning_of,
    concerns,
    date_awaited,
    has_changed,
    scope_of,
    subject_of,
    values_at,
    wait_length,
)
from services.actions.plays.ports import Library, Store
from services.actions.plays.program import END, Instruction, Playbook, Program
from services.actions.plays.retry_policy import HOUR
from services.actions.plays.step_effects import effects_of
from services.actions.plays.template_context import trigger_document

LOOK_AGAIN = HOUR  # between looks at whether the playbook of a play that stands still can be read by now


class Interpreter:
    """Runs plays against a store and a library. One instance serves one partition; it has no state of its own."""

    def __init__(
        self,
        store: Store,
        library: Library,
        partition: int = 0,
        *,
        log_clock: bool = False,
        holds: Holds | None = None,
    ) -> None:
        self._store, self._library, self._partition = store, library, partition
        self._log_clock = log_clock
        self.admission = Admission(holds or NothingHeld())

    # -- beginnings

    def start(self, trigger: Trigger, now: int) -> Play | None:
        """Start the play of a trigger at `now`; returns None if it starts no play, or has started it before."""
        if trigger.playbook is None or trigger.shadow:
            return None
        name = play_id(trigger.id, trigger.playbook)
        if self._store.play(name) is not None:
            return None
        play = self._new(name, trigger, now)
        reason = self._hindrance(play)
        if reason is not None:
            play.status, play.reason, play.ended_at = "skipped", reason, now
            self._store.put_play(play)
            return play
        playbook = self._library.version(play.playbook, play.playbook_version or 0)
        play.watched = values_at(playbook.watched, play, self._profile(play))
        self._admit(play, playbook, now)
        return play

    def _admit(self, play: Play, playbook: Playbook, now: int) -> None:
        """Begin a play, or hold it."""
        refusal = self.admission.refusal(play, playbook, now)
        if refusal is not None:
            self._refuse(play, playbook, refusal, now)
            return
        program = playbook.programs[play.tier]
        goals.begin(play, playbook, now)
        play.status, play.reason, play.wait = "open", None, None
        play.templates = self._library.template_versions(program.templates)
        self._tell("play.started", play, now)
        self._run(play, program, program.start, now, since=beginning_of(play.trigger["at"], now))
        self._store.put_play(play)

    def _refuse(self, play: Play, playbook: Playbook, refusal: Refusal, now: int) -> None:
        """Let a play not begin. One that is held gives its place up when it has been held too long."""
        play.status, play.reason = refusal
        play.wait, play.released = None, None
        if play.status == "held":
            play.held_at = now if play.held_at is None else play.held_at
            play.wait = Wait(due=play.held_at + playbook.held_for)
            goals.await_(play, playbook)
        elif play.status == "held_out":
            goals.begin(play, playbook, now)
            play.ended_at = now
        self._store.put_play(play)

    def _begin_released(self, play: Play, now: int) -> None:
        """Begin a held play that was released, with the tier and the versions of now."""
        playbook = self._library.playbook(play.playbook)
        play.started_at = now
        play.playbook_version = None if playbook is None else playbook.version
        play.topic = play.topic if playbook is None else playbook.topic
        play.tier = self._library.tier(self._profile(play)) or play.tier
        reason = self._hindrance(play)
        if playbook is None or reason is not None:
            self.skip(play, reason or PlayReason.PLAYBOOK_UNKNOWN, now)
            return
        play.watched = values_at(playbook.watched, play, self._profile(play)) | {
            path: value for path, value in play.watched.items() if path in playbook.watched
        }
        self._admit(play, playbook, now)

    def skip(self, play: Play, reason: PlayReason, now: int) -> None:
        """End a held play that never began."""
        play.status, play.reason, play.ended_at, play.wait = "skipped", reason, now, None
        goals.forget(play)
        self._store.put_play(play)

    def _new(self, name: str, trigger: Trigger, now: int) -> Play:
        playbook = self._library.playbook(trigger.playbook or "")
        return Play(
            id=name,
            playbook=trigger.playbook or "",
            playbook_version=None if playbook is None else playbook.version,
            rule=trigger.rule,
            trigger_id=trigger.id,
            account=trigger.account,
            contact=trigger.contact,
            key=trigger.key,
            scope=trigger.scope,
            tier=trigger.tier,
            topic="lifecycle" if playbook is None else playbook.topic,
            status="open",
            started_at=now,
            trigger=trigger_document(trigger),
            depth=trigger.depth,
            place=trigger.position.offset,
            partition=self._partition,
        )

    def _hindrance(self, play: Play) -> PlayReason | None:
        """The reason why this play must not start, if there is one."""
        if play.playbook_version is None:
            return PlayReason.PLAYBOOK_UNKNOWN
        playbook = self._library.version(play.playbook, play.playbook_version)
        if playbook.unhealthy is not None:
            return PlayReason.PLAYBOOK_UNHEALTHY
        if play.tier not in playbook.programs:
            return PlayReason.TIER_NOT_COVERED
        mine = (play.playbook, subject_of(play))
        for other in self._store.live_plays(play.account):
            if other.id == play.id or other.status not in LIVE:
                continue
            if (other.playbook, subject_of(other)) == mine:
                return PlayReason.PLAY_OPEN
        return None

    # -- going on

    def resume(self, play: Play, now: int, reason: StepReason = StepReason.WAIT_OVER) -> None:
        """Go on with a play whose wait is over, for this reason. A held play begins, or has been held too long."""
        if play.status == "held":
            if play.released is not None:
                self._begin_released(play, now)
            else:
                self.skip(play, PlayReason.HELD_TOO_LONG, now)
            return
        if play.wait is not None and play.wait.came:
            reason = StepReason.EVENT_CAME
        program, stood = self._program(play), play.wait
        if program is None:
            play.wait, play.reason = Wait(due=now + LOOK_AGAIN), PlayReason.PLAYBOOK_UNHEALTHY
        else:
            play.wait, play.reason = self._again(play, program, now), None
        if program is not None and play.wait is None:
            one = program.at(play.step or "")
            play.waited += wait_length(one, stood, now, came=reason is StepReason.EVENT_CAME)
            self._run(play, program, self._behind(play, program, one, now, now, reason), now, since=now)
        self._store.put_play(play)

    def _again(self, play: Play, program: Program, now: int) -> Wait | None:
        """The wait for a date that now lies ahead, for it moved while the playbook could not be read."""
        one = program.at(play.step or "")
        return (
            self._wait(play, one, self._profile(play), now) if isinstance(one.step.wait, WaitDate) else None
        )

    def on_event(self, play: Play, event: Event, profile: Profile, now: int) -> None:
        """Handle an event of the play's account, which `profile` already includes.

        It may end the play, close its open tasks, or end its wait.
        """
        updated = event.type in RESERVED
        playbook = self._playbook(play)
        if self._leaves(playbook, play, event, profile) or (updated and has_changed(play, profile)):
            healthy = playbook.unhealthy is None
            if healthy or play.status in LIVE:
                self.leave(play, PlayReason.EXIT_EVENT if healthy else PlayReason.PLAYBOOK_UNHEALTHY, now)
            return
        if play.status != "open" or play.wait is None:
            return
        if play.wait.until:
            self._until(play, event, profile, now)
        elif updated and play.wait.dated:
            self._reckon(play, profile, now)

    def watch(self, play: Play, event: Event, profile: Profile) -> None:
        """Note that an event reached the goal of a play that is watched for it, if it did."""
        if goals.is_reached(play, self._playbook(play), event, profile):
            play.goal_reached_at = time_of(event)
            self._store.put_play(play)

    def _leaves(self, playbook: Playbook, play: Play, event: Event, profile: Profile) -> bool:
        """Whether the event ends the play."""
        if not playbook.exits or not concerns(play, event):
            return False
        scope = scope_of(play, event, profile)
        return any(one.matches(scope, event, play.key) for one in playbook.exits)

    def _until(self, play: Play, event: Event, profile: Profile, now: int) -> None:
        """End the play's wait if this is the event it waits for."""
        program = self._program(play)
        if program is None or not concerns(play, event):
            return
        at = program.at(play.step or "")
        if at.until is None or not at.until.matches(scope_of(play, event, profile), event, play.key):
            return
        if at.on_until == "exit":
            self.exit(play, PlayReason.UNTIL_EVENT, now)
        elif self.admission.standing(play) is not None:
            play.waited += wait_length(at, play.wait, now, came=True)
            play.wait = Wait(due=now, came=True)
            self._store.put_play(play)
        else:
            self.resume(play, now, StepReason.EVENT_CAME)

    def _reckon(self, play: Play, profile: Profile, now: int) -> None:
        """Reckon anew the moment of a wait for a date. If the date was taken away, the old moment stays, for a new
        date may be on its way."""
        program = self._program(play)
        due = None if program is None else date_awaited(play, program.at(play.step or ""), profile)
        if due is None or play.wait is None or due == play.wait.due:
            return
        if due <= now and self.admission.standing(play) is None:
            self.resume(play, now)
            return
        play.wait = Wait(due=due, dated=True)
        self._store.put_play(play)

    def stands_still(self, play: Play) -> bool:
        """Whether an open play may not go on now, for its playbook or its rule is paused."""
        return play.status == "open" and self.admission.standing(play) is not None

    def leave(self, play: Play, reason: PlayReason, now: int) -> None:
        """End an open or held play; if it is finished, close its open tasks, and send nothing of it that waits."""
        if play.status in LIVE:
            self.exit(play, reason, now)
        else:
            self._store.do(Cancel(play.id, ActionReason.PLAY_EXITED, now, waiting_only=True))
            self._leave_rest(play, reason, now, timely=self._log_clock)

    def exit(self, play: Play, reason: PlayReason, now: int) -> None:
        """End an open or held play: nothing more is sent, and its open tasks are closed."""
        timely = self._log_clock and self.admission.standing(play) is None
        alone = play.began_at is None and self._is_left_alone(play)
        if play.began_at is None:
            goals.forget(play)
        play.status, play.reason, play.ended_at, play.wait = "exited", reason, now, None
        self._store.put_play(play)
        self._store.do(Cancel(play.id, ActionReason.PLAY_EXITED, now, tried_only=timely))
        self._leave_rest(play, reason, now, timely=timely)
        if not alone:
            self._tell("play.exited", play, now)

    def _leave_rest(self, play: Play, reason: PlayReason, now: int, *, timely: bool) -> None:
        """Take its items from digests, and close its open tasks."""
        self._store.do(LeaveDigests(play.id, now, timely))
        self._store.do(CloseTasks(play.id, reason, now))

    def _is_left_alone(self, play: Play) -> bool:
        """Whether the account of a held play is held out, so that the play would touch nobody."""
        return is_held_out(play.playbook, play.account, self._playbook(play).holdout)

    # -- steps

    def _run(self, play: Play, program: Program, place: int, now: int, *, since: int) -> None:
        """Go through the steps from `place` on, up to a wait or the end. A moment before `since` counts as past."""
        profile = self._profile(play)
        while place != END:
            one = program.instructions[place]
            play.step = one.id
            play.wait = self._wait(play, one, profile, now)
            if play.wait is not None:
                return
            if one.step.wait is None:
                place = self._step(play, one, profile, now)
            else:
                place = self._behind(play, program, one, now, since, StepReason.WAIT_OVER)
        play.status, play.reason, play.ended_at = "finished", PlayReason.COMPLETED, now
        self._tell("play.finished", play, now)

    def _wait(self, play: Play, one: Instruction, profile: Profile, now: int) -> Wait | None:
        """The wait that this step asks for, if its end lies ahead."""
        wait = one.step.wait
        if wait is None:
            return None
        if isinstance(wait, WaitDate):
            due = date_awaited(play, one, profile)
            return None if due is None or due <= now else Wait(due=due, dated=True)
        until = isinstance(wait, WaitEvent)
        due = now + parse_duration(wait.for_ if isinstance(wait, WaitEvent) else wait)
        return None if due <= now else Wait(due=due, until=until)

    def _behind(
        self, play: Play, program: Program, one: Instruction, now: int, since: int, reason: StepReason
    ) -> int:
        """Note in the play's history why it goes on after a wait; returns the place where it does."""
        wait = one.step.wait
        if not isinstance(wait, WaitDate):
            self._note(play, one.id, reason, now)
            return one.next
        due = date_awaited(play, one, self._profile(play))
        if due is None or due < since:
            reason = StepReason.NO_DATE if due is None else StepReason.DATE_PAST
        self._note(play, one.id, reason, now)
        if wait.past == "continue" or reason is StepReason.WAIT_OVER:
            return one.next
        left_out = program.instructions[one.next]
        self._note(play, left_out.id, StepReason.LEFT_OUT, now)
        return left_out.next

    def _step(self, play: Play, one: Instruction, profile: Profile, now: int) -> int:
        """Carry out a step that is no wait; returns the place where the play goes on."""
        step = one.step
        if one.condition is not None:
            holds = one.condition(scope_of(play, None, profile))
            self._note(play, one.id, StepReason.CONDITION_TRUE if holds else StepReason.CONDITION_FALSE, now)
            return one.then if holds else one.otherwise
        for op in effects_of(StepRun(play, one.id, profile, self._library, now), step):
            self._store.do(op)
        return one.next

    # -- helpers

    def _playbook(self, play: Play) -> Playbook:
        """The version of its playbook that a play follows: the one it holds, or while it is held the one in force."""
        current = self._library.playbook(play.playbook) if play.status == "held" else None
        return current or self._library.version(play.playbook, play.playbook_version or 0)

    def _program(self, play: Play) -> Program | None:
        """The steps of a play that was started; None while its version of the playbook cannot be read."""
        return self._library.version(play.playbook, play.playbook_version or 0).programs.get(play.tier)

    def _profile(self, play: Play) -> Profile:
        """The play's account, as it is now."""
        return self._store.profile(play.account) or Profile(id=play.account)

    def _note(self, play: Play, step: str, reason: StepReason, now: int) -> None:
        self._store.do(StepNote(play.id, play.account, step, reason, now))

    def _tell(self, kind: str, play: Play, now: int) -> None:
        self._store.do(
            OwnEvent(
                id=event_id(kind, play.id),
                type=OWN_PREFIX + kind,
                account=play.account,
                contact=play.contact,
                time=now,
                data={
                    "play": play.id,
                    "playbook": play.playbook,
                    "rule": play.rule,
                    "trigger": play.trigger_id,
                    "key": play.key,
                    "tier": play.tier,
                    "step": play.step,
                    "reason": play.reason,
                    "depth": depth_after(OWN_PREFIX + kind, play.depth),
                    "place": play.place,
                },
            )
        )
