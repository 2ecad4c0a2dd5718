"""Channel `email`: over SMTP if `TOUCHLINE_SMTP_URL` is set, else to files in `outbox/` in the data folder."""

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from backbone.settings import Settings
from schemas.addresses import BadAddress
from services.actions.channels.base import ChannelContext, ChannelTrouble, Prepared
from services.actions.channels.email.dkim_signature import DkimSigner
from services.actions.channels.email.eml_files import OUTBOX, EmlFolder
from services.actions.channels.email.message import Envelope, build
from services.actions.channels.email.smtp import SmtpServer, SmtpTransport
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome


class Transport(Protocol):
    """A way of handing over messages."""

    idempotent: bool
    marks_effect: bool
    concurrency: int  # how many mails may be under way at once
    per_domain: int  # how many of them may go to one domain

    @property
    def trouble(self) -> ChannelTrouble | None:
        """The trouble that keeps it from handing over any mail."""
        ...

    async def prepare(self, action: str, due_at: int, envelope: Envelope) -> Prepared | Outcome:
        """Do everything that can be done before the message is handed over."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class StagingRecipients:
    """Where a staging system may send mails: the addresses and domains in `only_to` (in lower case; empty: any), and
    the address `instead_to` that gets all mails instead."""

    only_to: frozenset[str] = frozenset()
    instead_to: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "StagingRecipients":
        """What the settings say."""
        return cls(frozenset(settings.mail_only_to), settings.mail_instead_to)

    def lets(self, address: str) -> bool:
        """Whether mails to this address are sent."""
        small = address.strip().lower()
        return not self.only_to or small in self.only_to or small.rpartition("@")[2] in self.only_to

    def redirected(self, content: dict[str, Any]) -> dict[str, Any]:
        """The content to send. If another address replaces the recipient, its name says whom the mail was for."""
        if self.instead_to is None:
            return content
        meant = content.get("to")
        name = meant.get("email") if isinstance(meant, dict) else None
        return {**content, "to": {"name": name, "email": self.instead_to}}


class EmailChannel:
    """Sends mails, built from the content that was rendered when the step ran."""

    independent = False  # one server takes all mails, whatever their domain

    def __init__(
        self,
        transport: Transport,
        return_path: str,
        staging: StagingRecipients = StagingRecipients(),
        signer: DkimSigner | None = None,
    ) -> None:
        self._transport, self._return_path, self._staging = transport, return_path, staging
        self._sign = None if signer is None else signer.signed
        self.idempotent, self.marks_effect = transport.idempotent, transport.marks_effect
        self.concurrency, self.per_key = transport.concurrency, transport.per_domain

    @property
    def trouble(self) -> ChannelTrouble | None:
        """The trouble of the transport."""
        return self._transport.trouble

    def concurrency_key(self, action: Leased) -> str:
        """The recipient's domain."""
        return (action.recipient or "").rpartition("@")[2].lower()

    def places(self, key: str) -> int:  # noqa: ARG002
        """The same for all."""
        return self.per_key

    async def prepare(self, action: Leased) -> Prepared | Outcome:
        """Build the message and get a connection for it."""
        if not self._staging.lets(action.recipient or ""):
            return Outcome(kind="skipped", reason="not_on_list")
        try:
            content = self._staging.redirected(action.rendered)
            mailing = mailing_of(action.playbook, action.step, action.topic)
            envelope = build(action.id, content, self._return_path, mailing)
        except BadAddress as error:
            return Outcome(kind="permanent", reason="invalid_address", detail=str(error))
        if self._sign is not None:
            envelope = msgspec.structs.replace(envelope, sign=self._sign)
        return await self._transport.prepare(action.id, action.due_at, envelope)

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()


def mailing_of(playbook: str, step: str, topic: str) -> list[str]:
    """The words by which mail providers tell mails of this kind from others; a mail of no play has none."""
    return [playbook, step, topic] if playbook else []


def email_channel(context: ChannelContext) -> EmailChannel:
    """The channel that the settings ask for."""
    settings = context.settings
    staging = StagingRecipients.of(settings)
    signer = DkimSigner.of(settings)
    if settings.smtp_url is None:
        return EmailChannel(EmlFolder(settings.data_dir / OUTBOX), settings.envelope_sender, staging, signer)
    ca_file = None if settings.smtp_ca_file is None else str(settings.smtp_ca_file)
    server = SmtpServer.of(settings.smtp_url.get_secret_value(), ca_file)
    transport = SmtpTransport(
        server,
        context.before_effect,
        name=settings.smtp_ehlo,
        now=context.now,
        on_health=context.on_health,
        rate=settings.smtp_rate,
    )
    return EmailChannel(transport, settings.envelope_sender, staging, signer)
