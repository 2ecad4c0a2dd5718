"""The store and the library in memory, on which `touchline test` and the unit tests run plays. Nothing is sent.

An action that would be sent counts as done the moment its step runs, a mail the moment it begins, and the same event
tells of it as in earnest. One that has to be approved waits until `approve` or `reject` is called, or its time is over.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from schemas.addresses import normal
from schemas.play_reasons import ActionReason, TaskReason
from schemas.profile import Profile
from services.actions.channels import CHANNELS
from services.actions.plays.action_drafts import approval_title
from services.actions.plays.admission import Admission, Holds, NothingHeld
from services.actions.plays.lifecycle_events import about
from services.actions.plays.memory_approvals import MemoryApprovals
from services.actions.plays.memory_digests import Changed, MemoryDigests
from services.actions.plays.memory_reports import MemoryReports
from services.actions.plays.memory_rows import MemoryAction, MemoryTask, drop
from services.actions.plays.model import (
    LIVE,
    OPEN_TASK,
    ActionDraft,
    Approval,
    Awaited,
    Cancel,
    CloseTasks,
    ControlRecord,
    DigestItem,
    DraftRendering,
    LeaveDigests,
    NotApproved,
    Op,
    OwnEvent,
    Play,
    Rendered,
    RenderFailure,
    RenderJob,
    Sighting,
    StepNote,
    TaskSpec,
)
from services.actions.plays.outgoing import Outgoing
from services.actions.plays.ports import DueDigests, Library, Stands
from services.actions.policy.rules import SendingPolicy


class MemoryStore:
    """Implements `ports.Store` on dictionaries; the results are in `plays`, `actions` and `tasks`.

    `events` holds Touchline's own events; the caller takes them (`drain`) and feeds them back as events of the log.
    """

    def __init__(
        self,
        renderer: DraftRendering | None = None,
        holds: Holds | None = None,
        policy: SendingPolicy | None = None,
    ) -> None:
        self._renderer = renderer
        self._outgoing = Outgoing(self.profile, normal, policy)
        self._drafts: dict[str, ActionDraft] = {}  # of mails that wait
        self._digested: dict[str, list[DigestItem]] = {}  # the items of digests' mails
        self._admission = Admission(holds or NothingHeld())
        self.profiles: dict[str, Profile] = {}
        self.plays: dict[str, Play] = {}
        self.actions: dict[str, MemoryAction] = {}
        self.tasks: dict[str, MemoryTask] = {}
        self.events: list[OwnEvent] = []
        self.notes: list[StepNote] = []  # the history that steps without an action left
        self.reports = MemoryReports()
        self.digests = MemoryDigests(self.reports.suppressed, active=self._outgoing.is_active)
        self._approvals = MemoryApprovals()
        self._seen: dict[bytes, Sighting] = {}
        self._put_off: set[str] = set()

    def drain(self) -> list[OwnEvent]:
        """The events told since the last call."""
        events, self.events = self.events, []
        return events

    # -- the port

    def profile(self, account: str) -> Profile | None:
        return self.profiles.get(account)

    def put_profile(self, profile: Profile) -> None:
        self.profiles[profile.id] = profile

    def erase_account(self, account: str) -> None:
        self.profiles.pop(account, None)
        self._erase_items(lambda item: item.account == account)
        for held in (self.plays, self.actions, self.tasks):
            drop(held, lambda one: one.account == account)
        self._forget_mails()

    def erase_contact(self, account: str, contact: str) -> None:
        doomed = {p.id for p in self.plays.values() if p.account == account and p.contact == contact}

        def theirs(one: DigestItem | MemoryAction) -> bool:
            return one.play in doomed or (one.account, one.contact) == (account, contact)

        self._erase_items(theirs)
        drop(self.plays, lambda one: one.id in doomed)
        drop(self.tasks, lambda one: one.play in doomed)
        drop(self.actions, theirs)
        self._forget_mails()

    def _erase_items(self, doomed: Callable[[DigestItem], bool]) -> None:
        """Erase items of digests; a mail that waits with one of them is made anew."""
        self._take_back([one for one in self._drafts if any(map(doomed, self._digested.get(one, ())))], 0)
        self.digests.forget(doomed)

    def _forget_mails(self) -> None:
        """Forget the mails that were erased."""
        for name in [name for name in self._drafts if name not in self.actions]:
            del self._drafts[name]
            self._outgoing.queue.drop(name, 0)

    def sighted(self, digest: bytes) -> Sighting | None:
        return self._seen.get(digest)

    def put_sighting(self, digest: bytes, sighting: Sighting) -> None:
        self._seen[digest] = sighting

    def play(self, play: str) -> Play | None:
        return self.plays.get(play)

    def live_plays(self, account: str) -> list[Play]:
        tasked = {task.play for task in self.tasks.values() if task.status in OPEN_TASK}
        tasked |= {draft.play for draft in self._drafts.values()} | self.digests.plays()
        tasked |= {item.play for name in self._drafts for item in self._digested.get(name, ())}
        return [
            play
            for play in self.plays.values()
            if play.account == account and (play.status in LIVE or play.id in tasked)
        ]

    def watched_plays(self, account: str) -> list[Play]:
        return [
            play
            for play in self.plays.values()
            if play.account == account and play.goal_until is not None and play.goal_reached_at is None
        ]

    def put_play(self, play: Play) -> None:
        self.plays[play.id] = play

    def next_wait(self, upto: int) -> Play | None:
        due = [
            (play.wait.due, play.id)
            for play in self.plays.values()
            if play.status in LIVE and play.wait is not None and play.wait.due <= upto
            if play.id not in self._put_off and not self._stands(play)
        ]
        return self.plays[min(due)[1]] if due else None

    def _stands(self, play: Play) -> bool:
        return play.status == "open" and self._admission.standing(play) is not None

    def next_approval(self, upto: int) -> Awaited | None:
        due = (one for one in self._approvals.waiting() if one.until <= upto)
        return next((one for one in due if not self._is_held_back(one.play)), None)

    def _is_held_back(self, play: str) -> bool:
        known = self.plays.get(play)
        return known is not None and self._admission.standing(known) is not None

    def put_off(self, play: str) -> None:
        self._put_off.add(play)

    def recall(self, stands: Stands) -> None:
        self._put_off.clear()
        self._outgoing.recall(0, stands)

    def next_look(self, upto: int) -> int | None:
        return self._outgoing.next_look(upto)

    def look(self, at: int, stands: Stands) -> None:
        changed = Changed(self.digests, self._digested, self._standing)
        for mail, turn in self._outgoing.look(at, stands, self.reports, changed.has):
            action, action.reason = self.actions[mail.id], turn.reason
            if turn.skipped:
                action.status, action.done_at = "skipped", at
                del self._drafts[mail.id]
            elif turn.begins:
                action.begun_at = at
                self._go_out(self._drafts.pop(mail.id), action, at)
        self._take_back(changed.mails, at)

    def next_digest(self, upto: int) -> DueDigests | None:
        moment = self.digests.next()
        return None if moment is None or moment > upto else DueDigests(moment, partial(self._send, moment))

    def _send(self, moment: int, library: Library) -> None:
        for found in self.digests.take(moment, library, self._standing):
            for draft in found.left_out:
                self._act(draft)
            if found.mail is not None:
                self._act(found.mail)
                self._digested[found.mail.id] = found.kept

    def _leave_digests(self, op: LeaveDigests) -> None:
        """Take a play's items from digests; a mail that waits is made anew of what is left."""
        for told in self.digests.leave(op):
            self._act(told)
        mine = [one for one in self._drafts if any(i.play == op.play for i in self._digested.get(one, ()))]
        for item in [item for one in mine for item in self._digested[one] if item.play == op.play]:
            item.gone_at = 0
        self._take_back(mine, op.at)

    def _take_back(self, mails: Iterable[str], at: int) -> None:
        """Let the items of mails that wait be collected again: their digests are due, so the mails are made anew."""
        for name in mails:
            self._outgoing.queue.drop(name, at)
            del self.actions[name], self._drafts[name]
            for item in self._digested.pop(name):
                self.digests.put(item)

    def _skip_mail(self, name: str, reason: str, at: int) -> None:
        self._outgoing.queue.drop(name, at)
        action, _ = self.actions[name], self._drafts.pop(name)
        action.status, action.reason, action.done_at = "skipped", reason, at

    def _standing(self, plays: Iterable[str]) -> list[str]:
        known = [self.plays[one] for one in plays if one in self.plays]
        return [play.id for play in known if self._admission.standing(play) is not None]

    def do(self, op: Op) -> None:
        match op:
            case ActionDraft():
                self._act(op)
            case DigestItem():
                self.digests.put(op)
            case LeaveDigests():
                self._leave_digests(op)
            case Cancel():  # any other action counts as sent when its step ran
                for one in self._approvals.waiting():
                    if one.play == op.play:
                        self._end(one.action, op.reason, op.at)
                for name in self._outgoing.of(op.play):
                    if self._drafts[name].digest is None:
                        self._skip_mail(name, op.reason, op.at)
            case NotApproved():
                self.reject(op.action, op.at)
            case CloseTasks():
                for task in self.tasks.values():
                    if task.play == op.play and task.status in OPEN_TASK:
                        task.status, task.reason = "closed", op.reason
            case ControlRecord():
                pass  # there are no rules in another process to be told
            case OwnEvent():
                self.events.append(op)
            case StepNote():
                self.notes.append(op)

    # -- decisions

    def approve(self, action: str, now: int) -> bool:
        """Let a mail that awaits its approval go out; returns whether it did. One to a contact begins with the next
        look at what is due (`PlaysPartition.catch_up`)."""
        draft, known = self._approvals.take(action), self.actions.get(action)
        if draft is None or known is None:
            return False
        known.reason = None
        self._close(action, TaskReason.APPROVED)
        if action in self._outgoing.queue:
            self._drafts[action] = draft
            self._outgoing.queue.free(action, now)
        else:
            known.begun_at = now
            self._go_out(draft, known, now)
        return True

    def reject(self, action: str, at: int) -> bool:
        """Skip a mail that awaits its approval; returns whether it was one."""
        found = self._end(action, ActionReason.NOT_APPROVED, at)
        if found:
            self._close(action, TaskReason.NOT_APPROVED)
        return found

    def _end(self, action: str, reason: str, at: int) -> bool:
        draft, known = self._approvals.take(action), self.actions.get(action)
        if draft is None or known is None:
            return False
        known.status, known.reason, known.done_at = "skipped", reason, at
        self._outgoing.queue.drop(action, at)
        return True

    def _close(self, task: str, reason: str) -> None:
        known = self.tasks.get(task)
        if known is not None and known.status in OPEN_TASK:
            known.status, known.reason = "closed", reason

    # -- carrying out

    def _act(self, draft: ActionDraft) -> None:
        if draft.id in self.actions:
            return
        action = MemoryAction(
            id=draft.id,
            play=draft.play,
            playbook=draft.playbook,
            account=draft.account,
            contact=draft.contact,
            channel=draft.channel,
            step=draft.step,
            recipient=draft.recipient,
            status=draft.status,
            reason=draft.reason,
            due_at=draft.due_at,
            template=getattr(draft.spec, "template", None),
        )
        self.actions[draft.id] = action
        action.done_at = draft.due_at
        if draft.status != "pending":
            return
        answer = self._render(draft)
        if isinstance(answer, RenderFailure):
            action.status, action.reason = "failed", answer.reason
            action.rendered = {"error": answer.detail}
            return
        action.rendered = answer.content
        if draft.approval is not None:
            self._ask(draft, draft.approval, action)
            return
        if self._outgoing.take(draft):
            self._drafts[draft.id], action.done_at = draft, None
            return
        if isinstance(draft.spec, TaskSpec):
            action.status = "done"
            self._task(draft, draft.spec, action)
        else:
            self._go_out(draft, action, draft.due_at)

    def _go_out(self, draft: ActionDraft, action: MemoryAction, at: int) -> None:
        """Let an action go out, unless it is a mail to an address that gets none any more."""
        channel, action.done_at = CHANNELS[draft.channel], at
        if channel.needs_consent and self.reports.suppressed(draft.recipient or "", draft.topic):
            action.status, action.reason, action.begun_at = "skipped", ActionReason.SUPPRESSED, None
            return
        action.status = "done"
        self._tell(channel.event("done", None), draft, at)

    def _render(self, draft: ActionDraft) -> Rendered | RenderFailure:
        if draft.spec.ready is not None:
            return Rendered(content=draft.spec.ready)
        if self._renderer is None:
            return Rendered(content={})
        return self._renderer.render_many([RenderJob(draft=copy.copy(draft))])[0]

    def _ask(self, draft: ActionDraft, approval: Approval, action: MemoryAction) -> None:
        """Let an action wait for its approval, with the task that asks for it."""
        action.status, action.reason, action.done_at = "pending", ActionReason.AWAITING_APPROVAL, None
        self._approvals.put(draft)
        self._outgoing.await_(draft)
        self.tasks[draft.id] = MemoryTask(
            id=draft.id,
            play=draft.play,
            account=draft.account,
            key=draft.id,
            title=approval_title(draft.recipient, action.rendered.get("subject")),
            assignee=approval.approver,
            due_at=approval.until,
        )
        self._tell("task.created", draft)

    def _task(self, draft: ActionDraft, spec: TaskSpec, action: MemoryAction) -> None:
        content: Mapping[str, Any] = action.rendered
        key = content.get("key") or spec.key or spec.default_key
        action.rendered = {**content, "key": key, "assignee": spec.assignee, "priority": spec.priority}
        fields: dict[str, Any] = {
            "play": draft.play,
            "title": content.get("title") or spec.title,
            "body": content.get("body"),
            "assignee": spec.assignee,
            "due_at": spec.due_at,
        }
        for task in self.tasks.values():
            if (task.account, task.key) == (draft.account, key) and task.status in OPEN_TASK:
                for name, value in fields.items():
                    setattr(task, name, value)
                action.reason = ActionReason.TASK_UPDATED
                return
        self.tasks[draft.id] = MemoryTask(id=draft.id, account=draft.account, key=key, **fields)
        self._tell("task.created", draft)

    def _tell(self, kind: str | None, draft: ActionDraft, at: int | None = None) -> None:
        if kind is None:
            return
        time = draft.due_at if at is None else at
        self.events.append(about(kind, draft, time=time, depth=draft.depth, place=draft.place))
