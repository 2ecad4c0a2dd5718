"""What an approver changed in a mail: literal text, in the layout and above the footer that all mails have."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape, unescape
from threading import BoundedSemaphore
from typing import Any

import msgspec
from sqlalchemy import Connection, Row

from backbone.errors import FieldError, Invalid, RateLimited
from schemas.approval import ApproveIn
from schemas.profile import Profile
from services.actions.api.new_task import profile_of
from services.actions.channels.email.spec import mail_job
from services.actions.plays.template_context import account_document, contact_document, owner_document
from services.actions.rendering import RenderError, RenderPool
from services.actions.rendering.jobs import one_line
from services.actions.storage.library import brand_now

AT_ONCE = 4  # edits that are put into the layout at once, per process
_LANG = re.compile(r"<html[^>]*\blang=\"([A-Za-z0-9-]+)\"")
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


class Editing:
    """Makes the content of edited mails. Thread-safe."""

    def __init__(self, renderer: RenderPool, partitions: int) -> None:
        self._renderer, self._partitions = renderer, partitions
        self._places = BoundedSemaphore(AT_ONCE)

    def scope(self, conn: Connection, row: Row[Any]) -> dict[str, Any]:
        """What the layout says about the account and the recipient of a mail."""
        profile = profile_of(conn, row.account, self._partitions) or Profile(id=row.account)
        contact = profile.contacts.get(row.contact or "")
        return {
            "account": {**account_document(profile, row.tier or ""), "contacts": []},
            "contact": {**contact_document(contact), "email": row.recipient},
            "owner": owner_document(profile),
            "brand": brand_now(conn),
            "unsubscribe_url": row.rendered.get("unsubscribe_url"),
        }

    def content(self, row: Row[Any], edits: ApproveIn, scope: dict[str, Any]) -> dict[str, Any]:
        """The content of the edited mail. Raises `Invalid`, `RateLimited`."""
        content: dict[str, Any] = row.rendered
        subject = content["subject"] if edits.subject is None else one_line(edits.subject)
        if not subject:
            raise Invalid([FieldError(field="subject", message="should say something")])
        if edits.markdown is None:
            return {**content, "subject": subject, "html": _titled(content, subject)}
        document = {"subject": subject, "markdown": edits.markdown}
        language = _LANG.search(content["html"])
        job = mail_job(document, scope, row.topic, content["from"], None)
        job = msgspec.structs.replace(job, literal=True, lang="" if language is None else language[1])
        with self._place():
            try:
                mail = self._renderer.mail(job)
            except RenderError as error:
                raise Invalid(
                    [FieldError(field="markdown", message=error.message)], code=error.reason
                ) from None
        return {**content, "subject": mail.subject, "html": mail.html, "text": mail.text}

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise RateLimited(f"{AT_ONCE} edited mails are being made already", code="busy")
        try:
            yield
        finally:
            self._places.release()


def _titled(content: dict[str, Any], subject: str) -> str:
    """The HTML with the new subject as its title, if the old one was."""
    html: str = content["html"]
    found = _TITLE.search(html)
    if found is None or unescape(found[1]).strip() != content["subject"]:
        return html
    return html[: found.start(1)] + escape(subject) + html[found.end(1) :]
