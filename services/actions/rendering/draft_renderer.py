"""The renderer as the worker knows it: drafts of actions in, the content that is stored with them out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.actions.plays.model import (
    ActionDraft,
    EmailSpec,
    Rendered,
    RenderFailure,
    RenderJob,
    TaskSpec,
    WebhookSpec,
)
from services.actions.rendering.jobs import Body, Job, Mail, MailJob, RenderError, TextJob
from services.actions.rendering.renderer import Renderer

Person = dict[str, str | None]  # {"name", "email"}


class DraftRenderer:
    """Implements `services.actions.plays.model.Renderer`. Thread-safe.

    `sender` is who mails come from where an account has no owner; `unsubscribe_url` gives the link of a
    draft.
    """

    def __init__(
        self, renderer: Renderer, sender: Person, unsubscribe_url: Callable[[ActionDraft], str]
    ) -> None:
        self._renderer = renderer
        self._sender = sender
        self._unsubscribe_url = unsubscribe_url

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        """One answer per job, in order. Raises nothing for what a template does."""
        drafts = [job.draft for job in jobs]
        links = [self._link(draft) for draft in drafts]
        asked = [_job(draft, link, self._sender) for draft, link in zip(drafts, links, strict=True)]
        given = iter(self._renderer.render_many([job for job in asked if not isinstance(job, RenderFailure)]))
        answers: list[Rendered | RenderFailure] = []
        for draft, link, job in zip(drafts, links, asked, strict=True):
            answers.append(
                job if isinstance(job, RenderFailure) else _answer(draft, link, next(given), self._sender)
            )
        return answers

    def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
        """What is wrong with templates given by field: (field, message) per error; empty if all can be
        read."""
        try:
            flaws = self._renderer.check(sources).flaws
        except RenderError as error:
            return [(next(iter(sources), ""), error.message)]
        return [(flaw.field, f"line {flaw.line}: {flaw.message}") for flaw in flaws]

    def _link(self, draft: ActionDraft) -> str | None:
        spec = draft.spec
        return self._unsubscribe_url(draft) if isinstance(spec, EmailSpec) and not spec.internal else None


def _job(draft: ActionDraft, link: str | None, sender: Person) -> Job | RenderFailure:
    context = (
        {"unsubscribe_url": link, **draft.context}
        if link is None
        else {**draft.context, "unsubscribe_url": link}
    )
    match draft.spec:
        case EmailSpec(document=None, template=name):
            return RenderFailure(reason="template_unknown", detail=f"there is no template '{name}'")
        case EmailSpec() as spec:
            return mail_job(spec.document or {}, context, draft.topic, from_of(spec, sender))
        case TaskSpec(title=title, body=body, key=key):
            return TextJob(body={"title": title, "body": body, "key": key}, context=context)
        case WebhookSpec(body=body):
            return TextJob(body={"body": body}, context=context)


def mail_job(document: Mapping[str, Any], context: dict[str, Any], topic: str, sender: Person) -> MailJob:
    """The job of a template's document; `sender` stands in the footer."""
    return MailJob(
        subject=document["subject"],
        markdown=document.get("markdown"),
        html=document.get("html"),
        text=document.get("text"),
        context=context,
        topic=topic,
        sent_by=_shown(sender),
    )


def _shown(person: Person) -> str:
    name, address = person.get("name"), person.get("email")
    return f"{name} ({address})" if name and address else name or address or ""


def from_of(spec: EmailSpec, sender: Person) -> Person:
    """Who a mail is from: the step's `from`, else the owner, else the configured sender; the owner lends
    the name."""
    owner = spec.owner
    if spec.sender:
        return {"name": owner.get("name"), "email": spec.sender}
    if owner.get("email"):
        return {"name": owner.get("name"), "email": owner["email"]}
    return {"name": owner.get("name") or sender.get("name"), "email": sender.get("email")}


def _answer(
    draft: ActionDraft, link: str | None, given: Mail | Body | RenderError, sender: Person
) -> Rendered | RenderFailure:
    if isinstance(given, RenderError):
        return RenderFailure(reason=given.reason, detail=str(given))
    if isinstance(given, Body):
        return Rendered(content=given.body)
    spec = draft.spec
    if not isinstance(spec, EmailSpec):
        raise TypeError("only an email gives a mail")
    owner = spec.owner
    return Rendered(content={
        "subject": given.subject,
        "html": given.html,
        "text": given.text,
        "to": {"name": spec.to_name, "email": draft.recipient},
        "from": from_of(spec, sender),
        "reply_to": {"name": owner.get("name"), "email": owner["email"]} if owner.get("email") else None,
        "unsubscribe_url": link,
        "topic": draft.topic,
    })  # fmt: skip
