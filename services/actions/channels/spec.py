"""A channel as the rooms see it that do not send: what its steps make, what it stores, when it tries again. Pure.

Every field must be given. A forgotten one fails when the channel's `spec.py` is imported, or at the latest when
`register` puts the specs together, and so never while actions are under way.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schemas.channels.base import ChannelStep
from schemas.event import OWN_PREFIX
from schemas.play_reasons import ActionReason
from schemas.playbook import CHANNEL_STEPS
from schemas.topics import OWN
from services.actions.plays.action_drafts import StepRun
from services.actions.plays.model import ActionDraft, ActionSpec, RenderFailure, TaskSpec
from services.actions.rendering.jobs import Body, Mail, MailJob, TextJob

Person = dict[str, str | None]  # {"name", "email"}
Step = TypeVar("Step", bound=ChannelStep)
Spec = TypeVar("Spec", bound=ActionSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderScope:
    """What a draft is rendered with.

    `context`: the names in scope of its templates. `sender`: the sender of mails if an account has no owner.
    `unsubscribe_url` is None if the recipient has nothing to unsubscribe from.
    """

    context: dict[str, Any]
    sender: Person
    unsubscribe_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSpec(Generic[Step, Spec]):
    """The pure half of a channel. Its other half, which sends, is a `channels.base.Channel`.

    `step`: the model of its steps. `remembered`: the struct of what a draft keeps of a step.
    `drafts`: makes the drafts of a step, one per recipient.
    `job`: makes the rendering job of a draft. `content`: what is stored with the action, and sent, of the answer.
    `schedule`: the pauses before the second, third, … attempt, in microseconds; when the last has failed, so has the
    action.
    `needs_consent`: recipients are people who may forbid it, so suppressions are looked at in the moment of sending.
    `hard_bounces`: the reasons after which the recipient's address is suppressed for all topics.
    `to_endpoints`: recipients are names of saved endpoints, whose URL and secret are read in the moment of sending.
    `leaves_files`: sent actions may stay as files of the process that sent them, and erasure removes those.
    `events`: the event (`email.sent`) that tells of an end, by (status, reason), or by status alone (reason None).
    """

    name: str
    step: type[Step]
    remembered: type[Spec]
    drafts: Callable[[StepRun, Step], Iterable[ActionDraft]]
    job: Callable[[ActionDraft, Spec, RenderScope], MailJob | TextJob | RenderFailure]
    content: Callable[[ActionDraft, Spec, RenderScope, Mail | Body], dict[str, Any] | RenderFailure]
    schedule: tuple[int, ...]
    needs_consent: bool
    hard_bounces: frozenset[str]
    to_endpoints: bool
    leaves_files: bool
    events: Mapping[tuple[str, str | None], str]

    @property
    def makes_tasks(self) -> bool:
        """Whether its actions are tasks, which are done by the commit in which their step ran, and never sent."""
        return issubclass(self.remembered, TaskSpec)

    def event(self, status: str, reason: str | None) -> str | None:
        """The kind of event that tells of this end of an action; None if no event does."""
        return self.events.get((status, reason)) or self.events.get((status, None))

    def flaws(self) -> list[str]:
        """The errors in the spec: fields that do not fit together."""
        if CHANNEL_STEPS.get(self.name) is not self.step:
            return [f"`Step` in schemas/playbook.py has no field {self.name} of {self.step.__name__}"]
        found = []
        if not self.makes_tasks and not (self.schedule and min(self.schedule) > 0):
            found.append("its schedule has no pauses: its first temporary failure would be its last")
        if self.makes_tasks and (self.schedule or self.events):
            found.append("tasks are not sent: there is nothing to try again or to tell")
        reasons = {*self.hard_bounces, *(reason for _, reason in self.events if reason is not None)}
        found += [f"there is no reason {one}" for one in sorted(reasons - set(ActionReason))]
        told = {*self.events.values(), *self.step.emits}
        found += [
            f"schemas/topics.py has no event {one}" for one in sorted(told) if OWN_PREFIX + one not in OWN
        ]
        found += [
            f"no end of an action tells of {one}"
            for one in sorted(self.step.events.keys() - self.events.values())
        ]
        return found


def register(*specs: ChannelSpec[Any, Any]) -> Mapping[str, ChannelSpec[Any, Any]]:
    """The specs by their names. Raises `ValueError` with all their errors."""
    found = {one.name: one for one in specs}
    flaws = [f"channel {one.name}: {flaw}" for one in specs for flaw in one.flaws()]
    flaws += [f"channel {one}: its step has no spec" for one in CHANNEL_STEPS if one not in found]
    if flaws or len(found) != len(specs):
        raise ValueError("; ".join(flaws) or "two channels have one name")
    return found
