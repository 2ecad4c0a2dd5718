"""The mail server as a whole: what it must not hear, the name it is greeted with, and being refused by it."""

import asyncio
import logging
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosmtpd.smtp
import pytest
from prometheus_client import REGISTRY

from services.actions.channels.email.smtp import SmtpServer, SmtpTransport
from services.actions.plays.retry_policy import Outcome
from tests.conformance.certificates import make_certificates
from tests.unit.channels.helpers import RETURN_PATH, Server, deliver, leased
from tests.unit.channels.test_smtp import EmailChannel, Scripted

LOGIN = {"auth": "235 welcome", "ehlo": "250-mx\r\n250 AUTH PLAIN"}


def server_of(port: int, **changes: Any) -> SmtpServer:
    return replace(SmtpServer.of(f"smtp://127.0.0.1:{port}"), **changes)


async def sent(transport: SmtpTransport) -> Outcome:
    return await deliver(EmailChannel(transport, RETURN_PATH), leased())


def refuses() -> float | None:
    return REGISTRY.get_sample_value("touchline_mail_server_refuses")


async def test_no_password_in_clear(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sits in between leaves out the offer of TLS: the password stays here."""
    script = Scripted(say=LOGIN)
    async with Server(script) as server:
        asked = SmtpServer.of(f"smtp://u:hunter2@mail.test:{server.port}")
        transport = SmtpTransport(replace(asked, host="127.0.0.1"))
        outcome = await sent(transport)
        await transport.close()
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")
    assert "STARTTLS" in outcome.detail
    assert not [line for line in script.commands if line.lower().startswith(("auth", "mail"))]
    assert "hunter2" not in outcome.detail + caplog.text
    assert transport.trouble is not None
    assert "STARTTLS" in transport.trouble.detail


@pytest.mark.parametrize("allowed", ["?starttls=false", ""])
async def test_a_password_in_clear_where_it_is_allowed(allowed: str) -> None:
    """By the setting; or to this machine itself."""
    script = Scripted(say=LOGIN)
    async with Server(script) as server:
        host = "mail.test" if allowed else "127.0.0.1"
        asked = SmtpServer.of(f"smtp://u:hunter2@{host}:{server.port}{allowed}")
        transport = SmtpTransport(replace(asked, host="127.0.0.1"))
        assert (await sent(transport)).kind == "done"
        await transport.close()
    assert any(line.startswith("AUTH PLAIN") for line in script.commands)


@pytest.mark.parametrize(("name", "greeted"), [("mail.us.test", "mail.us.test"), (None, "")])
async def test_the_name_it_is_greeted_with(name: str | None, greeted: str) -> None:
    script = Scripted()
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port), name=name)
        await sent(transport)
        await transport.close()
    assert script.commands[0].upper().startswith("EHLO ")
    assert greeted in script.commands[0]


@pytest.mark.parametrize(
    ("authority", "kind"), [("authority", "done"), ("stranger", "temporary"), (None, "temporary")]
)
async def test_whose_certificates_are_believed(tmp_path: Path, authority: str | None, kind: str) -> None:
    made = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.broker)
    loop = asyncio.get_running_loop()
    mx = await loop.create_server(
        lambda: aiosmtpd.smtp.SMTP(Taker(), tls_context=context, require_starttls=True, loop=loop),
        "127.0.0.1",
        0,
    )
    ca_file = str(getattr(made, authority)) if authority else None
    transport = SmtpTransport(server_of(mx.sockets[0].getsockname()[1], starttls=True, ca_file=ca_file))
    outcome = await sent(transport)
    await transport.close()
    mx.close()
    assert outcome.kind == kind, outcome


class Taker:
    """Takes every mail."""

    async def handle_DATA(self, *_: Any) -> str:  # noqa: N802
        return "250 taken"


@pytest.mark.parametrize(
    ("phase", "said", "kind"),
    [
        ("banner", "554 go away", "temporary"),
        ("ehlo", "550 not you", "temporary"),
        ("auth", "535 5.7.8 bad credentials of jo@us.test", "temporary"),
        ("mail", "530 5.7.0 log in first", "temporary"),
        ("mail", "550 5.7.1 you may not send as jo@us.test", "permanent"),
        ("rcpt", "554 5.7.1 <ann@acme.test>: Relay access denied", "permanent"),
        ("dot", "535 5.7.8 no", "temporary"),
    ],
)
async def test_a_server_that_refuses_us_is_seen(
    phase: str, said: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    script = Scripted(
        say={**LOGIN, "helo": "550 no", phase: said} if phase == "auth" else {"helo": "550 no", phase: said}
    )
    async with Server(script) as server:
        login = {"user": "u", "password": "p"} if phase == "auth" else {}
        transport = SmtpTransport(server_of(server.port, **login))
        for _ in range(3):
            assert (await sent(transport)).kind == kind
        assert transport.trouble is not None
        assert said[:3] in transport.trouble.detail
        assert refuses() == 1
        assert caplog.text.count("the mail server refuses us") == 1
        assert "acme.test" not in caplog.text + transport.trouble.detail
        assert "jo@us.test" not in caplog.text + transport.trouble.detail
        script.say = {}
        transport._server = server_of(server.port)
        assert (await sent(transport)).kind == "done"
        await transport.close()
    assert (transport.trouble, refuses()) == (None, 0)
    assert caplog.text.count("takes mails again") == 1


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("rcpt", "550 5.1.1 no such user"),
        ("rcpt", "450 4.2.1 greylisted"),
        ("rcpt", "552 5.2.2 mailbox full"),
        ("dot", "550 5.6.0 cannot be read"),
        ("dot", "451 try again"),
    ],
)
async def test_a_refusal_for_the_recipient_s_sake_is_no_trouble(phase: str, said: str) -> None:
    async with Server(Scripted(say={phase: said})) as server:
        transport = SmtpTransport(server_of(server.port))
        assert (await sent(transport)).kind != "done"
        await transport.close()
    assert (transport.trouble, refuses()) == (None, 0)


async def test_nobody_listens() -> None:
    async with Server(Scripted()) as server:
        port = server.port
    transport = SmtpTransport(server_of(port))
    assert (await sent(transport)).reason == "unreachable"
    assert transport.trouble is not None
    assert transport.trouble.detail.startswith("connection: ")
