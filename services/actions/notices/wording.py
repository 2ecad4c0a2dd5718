"""A notice as a mail and as a webhook. Pure."""

from html import escape
from typing import Any, Literal

import msgspec

from backbone.notices import Notice
from schemas.event import rfc3339
from schemas.notices import advice, sentence

Phase = Literal["raised", "over"]


class NoticeMessage(msgspec.Struct, frozen=True):
    """One message: a notice that was raised, or that is over, and the way it goes."""

    notice: Notice
    phase: Phase
    way: str  # a channel

    @property
    def id(self) -> str:
        """The same at every attempt, and of this installation alone."""
        return f"{self.notice.id}-{self.phase}"

    @property
    def text(self) -> str:
        """What it says, in a sentence."""
        said = sentence(self.notice.kind, self.notice.object, over=self.phase == "over")
        detail = f": {self.notice.detail}" if self.notice.detail and self.phase == "raised" else ""
        return f"{said}{detail}"


def mail(message: NoticeMessage, sender: dict[str, Any], to: str, where: str) -> dict[str, Any]:
    """The content of the mail, as `email.message.build` reads it. `where`: the address of this installation."""
    lines = [f"{message.text}.", *_when(message), f"Touchline at {where}."]
    if message.phase == "raised":
        lines.insert(1, advice(message.notice.kind, message.notice.object))
    subject = sentence(message.notice.kind, message.notice.object, over=message.phase == "over")
    return {
        "subject": f"[Touchline] {subject}",
        "text": "\n\n".join(lines) + "\n",
        "html": "".join(f"<p>{escape(line)}</p>" for line in lines),
        "to": {"name": None, "email": to},
        "from": sender,
        "reply_to": None,
        "unsubscribe_url": None,
    }


def webhook(message: NoticeMessage, where: str) -> dict[str, Any]:
    """The body of the webhook. Chat systems show `text`."""
    notice = message.notice
    return {
        "type": "touchline.notice",
        "id": notice.id,
        "kind": str(notice.kind),
        "object": notice.object,
        "status": message.phase,
        "text": message.text,
        "detail": notice.detail,
        "raised_at": rfc3339(notice.raised_at),
        "over_at": None if notice.over_at is None else rfc3339(notice.over_at),
        "touchline": where,
    }


def _when(message: NoticeMessage) -> list[str]:
    since = rfc3339(message.notice.raised_at)
    if message.notice.over_at is None:
        return [f"Since {since}."]
    return [f"From {since} to {rfc3339(message.notice.over_at)}."]
