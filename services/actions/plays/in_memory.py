"""The store and the library in memory, on which `touchline test` and the unit tests run plays. Nothing is sent.

An action that would be sent counts as done the moment its step runs, a mail the moment it begins, and the same event
tells of it as in earnest.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from schemas.addresses import normal
from schemas.brand import in_scope
from schemas.play_reasons import ActionReason
from schemas.playbook import PlaybookIn
from schemas.profile import Profile
from schemas.template import TemplateIn
from services.actions.channels import CHANNELS
from services.actions.plays.admission import Admission, Holds, NothingHeld
from services.actions.plays.lifecycle_events import about
from services.actions.plays.memory_digests import MemoryDigests
from services.actions.plays.model import (
    LIVE,
    OPEN_TASK,
    ActionDraft,
    Cancel,
    CloseTasks,
    ControlRecord,
    DigestItem,
    DraftRendering,
    LeaveDigests,
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
from services.actions.plays.ports import Library, Stands
from services.actions.plays.program import Playbook, compile_playbook
from services.actions.policy.rules import SendingPolicy


class MemoryAction(msgspec.Struct, kw_only=True):
    """An action as `touchline test` compares it; `rendered` is its content, {} if there is none."""

    id: str
    play: str
    playbook: str
    account: str
    contact: str | None
    channel: str
    step: str
    recipient: str | None
    status: str
    reason: str | None
    due_at: int
    begun_at: int | None = None  # of a mail to a contact that waited, or might have had to
    done_at: int | None = None  # when it ended, however it did
    template: str | None = None
    rendered: dict[str, Any] = {}


class MemoryTask(msgspec.Struct, kw_only=True):
    """A task."""

    id: str
    play: str
    account: str
    key: str
    title: str
    body: str | None = None
    assignee: str | None = None
    status: str = "open"
    reason: str | None = None
    due_at: int | None = None


class MemoryLibrary:
    """Playbooks, templates, bodies of endpoints (by name), brand and policy's timezone, given once as version 1."""

    def __init__(
        self,
        playbooks: Iterable[PlaybookIn],
        templates: Iterable[TemplateIn] = (),
        bodies: Mapping[str, Any] | None = None,
        brand: Mapping[str, Any] | None = None,
        timezone: str | None = None,
    ) -> None:
        self._playbooks = {doc.name: compile_playbook(1, doc) for doc in playbooks}
        self._templates = {doc.name: doc.model_dump(mode="json") for doc in templates}
        self._bodies = bodies or {}
        self._brand = in_scope(brand)
        self._timezone = timezone
        matchers = [one for book in self._playbooks.values() for one in book.matchers()]
        self._types = frozenset(type_ for one in matchers for type_ in one.types)
        self._every = any(one.every for one in matchers)

    def playbook(self, name: str) -> Playbook | None:
        return self._playbooks.get(name)

    def version(self, name: str, version: int) -> Playbook:  # noqa: ARG002
        return self._playbooks[name]

    def template_versions(self, names: frozenset[str]) -> dict[str, int]:
        return {name: 1 for name in sorted(names) if name in self._templates}

    def template(self, name: str, version: int) -> dict[str, Any]:  # noqa: ARG002
        return self._templates[name]

    def endpoint_body(self, name: str) -> Any:
        return self._bodies.get(name)

    def brand(self) -> dict[str, str | None]:
        return self._brand

    def timezone(self) -> str | None:
        return self._timezone

    def tier(self, profile: Profile) -> str | None:
        return profile.tier

    def watches(self, type_: str) -> bool:
        return self._every or type_ in self._types


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
        self.digests = MemoryDigests()
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
        for held in (self.plays, self.actions, self.tasks):
            _drop(held, lambda one: one.account == account)
        self.digests.forget(lambda item: item.account == account)
        self._forget_mails()

    def erase_contact(self, account: str, contact: str) -> None:
        doomed = {p.id for p in self.plays.values() if p.account == account and p.contact == contact}
        _drop(self.plays, lambda one: one.id in doomed)
        _drop(self.tasks, lambda one: one.play in doomed)
        _drop(
            self.actions, lambda one: one.play in doomed or (one.account, one.contact) == (account, contact)
        )
        self.digests.forget(
            lambda item: item.play in doomed or (item.account, item.contact) == (account, contact)
        )
        self._forget_mails()

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

    def put_off(self, play: str) -> None:
        self._put_off.add(play)

    def recall(self) -> None:
        self._put_off.clear()
        self._outgoing.recall(0)

    def next_look(self, upto: int) -> int | None:
        return self._outgoing.next_look(upto)

    def look(self, at: int, stands: Stands) -> None:
        for mail, turn in self._outgoing.look(at, stands):
            action, action.reason = self.actions[mail.id], turn.reason
            if turn.skipped:
                action.status, action.done_at = "skipped", at
                del self._drafts[mail.id]
            elif turn.begins:
                action.status, action.begun_at, action.done_at = "done", at, at
                draft = self._drafts.pop(mail.id)
                self._tell(CHANNELS[draft.channel].event("done", None), draft, at)

    def next_digest(self, upto: int) -> int | None:
        moment = self.digests.next()
        return moment if moment is not None and moment <= upto else None

    def send_digests(self, moment: int, library: Library) -> None:
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
        for name in [one for one in self._drafts if one in self._digested]:
            if any(item.play == op.play for item in self._digested[name]):
                self._skip_mail(name, ActionReason.PLAY_EXITED, op.at)
                del self.actions[name]
                for item in self._digested.pop(name):
                    item.gone_at = 0 if item.play == op.play else item.gone_at
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
                for name in self._outgoing.of(op.play):
                    if self._drafts[name].digest is None:
                        self._skip_mail(name, op.reason, op.at)
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
        if self._outgoing.take(draft):
            self._drafts[draft.id], action.done_at = draft, None
            return
        action.status = "done"
        if isinstance(draft.spec, TaskSpec):
            self._task(draft, draft.spec, action)
        else:
            self._tell(CHANNELS[draft.channel].event("done", None), draft)

    def _render(self, draft: ActionDraft) -> Rendered | RenderFailure:
        if draft.spec.ready is not None:
            return Rendered(content=draft.spec.ready)
        if self._renderer is None:
            return Rendered(content={})
        return self._renderer.render_many([RenderJob(draft=copy.copy(draft))])[0]

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
        self.events.append(
            about(
                kind,
                action=draft.id,
                play=draft.play,
                playbook=draft.playbook,
                step=draft.step,
                account=draft.account,
                contact=draft.contact,
                time=draft.due_at if at is None else at,
                depth=draft.depth,
                place=draft.place,
            )
        )


def _drop(held: dict[str, Any], doomed: Any) -> None:
    for name in [name for name, one in held.items() if doomed(one)]:
        del held[name]
