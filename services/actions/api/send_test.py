"""`POST /v1/templates/{name}/send-test`: a template, as an account would get it, to somebody who wants to see it."""

import secrets
import time
from collections import deque
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import BadGateway, RateLimited, StateConflict
from backbone.settings import Settings
from backbone.telemetry import get_logger
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import JsonRoute, example
from schemas.account import Email
from schemas.answers import Answer
from services.actions.api.preview import EXAMPLE as PREVIEW_EXAMPLE
from services.actions.api.preview import Drawn, PreviewIn, Previews
from services.actions.channels.email.one_mail import send_one
from services.actions.storage.suppressions import ALL_TOPICS, Hasher, suppressed

AT_ONCE = 2  # per process: each holds a thread until the mail server has answered
PER_MINUTE = 20  # of one key, per process
WINDOW_S = 60.0
EXAMPLE = {"to": "jo@us.test", **PREVIEW_EXAMPLE}

_REFUSED: dict[int | str, dict[str, Any]] = {
    502: {
        "description": "The mail server did not take the mail. `detail` is its answer.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
}

log = get_logger("touchline.mail")


class SendTestIn(PreviewIn):
    """To whom to send the template, and for which account, contact and trigger it is filled in."""

    to: Email = Field(description="The address that gets the mail.", examples=["jo@us.test"])


class SentTestOut(Answer):
    """The test mail was handed over."""

    to: str
    subject: str
    message_id: str = Field(
        description="The mail's Message-ID.", examples=["<test-0123456789abcdef@us.test>"]
    )
    detail: str = Field(
        description="The mail server's answer, or the name of the file in `outbox/`.",
        examples=["250 2.0.0 queued"],
    )


class Pace:
    """How many test mails a key may send in a minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sent: dict[str, deque[float]] = {}

    def take(self, key: str, now: float) -> None:
        """Count one. Raises `RateLimited`."""
        with self._lock:
            for other, times in list(self._sent.items()):
                while times and times[0] <= now - WINDOW_S:
                    times.popleft()
                if not times:
                    del self._sent[other]
            mine = self._sent.setdefault(key, deque())
            if len(mine) >= PER_MINUTE:
                wait = mine[0] + WINDOW_S - now
                raise RateLimited(f"{PER_MINUTE} test mails a minute are enough", retry_after=wait)
            mine.append(now)


def router(
    previews: Previews, settings: Settings, db: Database, clock: Clock, hasher: Hasher, link: str
) -> APIRouter:
    """The route. `link` stands in for the one to unsubscribe, and changes nothing."""
    routes = APIRouter(tags=["templates"], route_class=JsonRoute)
    places, pace = BoundedSemaphore(AT_ONCE), Pace()

    def check(address: str) -> None:
        with db.read() as connection:
            if suppressed(connection, [(hasher.digest(address), ALL_TOPICS)]):
                raise StateConflict("the address is suppressed for all topics", code="suppressed")

    @routes.post(
        "/v1/templates/{name}/send-test",
        response_model=SentTestOut,
        responses=_REFUSED,
        summary="Send a template to an address to look at it",
    )
    def send(
        name: Annotated[str, Path(min_length=1, max_length=256)],
        model: Annotated[SendTestIn, example(EXAMPLE)],
        principal: Principal = require("actions:write"),
    ) -> Response:
        """The mail is what the contact would get, in their variant, and goes out at once, even while sending is off.
        It makes no action, no cap counts it, and its link to unsubscribe changes nothing. The settings for staging
        hold. An address that is suppressed for all topics gets none.
        """
        check(model.to)
        pace.take(principal.key_id, time.monotonic())
        drawn = previews.draw(name, model)
        if not places.acquire(blocking=False):
            raise RateLimited(f"{AT_ONCE} test mails are under way already", code="busy")
        try:
            test = f"test-{secrets.token_hex(8)}"
            outcome = send_one(settings, test, _content(drawn, model.to, link), clock.now())
        finally:
            places.release()
        log.info(
            "a test mail", template=name, key=principal.name, outcome=outcome.kind, reason=outcome.reason
        )
        if outcome.kind == "skipped":
            raise StateConflict("TOUCHLINE_MAIL_ONLY_TO does not name this address", code="not_on_list")
        if outcome.kind != "done":
            raise BadGateway(outcome.detail or str(outcome.reason), code="not_sent")
        domain = str(drawn.sender.get("email")).rpartition("@")[2]
        said = {
            "to": model.to,
            "subject": drawn.mail.subject,
            "message_id": f"<{test}@{domain}>",
            "detail": outcome.detail,
        }
        return json_response(said)

    return routes


def _content(drawn: Drawn, to: str, link: str) -> dict[str, Any]:
    """What is sent, as `message.build` reads it."""
    mail, owner = drawn.mail, drawn.owner
    return {
        "subject": mail.subject,
        "html": mail.html,
        "text": mail.text,
        "to": {"name": None, "email": to},
        "from": drawn.sender,
        "reply_to": owner if owner.get("email") else None,
        "unsubscribe_url": link,
        "topic": "test",
    }
