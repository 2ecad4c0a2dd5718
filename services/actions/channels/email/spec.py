"""Channel `email`, its pure half: a mail for each recipient of the step."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from schemas.channels.email import EmailStep
from schemas.duration import parse_duration
from schemas.event import DAY_US
from schemas.play_reasons import ActionReason
from schemas.template import variant_of
from services.actions.channels.spec import ChannelSpec, Person, RenderScope
from services.actions.plays.action_drafts import StepRun, draft_to
from services.actions.plays.model import ActionDraft, ActionSpec, Approval, RenderFailure
from services.actions.plays.recipients import resolve
from services.actions.plays.retry_policy import HOUR, MINUTE, SECOND
from services.actions.plays.template_context import owner_document, render_context
from services.actions.rendering.jobs import Body, Mail, MailJob

MAX_RECIPIENTS = 10_000  # of one step; further contacts of a large account are left out
APPROVE_WITHIN = 7 * DAY_US


class EmailSpec(ActionSpec, kw_only=True):
    """An email to be rendered. `document` is the template at the version that the play holds (None: there is none)."""

    template: str
    version: int | None
    document: dict[str, Any] | None  # subject, markdown or html, text?
    to_name: str | None = None  # of the recipient; the address is `ActionDraft.recipient`
    sender: str | None = None  # the step's `from`: an address; None: the owner, else the configured sender
    # {"name", "email"} of the account's owner; replies go there
    owner: dict[str, Any] = msgspec.field(default_factory=dict)


def drafts(run: StepRun, step: EmailStep) -> Iterator[ActionDraft]:
    """An email for each recipient; one that must not be sent has a reason."""
    version = run.play.templates.get(step.template)
    document = None if version is None else run.library.template(step.template, version)
    missing = ActionReason.TEMPLATE_UNKNOWN if document is None else None
    # Made once for all recipients, for accounts may have many contacts.
    context = render_context(run.play, run.profile, None, run.now, run.library.brand())
    within = None if step.within is None else parse_duration(step.within)
    approval = approval_of(run, step)
    for recipient in resolve(step.to, run.profile, run.play.contact)[:MAX_RECIPIENTS]:
        spec = EmailSpec(
            template=step.template,
            version=version,
            document=document,
            to_name=recipient.name,
            sender=None if step.from_ == "owner" else step.from_,
            owner=owner_document(run.profile),
            internal=recipient.internal,
        )
        draft = draft_to(run, "email", recipient, spec, context, missing, within)
        draft.approval = approval if draft.status == "pending" else None
        yield draft


def approval_of(run: StepRun, step: EmailStep) -> Approval | None:
    """What the step's mails have to wait for; None: for nothing."""
    if not step.asks_approval(run.play.tier):
        return None
    within = APPROVE_WITHIN if step.approve_within is None else parse_duration(step.approve_within)
    owner = owner_document(run.profile)["email"] or None
    return Approval(owner if step.approver == "owner" else step.approver, run.now + within)


def job(draft: ActionDraft, spec: EmailSpec, scope: RenderScope) -> MailJob | RenderFailure:
    """The job that renders the template's subject, HTML and text."""
    if spec.document is None:
        return RenderFailure(reason="template_unknown", detail=f"there is no template '{spec.template}'")
    return mail_job(
        spec.document, scope.context, draft.topic, from_of(spec, scope.sender), reader_locale(draft)
    )


def reader_locale(draft: ActionDraft) -> str | None:
    """The locale of the contact whom a mail goes to; None for an internal mail, whose reader is no contact."""
    contact = None if draft.spec.internal else draft.context.get("contact")
    found = None if contact is None else contact.get("locale")
    return found if isinstance(found, str) else None


def variant_in(draft: ActionDraft) -> str:
    """The tag of the variant that a mail's reader gets; empty: the template itself, or no mail."""
    document = draft.spec.document if isinstance(draft.spec, EmailSpec) else None
    return "" if document is None else variant_of(document, reader_locale(draft))[0]


def mail_job(
    document: Mapping[str, Any], context: dict[str, Any], topic: str, sender: Person, locale: str | None
) -> MailJob:
    """The job of a template's document, in the variant for the reader's locale; `sender` stands in the footer."""
    tag, texts = variant_of(document, locale)
    return MailJob(
        subject=texts["subject"],
        markdown=texts.get("markdown"),
        html=texts.get("html"),
        text=texts.get("text"),
        context=context,
        topic=topic,
        sent_by=_shown(sender),
        locale=locale or "",
        lang=tag,
        at=f"variants.{tag}." if tag else "",
    )


def _shown(person: Person) -> str:
    name, address = person.get("name"), person.get("email")
    return f"{name} ({address})" if name and address else name or address or ""


def from_of(spec: EmailSpec, sender: Person) -> Person:
    """The sender of a mail: the step's `from`, else the owner, else the configured sender; named after the owner."""
    owner = spec.owner
    if spec.sender:
        return {"name": owner.get("name"), "email": spec.sender}
    if owner.get("email"):
        return {"name": owner.get("name"), "email": owner["email"]}
    return {"name": owner.get("name") or sender.get("name"), "email": sender.get("email")}


def content(draft: ActionDraft, spec: EmailSpec, scope: RenderScope, answer: Mail | Body) -> dict[str, Any]:
    """The mail with its addresses, as `message.build` and the API read it."""
    if not isinstance(answer, Mail):
        raise TypeError("an email is rendered as a mail")
    owner = spec.owner
    return {
        "subject": answer.subject,
        "html": answer.html,
        "text": answer.text,
        "to": {"name": spec.to_name, "email": draft.recipient},
        "from": from_of(spec, scope.sender),
        "reply_to": {"name": owner.get("name"), "email": owner["email"]} if owner.get("email") else None,
        "unsubscribe_url": scope.unsubscribe_url,
        "topic": draft.topic,
    }


EMAIL = ChannelSpec(
    name="email",
    step=EmailStep,
    remembered=EmailSpec,
    drafts=drafts,
    job=job,
    content=content,
    schedule=(30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR),
    needs_consent=True,
    hard_bounces=frozenset({ActionReason.BOUNCED}),
    to_endpoints=False,
    leaves_files=True,
    events={("done", None): "email.sent", ("failed", ActionReason.BOUNCED): "email.bounced"},
)
