"""`POST /v1/templates/{name}/preview`: a template as an account would get it. Nothing is stored or sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Response
from pydantic import Field
from sqlalchemy import Connection, select

from backbone.database import Database
from backbone.errors import FieldError, Invalid, RateLimited
from backbone.log import partition_for
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import JsonRoute, example
from schemas.fields import Strict
from schemas.play import PreviewOut
from schemas.profile import Contact, Profile
from schemas.template import TemplateIn
from services.actions.api.plays import Times
from services.actions.api.unsubscribe import UnsubscribeLinks
from services.actions.channels.email.spec import EmailSpec, from_of, mail_job
from services.actions.channels.spec import Person
from services.actions.plays import digests
from services.actions.plays.model import Play
from services.actions.plays.recipients import resolve
from services.actions.plays.template_context import render_context
from services.actions.rendering import Mail, RenderError, RenderPool
from services.actions.storage.library import TEMPLATES, brand_now
from services.actions.storage.plays import PlayStore
from services.actions.tables import plays

PREVIEWS = 4  # at once, per process
EXAMPLE = {
    "account": "acme",
    "contact": "ann",
    "trigger": {"key": "88", "event": {"data": {"invoice": "88"}}},
}
_NO_EVENT: dict[str, Any] = {
    "id": "preview",
    "source": "preview",
    "type": "preview",
    "time": None,
    "data": {},
}
_NO_TRIGGER: dict[str, Any] = {
    "id": "preview", "rule": "preview", "rule_version": 1, "account": None, "contact": None, "key": None, "tier": None,
    "at": None, "event_id": None, "event": _NO_EVENT, "value": None, "value_exact": True, "window": None,
    "threshold": None, "reason": None, "playbook": None, "evidence": [], "position": None, "figures": None,
}  # fmt: skip


class PreviewIn(Strict):
    """The account, contact and trigger to preview a template for."""

    account: str = Field(
        min_length=1, max_length=256, description="The id of the account.", examples=["acme"]
    )
    contact: str | None = Field(
        None,
        max_length=256,
        description="The id of the contact. Default: the contact that an email step would write to.",
    )
    trigger: dict[str, Any] | str | None = Field(
        None,
        description="The trigger that the template sees: its fields (those left out are null), or the id of "
        "a trigger that started a play.",
        examples=[EXAMPLE["trigger"]],
    )


class PreviewUnsavedIn(PreviewIn):
    """What to preview, perhaps a template that is not saved."""

    template: TemplateIn | None = Field(
        None, description="A template to preview instead of the saved one, which then need not exist."
    )


class Drawn(NamedTuple):
    """A template as an account would get it: the mail, who it comes from, and the owner whom replies go to."""

    mail: Mail
    sender: Person
    owner: Person


class Previews:
    """Draws templates as accounts would get them. Nothing is stored. `sender`: of mails if an account has no owner."""

    def __init__(
        self,
        db: Database,
        times: Times,
        renderer: RenderPool,
        links: UnsubscribeLinks,
        sender: Person,
        partitions: int,
    ) -> None:
        self._db, self._times, self._renderer, self._links = db, times, renderer, links
        self._sender, self._partitions = sender, partitions
        self._places = BoundedSemaphore(PREVIEWS)

    def draw(self, name: str, wish: PreviewIn, unsaved: TemplateIn | None = None) -> Drawn:
        """The template of this name, or an unsaved one. Raises `NotFound`, `Invalid`, and `RateLimited` if too many are
        being drawn."""
        with self._db.read() as connection:
            document = (
                TEMPLATES.fetch(connection, name).doc
                if unsaved is None
                else unsaved.model_dump(mode="json", exclude_unset=True)
            )
            play, profile, contact = _subject(connection, wish, self._partitions)
            now = self._times.now(connection, partition_for(wish.account, self._partitions))
            brand = brand_now(connection)
        context = render_context(play, profile, contact, now, brand) | {
            "unsubscribe_url": self._links.preview
        }
        context |= digests.sample(context, play.playbook)
        owner = {"name": context["owner"]["name"], "email": context["owner"]["email"]}
        sender = from_of(EmailSpec(template=name, version=None, document=document, owner=owner), self._sender)
        locale = None if contact is None else contact.locale
        with _place(self._places):
            try:
                mail = self._renderer.mail(mail_job(document, context, play.topic, sender, locale))
            except RenderError as error:
                message = f"line {error.line}: {error.message}" if error.line else error.message
                raise Invalid([FieldError(field=error.field, message=message)], code=error.reason) from None
        return Drawn(mail, sender, owner)


def router(previews: Previews) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["templates"], route_class=JsonRoute)

    @routes.post(
        "/v1/templates/{name}/preview",
        response_model=PreviewOut,
        summary="Preview a template for an account",
    )
    def preview(
        name: Annotated[str, Path(min_length=1, max_length=256)],
        model: Annotated[PreviewUnsavedIn, example(EXAMPLE)],
        _: Principal = require("actions:read"),
    ) -> Response:
        """The mail is in the variant that fits the contact's locale."""
        mail = previews.draw(name, model, model.template).mail
        return json_response({"subject": mail.subject, "html": mail.html, "text": mail.text})

    return routes


@contextmanager
def _place(places: BoundedSemaphore) -> Iterator[None]:
    """Hold a place for one preview.

    Raises `RateLimited` if all are taken, since waiting would block a thread that others need.
    """
    if not places.acquire(blocking=False):
        raise RateLimited(f"{PREVIEWS} previews are being made already", code="busy")
    try:
        yield
    finally:
        places.release()


def _subject(
    connection: Connection, model: PreviewIn, partitions: int
) -> tuple[Play, Profile, Contact | None]:
    """A play that never existed, the account, and the contact it would write to."""
    store = PlayStore(partition_for(model.account, partitions), partitions, lambda: connection)
    profile = store.profile(model.account)
    if profile is None:
        raise Invalid([FieldError(field="account", message=f"there is no account {model.account!r}")])
    if model.contact is not None and model.contact not in profile.contacts:
        raise Invalid([FieldError(field="contact", message=f"the account has no contact {model.contact!r}")])
    trigger = _trigger(connection, model)
    tier = trigger["tier"] or profile.tier or "tech"
    play = Play(
        id="preview", playbook="preview", playbook_version=None, rule=str(trigger["rule"]), trigger_id="preview",
        account=profile.id, contact=model.contact, key=trigger["key"], tier=str(tier), status="open", started_at=0,
        trigger=trigger,
    )  # fmt: skip
    recipients = resolve("contact", profile, model.contact)
    return play, profile, recipients[0].contact if recipients else None


def _trigger(connection: Connection, model: PreviewIn) -> dict[str, Any]:
    given = model.trigger
    if isinstance(given, str):
        query = select(plays.c.trigger).where(plays.c.trigger_id == given).limit(1)
        found: dict[str, Any] | None = connection.scalar(query)
        if found is None:
            raise Invalid(
                [FieldError(field="trigger", message=f"no play was started by a trigger {given!r}")]
            )
        return found
    known = _NO_TRIGGER | {"account": model.account, "contact": model.contact} | (given or {})
    event = known["event"]
    return known | {"event": _NO_EVENT | event if isinstance(event, dict) else event}
