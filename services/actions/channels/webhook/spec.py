"""Channel `webhook`, its pure half: a JSON value that goes to a saved endpoint."""

from collections.abc import Iterator
from typing import Any

from schemas.channels.webhook import WebhookStep
from services.actions.channels.spec import ChannelSpec, RenderScope
from services.actions.plays.action_drafts import StepRun, one_draft
from services.actions.plays.model import ActionDraft, ActionSpec
from services.actions.plays.retry_policy import HOUR, MINUTE, SECOND
from services.actions.plays.template_context import default_body
from services.actions.rendering.jobs import Body, Mail, TextJob


class WebhookSpec(ActionSpec, kw_only=True):
    """A webhook; every string in `body` is a template. All else is the endpoint's when the webhook is sent.

    `literal`: neither step nor endpoint gave a body, so the default one is sent as it is and never rendered.
    """

    endpoint: str
    body: Any
    literal: bool = False

    @property
    def ready(self) -> dict[str, Any] | None:
        return {"body": self.body} if self.literal else None


def drafts(run: StepRun, step: WebhookStep) -> Iterator[ActionDraft]:
    """The webhook of a step."""
    given = step.body if step.body is not None else run.library.endpoint_body(step.endpoint)
    body = given if given is not None else default_body(run.play, run.step, run.profile)
    spec = WebhookSpec(endpoint=step.endpoint, body=body, literal=given is None)
    yield one_draft(run, "webhook", step.endpoint, spec)


def job(draft: ActionDraft, spec: WebhookSpec, scope: RenderScope) -> TextJob:  # noqa: ARG001
    """The job that renders the body."""
    return TextJob(body={"body": spec.body}, context=scope.context, typed=True)


def content(draft: ActionDraft, spec: WebhookSpec, scope: RenderScope, answer: Mail | Body) -> dict[str, Any]:  # noqa: ARG001
    """The rendered body."""
    if not isinstance(answer, Body):
        raise TypeError("a webhook is rendered as a JSON value")
    found: dict[str, Any] = answer.body
    return found


WEBHOOK = ChannelSpec(
    name="webhook",
    step=WebhookStep,
    remembered=WebhookSpec,
    drafts=drafts,
    job=job,
    content=content,
    # what Standard Webhooks 1.0.0 recommends
    schedule=(
        5 * SECOND,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
    ),
    needs_consent=False,
    hard_bounces=frozenset(),
    to_endpoints=True,
    leaves_files=False,
    events={("done", None): "webhook.delivered", ("failed", None): "webhook.failed"},
)
