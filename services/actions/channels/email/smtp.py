"""The SMTP transport. It sends MAIL, RCPT and DATA itself, so that it knows where a connection broke.

Before the final dot, the server has accepted nothing, and the mail is tried again. From the moment the dot may have
left until the server's answer, the mail may have been accepted: the outcome is `uncertain`, and the mail is never
sent a second time. So a server that hangs or hangs up after the dot gets single mails until it answers one (see
`AdaptiveLimit`); the others wait before their first command, or before the dot, for at most `TURN_S`, and are tried
again later.
"""

import asyncio
import re
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException
from aiosmtplib.protocol import SMTPProtocol

from backbone.setting_checks import is_loopback
from services.actions.channels.base import ChannelTrouble
from services.actions.channels.email.concurrency import AdaptiveLimit, Permit
from services.actions.channels.email.message import Envelope
from services.actions.channels.email.pace import Pace
from services.actions.channels.email.server_health import AFTER_THE_DOT, LOGIN_WANTED, ServerHealth, bare
from services.actions.metrics import show_mail_server
from services.actions.plays.retry_policy import Outcome

CONNECT_S = 20.0
COMMAND_S = 30.0
BODY_S = 120.0  # for the body to go out
TURN_S = 30.0  # for the turn of this mail's dot
VERDICT_S = 300.0  # for the answer to the dot; RFC 5321 asks for ten minutes, but servers give up sooner
LOOK_S = 0.002  # looks at the connection before the dot: no dot goes to a server that hung up during the body
DOTS = 2  # dots under way to a server that answers at once: one there, one on its way
ONE_MORE_S = 0.002  # one more dot for each time that the server's answer takes this long
PATIENCE_S = 0.25  # after this time the next dot goes out, even if the server does not answer; then less and less often
IDLE_S = 25.0  # a connection that was idle for longer is not used again
PER_CONNECTION = 200  # most mails over one connection

_OK, _MORE, _SERVICE_OFF, _REFUSED = 250, 354, 421, 500
_YES, _NO = 2, (4, 5)  # first digits of answers: it is done; refusals, temporary and permanent
_ENHANCED = re.compile(r"^(?:\d{3}[ -])?([245])\.(\d{1,3})\.(\d{1,3})\b")
_UNKNOWN_MAILBOX = (550, 551, 553)
_BROKEN = (SMTPException, OSError, asyncio.TimeoutError, EOFError)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The server in `TOUCHLINE_SMTP_URL`: `smtp[s]://user:password@host:port?starttls=true|false&verify=false`.

    `smtp` upgrades to TLS if the server offers it; `starttls=true` demands TLS, `false` does without. With a password,
    TLS is demanded unless the URL says otherwise, since somebody in between could remove the server's offer. A
    server on this machine may get the password in clear. `ca_file`: a PEM file of authorities; None: the system's.
    """

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool
    starttls: bool | None
    verify: bool
    ca_file: str | None = None

    @classmethod
    def of(cls, url: str, ca_file: str | None = None) -> "SmtpServer":
        """Read the URL; raises `ValueError`."""
        parts = urlsplit(url)
        asked = {name: value.lower() for name, value in parse_qsl(parts.query, keep_blank_values=True)}
        tls = parts.scheme == "smtps"
        starttls = asked["starttls"] not in ("false", "0", "no", "never") if "starttls" in asked else None
        if starttls is None and parts.username and not is_loopback(parts.hostname):
            starttls = True
        port = parts.port or (465 if tls else 587 if parts.username or starttls else 25)
        return cls(
            parts.hostname or "localhost",
            port,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password or "") if parts.username else None,
            tls,
            False if tls else starttls,
            asked.get("verify") not in ("false", "0", "no"),
            ca_file,
        )


class SmtpConnection:
    """A connection to the server."""

    def __init__(self, smtp: SMTP) -> None:
        self.smtp = smtp
        self.mails = 0
        self.used_at = monotonic()

    @property
    def fresh(self) -> bool:
        """Whether the connection can carry another mail, as far as we can see."""
        return self.smtp.is_connected and self.mails < PER_CONNECTION and monotonic() - self.used_at < IDLE_S

    @property
    def protocol(self) -> SMTPProtocol:
        """The protocol below aiosmtplib's client; raises `ConnectionResetError` if it is gone."""
        if self.smtp.protocol is None or not self.smtp.is_connected:
            raise ConnectionResetError("the connection is closed")
        return self.smtp.protocol

    def abort(self) -> None:
        """End the connection at once, and with it whatever waits for an answer."""
        transport = cast("asyncio.WriteTransport | None", self.smtp.transport)  # uvloop's is none by its type
        if transport is not None:
            transport.abort()


class SmtpTransport:
    """Hands mails to one server, over connections that are used again."""

    idempotent, marks_effect = False, True
    # Most connections to the one server, which spreads mails over domains as it sees fit.
    concurrency = per_domain = 40

    def __init__(
        self,
        server: SmtpServer,
        before_effect: Callable[[str], None] = lambda _: None,
        *,
        name: str | None = None,
        now: Callable[[], int] = lambda: 0,
        on_health: Callable[[ChannelTrouble | None], None] = show_mail_server,
        rate: float | None = None,
    ) -> None:
        self._server, self._pace = server, Pace(rate)
        self.health = ServerHealth(now, on_health)
        self.before_effect = before_effect  # called with the action whose final dot is about to go out
        # The limit on mails between the final dot and its answer.
        self.gate = AdaptiveLimit(least=DOTS, step=ONE_MORE_S, patience=PATIENCE_S, most_patience=VERDICT_S)
        self._idle: deque[SmtpConnection] = deque()
        self._name = name or re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost"

    async def prepare(self, action: str, due_at: int, envelope: Envelope) -> "MailTransaction | Outcome":  # noqa: ARG002
        """Get a connection for this mail, once it is its turn; `due_at` matters only to the eml folder."""
        await self._pace.turn()
        try:
            line = self._reused() or await self._connect()
        except SMTPResponseException as error:
            self.health.refused("greeting or login", bare(error.code, error.message))
            return Outcome(kind="temporary", reason="deferred", detail=_said(error.code, error.message))
        except _BROKEN as error:
            self.health.refused("connection", _sentence(error))
            return Outcome(kind="temporary", reason=_why(error), detail=_sentence(error))
        return MailTransaction(self, line, action, envelope)

    async def permit(self) -> Permit:
        """Wait for the turn of a mail's dot. Raises `TimeoutError` if it does not come."""
        try:
            async with asyncio.timeout(TURN_S):
                return await self.gate.enter()
        except TimeoutError:
            raise TimeoutError("the server leaves mails without an answer") from None

    @property
    def trouble(self) -> ChannelTrouble | None:
        """The trouble if the server refuses us."""
        return self.health.trouble

    def _reused(self) -> SmtpConnection | None:
        while self._idle:
            line = self._idle.pop()
            if line.fresh:
                return line
            line.smtp.close()
        return None

    async def _connect(self) -> SmtpConnection:
        server = self._server
        smtp = SMTP(
            hostname=server.host, port=server.port, username=server.user, password=server.password,
            use_tls=server.tls, start_tls=server.starttls, validate_certs=server.verify,
            timeout=COMMAND_S, local_hostname=self._name, cert_bundle=server.ca_file,
        )  # fmt: skip
        try:
            with self.health.listening("connection"):
                async with asyncio.timeout(CONNECT_S):
                    await smtp.connect()
                    await _greet(smtp)
        except BaseException:
            smtp.close()
            raise
        return SmtpConnection(smtp)

    async def again(self, line: SmtpConnection) -> SmtpConnection:
        """A new connection to replace an idle one that turned out to be dead."""
        line.smtp.close()
        return await self._connect()

    def keep(self, line: SmtpConnection) -> None:
        """Give a connection back for the next mail; a dead one is dropped."""
        line.used_at = monotonic()
        if line.smtp.is_connected:
            self._idle.append(line)
        else:
            line.smtp.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection, without waiting long for an answer."""
        while self._idle:
            line = self._idle.pop()
            try:
                async with asyncio.timeout(1):
                    await line.smtp.quit()
            except _BROKEN:
                pass
            finally:
                line.smtp.close()


class MailTransaction:
    """One mail on its way through one connection."""

    def __init__(
        self, transport: SmtpTransport, line: SmtpConnection, action: str, envelope: Envelope
    ) -> None:
        self._transport = transport
        self._line = line
        self._action = action
        self._envelope = envelope
        self._permit: Permit | None = None  # for the dot, once it is given
        self._dotted = False  # once true, the server may have accepted the mail

    async def drop(self) -> None:
        """Give the connection back: nothing has been sent yet."""
        self._transport.keep(self._line)

    async def send(self, begun_at: int) -> Outcome:
        """Send MAIL, RCPT, DATA, the message, the dot."""
        try:
            outcome = await self._submit(begun_at)
        except _BROKEN as error:
            self._line.smtp.close()
            if self._dotted:
                return Outcome(kind="uncertain", reason="maybe_delivered", detail=_sentence(error))
            return Outcome(kind="temporary", reason=_why(error), detail=_sentence(error))
        except BaseException:
            self._line.smtp.close()
            raise
        finally:
            if self._permit is not None and not self._dotted:
                self._permit.give_back()
        self._transport.keep(self._line)
        return outcome

    async def _submit(self, begun_at: int) -> Outcome:
        if self._transport.gate.hangs:
            self._permit = await self._transport.permit()
        refusal = await self._mail()
        if refusal is None:
            refusal = await self._recipient()
        if refusal is None:
            refusal = await self._say(b"DATA", good=_MORE)
        if refusal is None:
            return await self._body(await self._envelope.whole(begun_at))
        try:
            await self._line.smtp.execute_command(b"RSET", timeout=COMMAND_S)
        except _BROKEN:
            self._line.smtp.close()  # the answer stands, whatever became of the connection
        return refusal

    async def _mail(self) -> Outcome | None:
        """Send MAIL FROM; if the connection died while it was idle, send it once more on a new one."""
        reused = self._line.mails > 0 or self._permit is not None
        self._line.mails += 1
        try:
            refusal = await self._from()
            if not (reused and refusal is not None and refusal.detail.startswith(str(_SERVICE_OFF))):
                return refusal
        except _BROKEN:
            if not reused:
                raise
        self._line = await self._transport.again(self._line)
        self._line.mails = 1
        return await self._from()

    async def _from(self) -> Outcome | None:
        smtp, words = self._line.smtp, [b"MAIL", b"FROM:<" + self._envelope.sender.encode() + b">"]
        if self._envelope.utf8:
            if not smtp.supports_extension("smtputf8"):
                return Outcome(
                    kind="permanent", reason="rejected", detail="the server does not take such addresses"
                )
            words.append(b"SMTPUTF8")
        return await self._say(*words)

    async def _recipient(self) -> Outcome | None:
        refusal = await self._say(b"RCPT", b"TO:<" + self._envelope.recipient.encode() + b">")
        if refusal is not None and refusal.kind == "permanent" and _no_such_mailbox(refusal.detail):
            return Outcome(kind="permanent", reason="bounced", detail=refusal.detail)
        return refusal

    async def _say(self, *words: bytes, good: int = _OK) -> Outcome | None:
        """Send a command; None if the answer is the expected one."""
        with self._transport.health.listening(words[0].decode(), COMMAND_S, self._line.abort):
            code, text = await self._line.smtp.execute_command(*words, timeout=None)
        if code == good or code // 10 == good // 10 == 25:
            return None
        if code // 100 not in _NO:
            self._line.smtp.close()  # out of step: the next answer would be taken for another command's
        self._transport.health.answered(words[0].decode(), code, text)
        return _verdict(code, text)

    async def _body(self, message: bytes) -> Outcome:
        protocol = self._line.protocol
        protocol.write(message.replace(b"\n.", b"\n.."))  # it begins with a header
        with self._transport.health.listening("the body", BODY_S, self._line.abort, answers=False):
            await protocol._drain_helper()  # noqa: SLF001  all that stands between us and the socket
        await asyncio.sleep(LOOK_S)
        permit = self._permit = self._permit or await self._transport.permit()
        protocol = self._line.protocol  # raises if the server hung up during the body
        if protocol._buffer:  # noqa: SLF001
            raise ConnectionAbortedError("the server answered what it was not asked")
        self._transport.before_effect(self._action)
        self._dotted = True
        with permit, self._transport.health.listening(AFTER_THE_DOT, VERDICT_S, self._line.abort):
            protocol.write(b".\r\n")
            code, text = await protocol.read_response()
            if code // 100 not in (_YES, *_NO):
                raise SMTPResponseException(code, text)  # as good as no answer
        if code // 100 == _YES:
            self._transport.health.took()
            return Outcome(kind="done", detail=_said(code, text))
        self._transport.health.answered(AFTER_THE_DOT, code, text)
        return _verdict(code, text)


async def _greet(smtp: SMTP) -> None:
    """Send EHLO, which aiosmtplib does only if it logs in or upgrades to TLS."""
    if not smtp.is_ehlo_or_helo_needed:
        return
    try:
        await smtp.ehlo()
    except SMTPHeloError:
        await smtp.helo()


def _verdict(code: int, text: str) -> Outcome:
    if code >= _REFUSED and code not in LOGIN_WANTED:
        return Outcome(kind="permanent", reason="rejected", detail=_said(code, text))
    return Outcome(kind="temporary", reason="deferred", detail=_said(code, text))


def _no_such_mailbox(detail: str) -> bool:
    """Whether a refusal of RCPT means that the address is dead: 5.1.x by RFC 3463, or else 550, 551 and 553."""
    enhanced = _ENHANCED.match(detail)
    if enhanced:
        return enhanced[2] == "1" and enhanced[3] not in ("7", "8")  # those two are about the sender
    return detail[:3].isdigit() and int(detail[:3]) in _UNKNOWN_MAILBOX


def _said(code: int, text: str) -> str:
    return f"{code} {' '.join(text.split())}"[:500]


def _why(error: BaseException) -> str:
    return (
        "timeout" if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__ else "unreachable"
    )


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].removesuffix(": ")
