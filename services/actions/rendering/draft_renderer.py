"""The renderer as the worker knows it: drafts of actions in, the content that is stored with them out."""

from collections.abc import Callable, Sequence

from services.actions.channels import CHANNELS
from services.actions.channels.spec import Person, RenderScope
from services.actions.plays.model import ActionDraft, Rendered, RenderFailure, RenderJob
from services.actions.rendering.jobs import Body, Mail, RenderError
from services.actions.rendering.renderer import RenderPool


class DraftRenderer:
    """Implements `services.actions.plays.model.Renderer`. Thread-safe.

    `sender` is who mails come from where an account has no owner; `unsubscribe_url` gives the link of a draft.
    """

    def __init__(
        self, renderer: RenderPool, sender: Person, unsubscribe_url: Callable[[ActionDraft], str]
    ) -> None:
        self._renderer = renderer
        self._sender = sender
        self._unsubscribe_url = unsubscribe_url

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        """One answer per job, in order. Raises nothing for what a template does."""
        drafts = [job.draft for job in jobs]
        scopes = [self._scope(draft) for draft in drafts]
        asked = [
            CHANNELS[draft.channel].job(draft, draft.spec, scope)
            for draft, scope in zip(drafts, scopes, strict=True)
        ]
        given = iter(self._renderer.render_many([job for job in asked if not isinstance(job, RenderFailure)]))
        return [
            job if isinstance(job, RenderFailure) else _answer(draft, scope, next(given))
            for draft, scope, job in zip(drafts, scopes, asked, strict=True)
        ]

    def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
        """What is wrong with templates given by field: (field, message) per error; empty if all can be read."""
        try:
            flaws = self._renderer.check(sources).flaws
        except RenderError as error:
            return [(next(iter(sources), ""), error.message)]
        return [(flaw.field, f"line {flaw.line}: {flaw.message}") for flaw in flaws]

    def _scope(self, draft: ActionDraft) -> RenderScope:
        asks = CHANNELS[draft.channel].needs_consent and not draft.spec.internal
        link = self._unsubscribe_url(draft) if asks else None
        known = {**draft.context, "unsubscribe_url": link}
        return RenderScope(
            context=known if asks else {"unsubscribe_url": None, **draft.context},
            sender=self._sender,
            unsubscribe_url=link,
        )


def _answer(
    draft: ActionDraft, scope: RenderScope, given: Mail | Body | RenderError
) -> Rendered | RenderFailure:
    if isinstance(given, RenderError):
        return RenderFailure(reason=given.reason, detail=str(given))
    content = CHANNELS[draft.channel].content(draft, draft.spec, scope, given)
    return content if isinstance(content, RenderFailure) else Rendered(content=content)
