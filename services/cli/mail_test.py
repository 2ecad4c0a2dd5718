"""`touchline mail-test`: sends a mail with the settings of this machine, or a template with those of the server."""

import secrets
from email.utils import parseaddr
from urllib.parse import quote, urlsplit

import typer

from backbone.clock import WallClock
from backbone.errors import ConfigurationError
from backbone.settings import Settings, load_settings
from schemas.addresses import BadAddress, valid_address
from services.actions.channels.email.one_mail import send_one
from services.actions.rendering import MailJob, RenderPool
from services.actions.unsubscribe_token import preview_link
from services.cli.client import Client

SUBJECT = "Touchline can send mail"
TEXT = """\
This is a test mail from Touchline.

If you read it in your inbox and not among spam, mail works. Your mail program can show the whole message, with its
headers: look for `spf=pass`, `dkim=pass` and `dmarc=pass` in `Authentication-Results`.
"""


def mail_test(address: str, template: str | None, account: str | None, contact: str | None) -> int:
    """Send the mail and say what became of it. Returns the exit status."""
    try:
        valid_address(address)
    except BadAddress as error:
        raise ConfigurationError(f"{address!r} is no address: {error}") from None
    if template is None:
        if account or contact:
            raise ConfigurationError("--account and --contact are for a --template")
        return _own(load_settings(), address)
    if account is None:
        raise ConfigurationError("a template is filled in for an account: give --account")
    body = {"to": address, "account": account} | ({"contact": contact} if contact else {})
    sent = Client().call("POST", f"/v1/templates/{quote(template, safe='')}/send-test", body)
    typer.echo(f"sent to {sent['to']}: {sent['subject']}\n{sent['message_id']} {sent['detail']}")
    return 0


def _own(settings: Settings, address: str) -> int:
    pool = RenderPool()
    try:
        name, sender = parseaddr(settings.sender)
        link = preview_link(settings.base_url)
        context = {"contact": {"email": address}, "unsubscribe_url": link}
        mail = pool.mail(MailJob(subject=SUBJECT, markdown=TEXT, context=context, topic="test"))
    finally:
        pool.close()
    content = {
        "subject": mail.subject,
        "html": mail.html,
        "text": mail.text,
        "to": {"name": None, "email": address},
        "from": {"name": name or None, "email": sender},
        "reply_to": None,
        "unsubscribe_url": link,
        "topic": "test",
    }
    typer.echo(f"from {settings.sender} to {address}, {_way(settings)}")
    outcome = send_one(settings, f"test-{secrets.token_hex(8)}", content, WallClock().now())
    if outcome.reason == "not_on_list":
        typer.echo("not sent: TOUCHLINE_MAIL_ONLY_TO does not name this address", err=True)
        return 1
    said = outcome.detail or str(outcome.reason)
    typer.echo(f"sent: {said}" if outcome.kind == "done" else f"not sent: {said}", err=outcome.kind != "done")
    return 0 if outcome.kind == "done" else 1


def _way(settings: Settings) -> str:
    selector, domain = settings.dkim_selector, settings.dkim_domain
    signed = (
        "not signed by us" if selector is None else f"signed with the key of {selector}._domainkey.{domain}"
    )
    if settings.smtp_url is None:
        return f"to a file in outbox/ (TOUCHLINE_SMTP_URL is not set), {signed}"
    parts = urlsplit(settings.smtp_url.get_secret_value())
    return f"through {parts.hostname}{f':{parts.port}' if parts.port else ''}, {signed}"
