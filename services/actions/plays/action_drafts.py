"""Drafts of actions, which channels make from a step: one for the step, or one for each recipient. Pure."""

from dataclasses import dataclass
from typing import Any

from schemas.play_reasons import ActionReason
from schemas.profile import Profile
from services.actions.plays.model import ActionDraft, ActionSpec, ActionStatus, Play, action_id
from services.actions.plays.ports import Library
from services.actions.plays.recipients import Recipient
from services.actions.plays.template_context import contact_document, render_context


@dataclass(frozen=True, slots=True)
class StepRun:
    """A step (by its id) that runs at `now`, with its play and the profile of the play's account."""

    play: Play
    step: str
    profile: Profile
    library: Library
    now: int


def draft_to(
    run: StepRun,
    channel: str,
    recipient: Recipient,
    spec: ActionSpec,
    context: dict[str, Any],
    missing: ActionReason | None = None,
    within: int | None = None,
) -> ActionDraft:
    """The action for one recipient of the step, which may begin `within` this time (None: at any time).

    It is skipped if the recipient has a reason not to be written to, else failed if there is a reason in `missing`.
    `context` is the template context that all recipients share (`render_context`).
    """
    play = run.play
    reason: ActionReason | None = recipient.reason
    status: ActionStatus = "pending" if recipient.reason is None else "skipped"
    if reason is None and missing is not None:
        reason, status = missing, "failed"
    shown = recipient.contact
    if shown is None and play.contact is not None:
        shown = run.profile.contacts.get(play.contact)
    return ActionDraft(
        id=action_id(play.id, run.step, recipient.identity),
        play=play.id,
        playbook=play.playbook,
        account=play.account,
        contact=recipient.contact.id if recipient.contact is not None else _named(play, recipient),
        channel=channel,
        step=run.step,
        recipient=recipient.address,
        topic=play.topic,
        rule=play.rule,
        tier=play.tier,
        status=status,
        reason=reason,
        due_at=run.now,
        priority=run.library.version(play.playbook, play.playbook_version or 0).priority,
        late_at=None if within is None else run.now + within,
        waited=play.waited,
        depth=play.depth,
        place=play.place,
        spec=spec,
        context={} if reason is not None else context | {"contact": contact_document(shown)},
    )


def one_draft(run: StepRun, channel: str, recipient: str | None, spec: ActionSpec) -> ActionDraft:
    """The step's only action."""
    play = run.play
    contact = None if play.contact is None else run.profile.contacts.get(play.contact)
    return ActionDraft(
        id=action_id(play.id, run.step, ""),
        play=play.id,
        playbook=play.playbook,
        account=play.account,
        contact=play.contact,
        channel=channel,
        step=run.step,
        recipient=recipient,
        topic=play.topic,
        rule=play.rule,
        tier=play.tier,
        due_at=run.now,
        depth=play.depth,
        place=play.place,
        spec=spec,
        context=render_context(play, run.profile, contact, run.now, run.library.brand()),
    )


def _named(play: Play, recipient: Recipient) -> str | None:
    """The trigger's contact, if the recipient is unknown because the account has no such contact."""
    return play.contact if recipient.reason is ActionReason.CONTACT_UNKNOWN else None


def approval_title(recipient: str | None, subject: str | None) -> str:
    """The title of the task that asks somebody to approve a mail."""
    return f"Approve the email to {recipient}" + (f": {subject}" if subject else "")
