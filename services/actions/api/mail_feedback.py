"""`POST /v1/mail/feedback/…`: bounces and complaints, as providers and mail servers report them.

Who calls is told by an API key of scope `feedback`, or by the provider's signature where its key is set.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers

from backbone.public_keys import elliptic_key
from backbone.settings import Settings
from backbone.thread_pool import ThreadPool
from backbone.web.api_keys import FEEDBACK, Principal, require
from backbone.web.app import json_response
from backbone.web.bodies import NotJson, parse_json
from backbone.web.body_budget import SignatureCheck, may_be_signed
from backbone.web.raw_route import RawRoute
from schemas.mail_feedback import FeedbackOut
from services.actions.feedback import mailgun, postmark, report_mail, sendgrid, ses
from services.actions.feedback.examples import EXAMPLES
from services.actions.feedback.report import MailReport, Reports
from services.actions.feedback.signatures import Unsigned, is_sendgrids, mailguns_token
from services.actions.feedback.sns import Fetch, SnsTopics
from services.actions.metrics import MAIL_REPORTS, MAILS_RETURNED
from services.actions.plays.mail_reports import ReportKind
from services.actions.storage.mail_reports import ReportBook, StillSending

PATH = "/v1/mail/feedback/"
SIGNED = ""  # the id of a caller's key where a signature stands in for it
_JSON = "application/json"  # for the OpenAPI page, and so is the next; any content type is read
_MAIL = "application/octet-stream"
_NONE = "no API key, and no signature that fits"


@dataclass(frozen=True, slots=True)
class Provider:
    """A way by which reports come. `read`: the reports in a body. `about`: what to send, for the OpenAPI page.

    `signature`: says who has signed a body, where one can.
    """

    name: str
    read: Callable[[bytes], Reports]
    media: str
    about: str
    signature: Callable[[Headers, bytes], None] | None = None


class _Desk:
    """Reads reports and writes them, in threads of its own."""

    def __init__(self, book: ReportBook, changed: Callable[[], None]) -> None:
        self._book, self._changed = book, changed

    def take(self, provider: Provider, body: bytes) -> dict[str, int]:
        """Write all reports in a body; each in a transaction of its own, so that none takes others with it."""
        found = list(provider.read(body))
        about = [one for one in found if one is not None]
        mails = self._book.mails([one.action for one in about])
        matched, still = 0, None
        for one in about:
            if one.action in mails:
                try:
                    matched += self._write(one, *mails[one.action], provider.name)
                except StillSending as error:  # the others are written before it is said
                    still = error
        if about:
            self._changed()
        if still is not None:
            raise still
        return {"matched": matched, "unknown": len(found) - matched}

    def _write(self, report: MailReport, recipient: str, known: frozenset[str], provider: str) -> bool:
        MAIL_REPORTS.labels(provider, report.kind.value).inc()
        if report.kind == ReportKind.NO_MATTER or report.kind.value in known:
            return True
        new = self._book.write(report, recipient, provider)
        if new:
            MAILS_RETURNED.labels(report.kind.value).inc()
        return new is not None


def router(book: ReportBook, settings: Settings, changed: Callable[[], None], fetch: Fetch) -> APIRouter:
    """The routes. `changed` is called when records were put into the outbox; `fetch` gets what SNS refers to."""
    routes = APIRouter(tags=["mail"], route_class=RawRoute)
    desk = _Desk(book, changed)
    # Apart, for a signature may wait for Amazon, and reports wait for sends.
    reading, checking = ThreadPool("feedback", 4), ThreadPool("signatures", 4)
    for one in _providers(book, settings, fetch):
        _add(routes, one, desk, reading, checking)
    return routes


def _providers(book: ReportBook, settings: Settings, fetch: Fetch) -> Iterable[Provider]:
    topics = SnsTopics(settings.ses_topics, fetch, book.clock.now)
    yield Provider(
        "ses", partial(_opened, topics), _JSON,
        "A message of Amazon SNS about SES: a notification, or the confirmation of a subscription, which is confirmed. "
        "It is taken from the topics that `TOUCHLINE_SES_TOPICS` names, by their signature.",
        lambda _, body: topics.check(body),
    )  # fmt: skip
    yield Provider(
        "sendgrid", partial(_of_json, sendgrid.reports), _JSON,
        "A call of SendGrid's event webhook: a list of events. Its signature is enough where "
        "`TOUCHLINE_SENDGRID_PUBLIC_KEY` is set.",
        None if settings.sendgrid_public_key is None else _sendgrid(settings.sendgrid_public_key),
    )  # fmt: skip
    yield Provider(
        "postmark", partial(_of_json, postmark.reports), _JSON,
        "A call of Postmark's webhooks for bounces and spam complaints.",
    )  # fmt: skip
    yield Provider(
        "mailgun", partial(_of_json, mailgun.reports), _JSON,
        "A call of Mailgun's webhooks. Its signature is enough where `TOUCHLINE_MAILGUN_SIGNING_KEY` is set, for "
        "five minutes, and for this one body.",
        None if settings.mailgun_signing_key is None
        else _mailgun(book, settings.mailgun_signing_key.get_secret_value()),
    )  # fmt: skip
    mail = "The mail as it came, with its headers. `touchline mail-feedback` sends it here."
    yield Provider("rfc3464", report_mail.reports, _MAIL, f"A delivery status notification. {mail}")
    yield Provider("rfc5965", report_mail.reports, _MAIL, f"A complaint of a feedback loop. {mail}")


def _add(
    routes: APIRouter, provider: Provider, desk: _Desk, reading: ThreadPool, checking: ThreadPool
) -> None:
    async def serve(request: Request, principal: Principal = require(FEEDBACK)) -> Response:  # noqa: ARG001
        return json_response(await reading(desk.take, provider, await request.body()))

    if provider.signature is not None:
        may_be_signed(_check(provider.signature, provider.name, checking))(serve)
    routes.post(
        PATH + provider.name,
        name=f"feedback_{provider.name}",
        response_model=FeedbackOut,
        summary=f"Report bounces and complaints ({provider.name})",
        description=f"{provider.about} The key may be the user name of basic auth. A report that is about no "
        "mail of ours, or cannot be read, is counted as unknown and changes nothing.",
        operation_id=f"feedback_{provider.name}",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    provider.media: {"schema": _schema(provider.media), "example": EXAMPLES[provider.name]}
                },
            }
        },
    )(serve)


def _schema(media: str) -> dict[str, Any]:
    return {} if media == _JSON else {"type": "string", "format": "binary"}


def _check(check: Callable[[Headers, bytes], None], name: str, pool: ThreadPool) -> SignatureCheck:
    async def caller(headers: Headers, body: bytes) -> Principal:
        await pool(check, headers, body)
        return Principal(SIGNED, f"signature of {name}", frozenset({FEEDBACK}))

    return caller


def _sendgrid(text: str) -> Callable[[Headers, bytes], None]:
    key = elliptic_key(text)

    def check(headers: Headers, body: bytes) -> None:
        if not is_sendgrids(key, headers, body):
            raise Unsigned(_NONE)

    return check


def _mailgun(book: ReportBook, key: str) -> Callable[[Headers, bytes], None]:
    def check(_: Headers, body: bytes) -> None:
        try:
            token = mailguns_token(key, parse_json(body), book.clock.now())
        except NotJson:
            token = None
        if token is None or not book.accept_token(token, body):
            raise Unsigned(_NONE)

    return check


def _of_json(read: Callable[[object], Reports], body: bytes) -> Reports:
    return read(parse_json(body))


def _opened(topics: SnsTopics, body: bytes) -> Reports:
    message = topics.opened(body)
    return iter(()) if message is None else ses.reports(message)
