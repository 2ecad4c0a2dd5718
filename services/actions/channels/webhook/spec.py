"""Channel `webhook`, its pure half: a JSON value that goes to a saved endpoint."""

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.blanks import BlankError, check_value
from schemas.channels.webhook import WebhookStep
from schemas.play_reasons import ActionReason
from services.actions.channels.spec import ChannelSpec, RenderScope
from services.actions.plays.action_drafts import StepRun, one_draft
from services.actions.plays.model import ActionDraft, ActionSpec, RenderFailure
from services.actions.plays.retry_policy import HOUR, MINUTE, SECOND
from services.actions.plays.template_context import default_body
from services.actions.rendering.jobs import Body, Mail, TextJob


class WebhookSpec(ActionSpec, kw_only=True):
    """A webhook; every string in `body` is a template. All else is the endpoint's when the webhook is sent.

    `literal`: neither step nor endpoint gave a body, so the default one is sent as it is and never rendered.
    `blanks`: the expressions in the endpoint's URL and headers, by field.
    """

    endpoint: str
    body: Any
    literal: bool = False
    blanks: dict[str, list[str]] = msgspec.field(default_factory=dict)

    @property
    def ready(self) -> dict[str, Any] | None:
        return {"body": self.body} if self.literal and not self.blanks else None


def drafts(run: StepRun, step: WebhookStep) -> Iterator[ActionDraft]:
    """The webhook of a step."""
    endpoint = run.library.endpoint(step.endpoint)
    given = step.body if step.body is not None else endpoint.body
    body = given if given is not None else default_body(run.play, run.step, run.profile)
    spec = WebhookSpec(endpoint=step.endpoint, body=body, literal=given is None, blanks=endpoint.blanks)
    yield one_draft(run, "webhook", step.endpoint, spec)


def job(draft: ActionDraft, spec: WebhookSpec, scope: RenderScope) -> TextJob:
    """The job that renders the body, unless it stands as it is, and the values of the blanks."""
    values = {field: [f"{{{{ {one} }}}}" for one in found] for field, found in spec.blanks.items()}
    body = {} if spec.literal else {"body": spec.body}
    return TextJob(body=body | values, context=scope.context | {"action": {"id": draft.id}}, typed=True)


def content(
    draft: ActionDraft,  # noqa: ARG001
    spec: WebhookSpec,
    scope: RenderScope,  # noqa: ARG001
    answer: Mail | Body,
) -> dict[str, Any] | RenderFailure:
    """The rendered body, and the values of the blanks by their expressions."""
    if not isinstance(answer, Body):
        raise TypeError("a webhook is rendered as a JSON value")
    found = {"body": spec.body} | answer.body
    values: dict[str, Any] = {}
    try:
        for field, expressions in spec.blanks.items():
            for expression, value in zip(expressions, found[field], strict=True):
                check_value(field, expression, value)
                values[expression] = value
    except BlankError as error:
        return RenderFailure(reason=ActionReason.TEMPLATE_ERROR.value, detail=str(error))
    return {"body": found["body"]} | ({"values": values} if values else {})


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
