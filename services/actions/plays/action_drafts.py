"""What an email, task or webhook step produces: drafts of actions, one for each recipient. Pure."""

from collections.abc import Iterator
from typing import Any

from schemas.channels.email import EmailStep
from schemas.channels.task import TaskStep
from schemas.channels.webhook import WebhookStep
from schemas.duration import parse_duration
from schemas.play_reasons import ActionReason
from schemas.profile import Profile
from services.actions.plays.model import (
    ActionDraft,
    ActionStatus,
    Channel,
    EmailSpec,
    Play,
    Spec,
    TaskSpec,
    WebhookSpec,
    action_id,
)
from services.actions.plays.ports import Library
from services.actions.plays.recipients import Recipient, resolve
from services.actions.plays.template_context import (
    contact_document,
    default_body,
    owner_document,
    render_context,
)

MAX_RECIPIENTS = 10_000  # of one email step; the rest of a larger account is left out


def email_drafts(
    play: Play, step: str, email: EmailStep, profile: Profile, library: Library, now: int
) -> Iterator[ActionDraft]:
    """An email for each recipient; those that get none with the reason."""
    version = play.templates.get(email.template)
    document = None if version is None else library.template(email.template, version)
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
        yield _mail(play, step, recipient, spec, profile, context, now)


def _mail(
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
        rule=play.rule,
        tier=play.tier,
        status=status,
        reason=reason,
        due_at=now,
        depth=play.depth,
        place=play.place,
        spec=spec,
        context={} if reason is not None else context | {"contact": contact_document(shown)},
    )


def task_draft(play: Play, step: str, task: TaskStep, profile: Profile, now: int) -> ActionDraft:
    """A task for the owner or an address."""
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
    return _draft(play, step, "task", assignee, spec, profile, now)


def webhook_draft(play: Play, step: str, hook: WebhookStep, profile: Profile, now: int) -> ActionDraft:
    """A webhook to an endpoint."""
    given = hook.body is not None
    body = hook.body if given else default_body(play, step, profile)
    spec = WebhookSpec(endpoint=hook.endpoint, body=body, literal=not given)
    return _draft(play, step, "webhook", hook.endpoint, spec, profile, now)


def _draft(
    play: Play,
    step: str,
    channel: Channel,
    recipient: str | None,
    spec: Spec,
    profile: Profile,
    now: int,
) -> ActionDraft:
    contact = None if play.contact is None else profile.contacts.get(play.contact)
    return ActionDraft(
        id=action_id(play.id, step, ""),
        play=play.id,
        playbook=play.playbook,
        account=play.account,
        contact=play.contact,
        channel=channel,
        step=step,
        recipient=recipient,
        topic=play.topic,
        rule=play.rule,
        tier=play.tier,
        due_at=now,
        depth=play.depth,
        place=play.place,
        spec=spec,
        context=render_context(play, profile, contact, now),
    )


def _default_key(play: Play, step: str) -> str:
    """Playbook and step: an account has one open task of a step, unless the playbook gives a key."""
    return f"{play.playbook}/{step}"


def _named(play: Play, recipient: Recipient) -> str | None:
    """The contact that an unknown recipient was to be."""
    return play.contact if recipient.reason is ActionReason.CONTACT_UNKNOWN else None
