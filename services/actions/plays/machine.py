"""The step machine: how a play starts, goes through its steps, waits, and ends. Pure; effects go to the
store.

trigger ──► open ──► (step, step, wait …) ──► finished
              │  └── exit_when, `then: exit`, by hand ──► exited
no playbook, tier not covered, play open already ──► skipped
"""

from typing import Any

from schemas.conditions import Scope
from schemas.duration import parse_duration
from schemas.event import OWN_PREFIX, Event, is_reserved
from schemas.play_reasons import ActionReason, PlayReason
from schemas.playbook import EmailStep, TaskStep, WaitDate, WaitEvent, WebhookStep
from schemas.profile import Profile, contact_of
from schemas.trigger import Trigger
from services.actions.plays.context import (
    contact_document,
    default_body,
    owner_document,
    render_context,
    trigger_document,
)
from services.actions.plays.delivery import HOUR
from services.actions.plays.model import (
    ActionDraft,
    ActionStatus,
    Cancel,
    CloseTasks,
    EmailSpec,
    OwnEvent,
    Play,
    TaskSpec,
    Wait,
    WebhookSpec,
    action_id,
    event_id,
    play_id,
)
from services.actions.plays.moments import moment_of
from services.actions.plays.ports import Library, Store
from services.actions.plays.program import END, Instruction, Program
from services.actions.plays.recipients import Recipient, resolve

LOOK_AGAIN = HOUR  # a play whose playbook cannot be read stands still; whether it can be by now
MAX_RECIPIENTS = 10_000  # of one email step; the rest of a larger account is left out


class Machine:
    """Runs plays against a store and a library. One instance serves one partition; it keeps nothing of its
    own."""

    def __init__(
        self, store: Store, library: Library, partition: int = 0, *, log_clock: bool = False
    ) -> None:
        self._store, self._library, self._partition = store, library, partition
        self._log_clock = log_clock

    # -- beginnings

    def start(self, trigger: Trigger, now: int) -> Play | None:
        """Start the play of a trigger at `now`; None if the trigger starts none, or has started it before."""
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
        program = self._library.version(play.playbook, play.playbook_version or 0).programs[play.tier]
        play.templates = self._library.template_versions(program.templates)
        self._tell("play.started", play, now)
        self._run(play, program, program.start, now)
        self._store.put_play(play)
        return play

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
            partition=self._partition,
        )

    def _hindrance(self, play: Play) -> PlayReason | None:
        """Why this play is not to start."""
        if play.playbook_version is None:
            return PlayReason.PLAYBOOK_UNKNOWN
        playbook = self._library.version(play.playbook, play.playbook_version)
        if playbook.unhealthy is not None:
            return PlayReason.PLAYBOOK_UNHEALTHY
        if play.tier not in playbook.programs:
            return PlayReason.TIER_NOT_COVERED
        mine = (play.playbook, _subject(play))
        for other in self._store.live_plays(play.account):
            if other.status == "open" and (other.playbook, _subject(other)) == mine:
                return PlayReason.PLAY_OPEN
        return None

    # -- going on

    def resume(self, play: Play, now: int) -> None:
        """The wait that the play stands at is over."""
        program = self._program(play)
        if program is None:
            play.wait, play.reason = Wait(due=now + LOOK_AGAIN), PlayReason.PLAYBOOK_UNHEALTHY
        else:
            play.wait, play.reason = None, None
            self._run(play, program, program.at(play.step or "").next, now)
        self._store.put_play(play)

    def on_event(self, play: Play, event: Event, profile: Profile, now: int) -> None:
        """An event of the play's account came: it may end the play, its open tasks, or its wait."""
        if not self._concerns(play, event):
            return
        playbook = self._library.version(play.playbook, play.playbook_version or 0)
        scope = _scope(play, event, profile)
        if any(one.matches(scope, event, play.key) for one in playbook.exits):
            healthy = playbook.unhealthy is None
            if play.status == "open":
                self.exit(play, PlayReason.EXIT_EVENT if healthy else PlayReason.PLAYBOOK_UNHEALTHY, now)
            elif healthy:
                self._store.do(CloseTasks(play.id, PlayReason.EXIT_EVENT, now))
            return
        if play.status != "open" or play.wait is None or not play.wait.until:
            return
        program = self._program(play)
        if program is None:
            return
        at = program.at(play.step or "")
        if at.until is None or not at.until.matches(scope, event, play.key):
            return
        if at.on_until == "exit":
            self.exit(play, PlayReason.UNTIL_EVENT, now)
        else:
            self.resume(play, now)

    def _concerns(self, play: Play, event: Event) -> bool:
        """Touchline's own events count for their play only; what another contact did not for a contact's
        play."""
        if event.type.startswith(OWN_PREFIX):
            return isinstance(event.data, dict) and event.data.get("play") == play.id
        if play.scope != "contact" or is_reserved(event.type):
            return True
        return event.contact is None or event.contact == play.contact

    def on_update(self, play: Play, profile: Profile, now: int) -> None:
        """The account or a contact was updated: a wait for one of its dates is reckoned anew."""
        if play.status != "open" or play.wait is None or not play.wait.dated:
            return
        program = self._program(play)
        due = None if program is None else _dated(play, program.at(play.step or ""), profile)
        if due is None or due == play.wait.due:
            return
        if due <= now:
            self.resume(play, now)
            return
        play.wait = Wait(due=due, dated=True)
        self._store.put_play(play)

    def exit(self, play: Play, reason: PlayReason, now: int) -> None:
        """End an open play: nothing more is sent, its open tasks are closed."""
        play.status, play.reason, play.ended_at, play.wait = "exited", reason, now, None
        self._store.put_play(play)
        self._store.do(Cancel(play.id, ActionReason.PLAY_EXITED, now, tried_only=self._log_clock))
        self._store.do(CloseTasks(play.id, reason, now))
        self._tell("play.exited", play, now)

    # -- steps

    def _run(self, play: Play, program: Program, place: int, now: int) -> None:
        """Go through the steps from `place` on, until a wait or the end."""
        profile = self._store.profile(play.account) or Profile(id=play.account)
        while place != END:
            one = program.instructions[place]
            play.step = one.id
            play.wait = self._wait(play, one, profile, now)
            if play.wait is not None:
                return
            place = self._step(play, one, profile, now)
        play.status, play.reason, play.ended_at = "finished", PlayReason.COMPLETED, now
        self._tell("play.finished", play, now)

    def _wait(self, play: Play, one: Instruction, profile: Profile, now: int) -> Wait | None:
        """The wait that this step asks for, if it lies ahead."""
        wait = one.step.wait
        if wait is None:
            return None
        if isinstance(wait, WaitDate):
            due = _dated(play, one, profile)
            return None if due is None or due <= now else Wait(due=due, dated=True)
        until = isinstance(wait, WaitEvent)
        due = now + parse_duration(wait.for_ if isinstance(wait, WaitEvent) else wait)
        return None if due <= now else Wait(due=due, until=until)

    def _step(self, play: Play, one: Instruction, profile: Profile, now: int) -> int:
        """Carry out a step that is no wait; returns where to go on."""
        step = one.step
        if one.condition is not None:
            return one.then if one.condition(_scope(play, None, profile)) else one.otherwise
        if step.email is not None:
            self._email(play, one.id, step.email, profile, now)
        elif step.task is not None:
            self._task(play, one.id, step.task, profile, now)
        elif step.webhook is not None:
            self._webhook(play, one.id, step.webhook, profile, now)
        return one.next

    def _email(self, play: Play, step: str, email: EmailStep, profile: Profile, now: int) -> None:
        version = play.templates.get(email.template)
        document = None if version is None else self._library.template(email.template, version)
        context = render_context(play, profile, None, now)  # one for all: an account may have many contacts
        for recipient in resolve(email.to, profile, play.contact)[:MAX_RECIPIENTS]:
            spec = EmailSpec(
                template=email.template,
                version=version,
                document=document,
                to_name=recipient.name,
                sender=None if email.from_ == "owner" else email.from_,
                owner=owner_document(profile),
                internal=recipient.internal,
            )
            self._store.do(self._mail_draft(play, step, recipient, spec, profile, context, now))

    def _mail_draft(
        self,
        play: Play,
        step: str,
        recipient: Recipient,
        spec: EmailSpec,
        profile: Profile,
        context: dict[str, Any],
        now: int,
    ) -> ActionDraft:
        reason: ActionReason | None = recipient.reason
        status: ActionStatus = "pending" if recipient.reason is None else "skipped"
        if reason is None and spec.document is None:
            reason, status = ActionReason.TEMPLATE_UNKNOWN, "failed"
        shown = recipient.contact
        if shown is None and play.contact is not None:
            shown = profile.contacts.get(play.contact)
        return ActionDraft(
            id=action_id(play.id, step, recipient.identity),
            play=play.id,
            playbook=play.playbook,
            account=play.account,
            contact=recipient.contact.id if recipient.contact is not None else _named(play, recipient),
            channel="email",
            step=step,
            recipient=recipient.address,
            topic=play.topic,
            status=status,
            reason=reason,
            due_at=now,
            spec=spec,
            context={} if reason is not None else context | {"contact": contact_document(shown)},
        )

    def _task(self, play: Play, step: str, task: TaskStep, profile: Profile, now: int) -> None:
        assignee = owner_document(profile)["email"] if task.assignee == "owner" else task.assignee
        spec = TaskSpec(
            title=task.title,
            body=task.body,
            assignee=assignee,
            due_at=None if task.due is None else now + parse_duration(task.due),
            priority=task.priority,
            key=task.key,
            default_key=_default_key(play, step),
        )
        self._draft(play, step, "task", assignee, spec, profile, now)

    def _webhook(self, play: Play, step: str, hook: WebhookStep, profile: Profile, now: int) -> None:
        given = hook.body is not None
        body = hook.body if given else default_body(play, step, profile)
        spec = WebhookSpec(endpoint=hook.endpoint, body=body, literal=not given)
        self._draft(play, step, "webhook", hook.endpoint, spec, profile, now)

    def _draft(
        self,
        play: Play,
        step: str,
        channel: Any,
        recipient: str | None,
        spec: Any,
        profile: Profile,
        now: int,
    ) -> None:
        contact = None if play.contact is None else profile.contacts.get(play.contact)
        draft = ActionDraft(
            id=action_id(play.id, step, ""),
            play=play.id,
            playbook=play.playbook,
            account=play.account,
            contact=play.contact,
            channel=channel,
            step=step,
            recipient=recipient,
            topic=play.topic,
            due_at=now,
            spec=spec,
            context=render_context(play, profile, contact, now),
        )
        self._store.do(draft)

    # -- helpers

    def _program(self, play: Play) -> Program | None:
        """The steps of a play that was started; None while its version of the playbook cannot be read."""
        return self._library.version(play.playbook, play.playbook_version or 0).programs.get(play.tier)

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
                },
            )
        )


def _subject(play: Play) -> tuple[str | None, str | None]:
    """What the play's rule counts for, beside the account."""
    return (play.contact if play.scope == "contact" else None, play.key)


def _default_key(play: Play, step: str) -> str:
    """Playbook and step: an account has one open task of a step, unless the playbook gives a key."""
    return f"{play.playbook}/{step}"


def _named(play: Play, recipient: Recipient) -> str | None:
    """The contact that an unknown recipient was to be."""
    return play.contact if recipient.reason is ActionReason.CONTACT_UNKNOWN else None


def _scope(play: Play, event: Event | None, profile: Profile) -> Scope:
    """What a condition sees: of an event its own contact, of a branch the trigger's."""
    contact = play.contact if event is None else contact_of(event)
    return Scope(
        event=event,
        profile=profile,
        contact=None if contact is None else profile.contacts.get(contact),
        tier=play.tier,
        trigger=play.trigger,
    )


def _dated(play: Play, one: Instruction, profile: Profile) -> int | None:
    """The moment that a wait for a date is for; None if there is no such date."""
    wait = one.step.wait
    if one.date is None or not isinstance(wait, WaitDate):
        return None
    moment = moment_of(one.date(_scope(play, None, profile)), profile.timezone)
    if moment is None:
        return None
    return moment - (0 if wait.before is None else parse_duration(wait.before))
