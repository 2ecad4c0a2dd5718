"""A mail server that says nothing, from any point on: it is seen, and no mail is lost or sent twice."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from services.actions.channels.email import server_health
from services.actions.channels.email import smtp as module
from services.actions.channels.email.smtp import SmtpTransport
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import RETURN_PATH, Server, deliver, leased, mail
from tests.unit.channels.test_mail_server import server_of
from tests.unit.channels.test_smtp import EmailChannel, Scripted

BEFORE_THE_DOT = ("banner", "ehlo", "mail", "rcpt", "data")
SILENT_S, PATIENCE_S = 0.05, 0.3


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The same waits, shorter: a server is silent long before its time is over."""
    monkeypatch.setattr(server_health, "SILENT_S", SILENT_S)
    for name in ("CONNECT_S", "COMMAND_S", "BODY_S", "VERDICT_S"):
        monkeypatch.setattr(module, name, PATIENCE_S)
    caplog.set_level(logging.INFO)
    server_health.MAIL_SERVER_SILENT.set(0)
    yield
    server_health.MAIL_SERVER_SILENT.set(0)


class Silent(Scripted):
    """Says nothing from a phase on, and keeps the connection, until `heal` is called. `body`: it stops reading."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self.phase, self.healed = phase, asyncio.Event()

    def heal(self) -> None:
        self.phase = ""
        self.healed.set()

    async def answer(self, writer: asyncio.StreamWriter, phase: str, good: str) -> bool:
        if phase == self.phase:
            await self.healed.wait()
            return True
        return await super().answer(writer, phase, good)

    async def body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.phase == "body":
            await self.healed.wait()
            return True
        return await super().body(reader, writer)


async def sent(transport: SmtpTransport, action: str = "act_1", **content: str) -> Outcome:
    channel = EmailChannel(transport, RETURN_PATH)
    return await deliver(channel, leased(action, rendered=mail(**content)))


def silent() -> float | None:
    return REGISTRY.get_sample_value("touchline_mail_server_silent")


async def until(what: bool | None, transport: SmtpTransport) -> None:
    """Wait until the server is seen to be silent (True), or heard again."""
    async with asyncio.timeout(10):
        while (transport.trouble is not None) != what:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("phase", BEFORE_THE_DOT)
async def test_before_the_dot_the_mail_is_tried_again(phase: str, caplog: pytest.LogCaptureFixture) -> None:
    script = Silent(phase)
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        under_way = asyncio.create_task(sent(transport))
        await until(True, transport)
        assert not under_way.done(), "it is seen while the mail still waits"
        assert silent() == 1
        assert transport.trouble is not None
        assert "no answer for" in transport.trouble.detail
        outcome = await under_way
        assert (outcome.kind, outcome.reason) == ("temporary", "timeout")
        assert transport.health._refusal is not None, "a server that hangs is as good as one that refuses"
        assert script.accepted == []
        script.heal()
        assert (await sent(transport, "act_2")).kind == "done"
        await transport.close()
    assert (silent(), transport.trouble, len(script.accepted)) == (0, None, 1)
    assert caplog.text.count("the mail server does not answer") == 1
    assert caplog.text.count("the mail server answers again") == 1
    assert "acme.test" not in caplog.text


async def test_after_the_dot_the_mail_is_in_doubt_and_stays_so() -> None:
    script = Silent("dot")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        under_way = asyncio.create_task(sent(transport))
        await until(True, transport)
        assert silent() == 1
        outcome = await under_way
        assert (outcome.kind, outcome.reason) == ("uncertain", "maybe_delivered")
        script.heal()
        assert (await sent(transport, "act_2")).kind == "done"
        await transport.close()
    assert (silent(), transport.trouble) == (0, None)


async def test_a_server_that_stops_reading_is_seen_too() -> None:
    """The body is longer than what the sockets in between take."""
    script = Silent("body")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        under_way = asyncio.create_task(sent(transport, text="x" * 60_000_000))
        await until(True, transport)
        assert silent() == 1
        outcome = await under_way
        assert (outcome.kind, outcome.reason) == ("temporary", "timeout")
        script.heal()
        assert (await sent(transport, "act_2")).kind == "done"
        await transport.close()
    assert (silent(), transport.trouble) == (0, None)


async def test_that_it_takes_what_we_send_is_no_answer() -> None:
    """A short body is gone at once; the server that says nothing to it, nor to another mail, stays silent."""
    script = Silent("dot")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        first = asyncio.create_task(sent(transport))
        await until(True, transport)
        script.phase = "banner"
        assert (await sent(transport, "act_2")).kind == "temporary"
        assert silent() == 1
        script.heal()
        await first
        await transport.close()


async def test_it_is_seen_though_another_mail_was_answered_after_the_silent_one_began() -> None:
    """The other one is over, and nobody asks the server anything more."""
    script = Silent("")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        with transport.health.listening("RCPT"):
            assert (await sent(transport)).kind == "done"
            await until(True, transport)
        await transport.close()
    assert (silent(), transport.trouble) == (0, None)


async def test_one_slow_mail_is_no_silence_while_others_are_answered() -> None:
    script = Silent("")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        ready = await EmailChannel(transport, RETURN_PATH).prepare(leased("act_1"))
        assert not isinstance(ready, Outcome)
        with transport.health.listening("RCPT"):
            async with asyncio.timeout(10):
                begun = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() < begun + 3 * SILENT_S:
                    assert (await sent(transport, "act_2")).kind == "done"
        assert (silent(), transport.trouble) == (0, None)
        await ready.drop()
        await transport.close()
