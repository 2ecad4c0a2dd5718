"""Channel `task`, its pure half: a task for the owner or an address."""

from collections.abc import Iterator
from typing import Any

from schemas.channels.task import TaskStep
from schemas.duration import parse_duration
from services.actions.channels.spec import ChannelSpec, RenderScope
from services.actions.plays.action_drafts import StepRun, one_draft
from services.actions.plays.model import ActionDraft, TaskSpec
from services.actions.plays.template_context import owner_document
from services.actions.rendering.jobs import Body, Mail, TextJob


def drafts(run: StepRun, step: TaskStep) -> Iterator[ActionDraft]:
    """The task of a step. Without a key of its own, an account has one open task of the step."""
    assignee = owner_document(run.profile)["email"] if step.assignee == "owner" else step.assignee
    spec = TaskSpec(
        title=step.title,
        body=step.body,
        assignee=assignee,
        due_at=None if step.due is None else run.now + parse_duration(step.due),
        priority=step.priority,
        key=step.key,
        default_key=f"{run.play.playbook}/{run.step}",
    )
    yield one_draft(run, "task", assignee, spec)


def job(draft: ActionDraft, spec: TaskSpec, scope: RenderScope) -> TextJob:  # noqa: ARG001
    """The job that renders title, body and key."""
    return TextJob(body={"title": spec.title, "body": spec.body, "key": spec.key}, context=scope.context)


def content(draft: ActionDraft, spec: TaskSpec, scope: RenderScope, answer: Mail | Body) -> dict[str, Any]:  # noqa: ARG001
    """The rendered title, body and key; the store makes the task's row of them."""
    if not isinstance(answer, Body):
        raise TypeError("a task is rendered as a JSON value")
    found: dict[str, Any] = answer.body
    return found


TASK = ChannelSpec(
    name="task",
    step=TaskStep,
    remembered=TaskSpec,
    drafts=drafts,
    job=job,
    content=content,
    schedule=(),
    needs_consent=False,
    hard_bounces=frozenset(),
    to_endpoints=False,
    leaves_files=False,
    events={},
)
