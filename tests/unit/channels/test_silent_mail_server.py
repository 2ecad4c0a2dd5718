"""A mail server that says nothing, from any point on: it is seen, and no mail is lost or sent twice."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
import uvloop
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
    for name in ("CONNECT_S", "COMMAND_S", "BODY_S", "TURN_S", "VERDICT_S"):
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


async def given_up(how: Exception | None, *, answers: bool) -> None:
    """A wait that is given up, and ends like this."""
    over = asyncio.Event()
    with server_health.ServerHealth(lambda: 0).listening("RCPT", 0.01, over.set, answers=answers):
        async with asyncio.timeout(10):
            await over.wait()
        if how is not None:
            raise how


async def test_a_wait_that_is_given_up_is_a_timeout_unless_there_is_an_answer() -> None:
    await given_up(None, answers=True)  # it came at the last moment
    with pytest.raises(TimeoutError, match=r"no answer for 0\.01 s"):
        await given_up(None, answers=False)
    with pytest.raises(TimeoutError, match=r"no answer for 0\.01 s"):
        await given_up(ConnectionError("closed"), answers=True)


@pytest.mark.parametrize("phase", [*BEFORE_THE_DOT, "body", "dot"])
def test_every_wait_ends_on_the_loop_that_we_deliver_with(phase: str) -> None:
    async def outcome() -> Outcome:
        script = Silent(phase)
        async with Server(script) as server:
            transport = SmtpTransport(server_of(server.port))
            try:
                return await sent(transport, text="x" * 60_000_000 if phase == "body" else "x")
            finally:
                script.heal()
                await transport.close()

    ended = uvloop.run(outcome())
    assert ended.kind == ("uncertain" if phase == "dot" else "temporary")
    assert phase == "dot" or ended.reason == "timeout"


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


MAILS, A_FEW = 40, 8  # as many as there are connections; the ninth would have to wait for minutes
Tasks = list[asyncio.Task[Outcome]]


@pytest.fixture
def tires_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs gets a second mail after 10 ms, a third after 40 ms more, then after 160 ms, …"""
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    for name in ("CONNECT_S", "COMMAND_S", "BODY_S", "VERDICT_S"):
        monkeypatch.setattr(module, name, 60.0)


async def in_vain(transport: SmtpTransport, script: Silent, name: str) -> Tasks:
    """Send many mails at once to a server that hangs after the dot; returns those that got so far.

    All others are given up, to be tried again.
    """
    before = len(script.accepted)
    mails = [asyncio.create_task(sent(transport, f"act_{name}_{n}")) for n in range(MAILS)]
    async with asyncio.timeout(30):
        while sum(one.done() for one in mails) + len(script.accepted) - before < MAILS:
            await asyncio.sleep(0.005)
    given_up = Counter((one.result().kind, one.result().reason) for one in mails if one.done())
    stuck = [one for one in mails if not one.done()]
    assert given_up == {("temporary", "timeout"): MAILS - len(stuck)}
    return stuck


async def all_sent(transport: SmtpTransport, name: str) -> bool:
    """Whether the server takes many mails at once, without one that has to be tried again."""
    mails = (sent(transport, f"act_{name}_{n}") for n in range(MAILS))
    return {outcome.kind for outcome in await asyncio.gather(*mails)} == {"done"}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.usefixtures("tires_soon")
async def test_a_server_that_hangs_after_the_dot_gets_few_mails(known: bool) -> None:
    script = Silent("dot")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        if known:
            script.phase = ""
            for n in range(20):  # one after the other, so that it is known to be quick
                assert (await sent(transport, f"act_before_{n}")).kind == "done"
            script.phase = "dot"
        at_once = transport.gate.room
        stuck = await in_vain(transport, script, "first")
        assert 1 <= len(stuck) <= at_once + A_FEW
        before = script.commands.count("DATA")
        later = [await in_vain(transport, script, f"round{n}") for n in range(3)]
        assert sum(len(more) for more in later) <= A_FEW, "no flood of them, round after round"
        assert script.commands.count("DATA") - before <= A_FEW, "the others do not even begin"
        assert "the mail: no answer" in str(transport.trouble)
        script.heal()  # hangs up on whoever waits
        ends = await asyncio.gather(*stuck, *(one for more in later for one in more))
        assert {(end.kind, end.reason) for end in ends} == {("uncertain", "maybe_delivered")}
        assert await all_sent(transport, "after")
        assert transport.trouble is None
        await transport.close()


@pytest.mark.usefixtures("tires_soon")
async def test_a_mail_that_is_answered_lets_the_others_go_though_some_stay_without_an_answer() -> None:
    script = Silent("dot")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        stuck = await in_vain(transport, script, "first")
        script.phase = ""
        async with asyncio.timeout(30):
            while (await sent(transport, "act_probe")).kind == "temporary":
                pass
        assert await all_sent(transport, "after")
        assert transport.trouble is None
        assert not any(one.done() for one in stuck)
        script.heal()
        await asyncio.gather(*stuck)
        await transport.close()


class Restarted(Silent):
    """Hangs after the dot until it is started anew, which ends all connections."""

    def __init__(self) -> None:
        super().__init__("dot")
        self.connected: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.append(writer)
        await super().__call__(reader, writer)

    def restart(self) -> None:
        self.heal()
        for writer in self.connected:
            writer.transport.abort()


@pytest.mark.usefixtures("tires_soon")
async def test_what_waits_goes_out_once_the_server_was_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits on connections that are gone then."""
    monkeypatch.setattr(module, "TURN_S", 60.0)
    script = Restarted()
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        stuck = asyncio.create_task(sent(transport))
        async with asyncio.timeout(30):
            while not transport.gate.hangs:
                await asyncio.sleep(0.005)
            mails = [asyncio.create_task(sent(transport, f"act_{n}")) for n in range(MAILS)]
            while len(transport.gate._queue) + len(script.accepted) < 1 + MAILS:
                await asyncio.sleep(0.005)
        script.restart()
        ends = Counter(outcome.kind for outcome in await asyncio.gather(stuck, *mails))
        assert ends.keys() == {"uncertain", "done"}, "nobody has to try again"
        assert ends["uncertain"] <= A_FEW
        await transport.close()
    assert ends["done"] <= len(script.accepted) <= 1 + MAILS, "none arrived twice"


@pytest.mark.usefixtures("tires_soon")
async def test_a_server_that_answers_commands_and_no_mail_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Silent("dot")
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        stuck = asyncio.create_task(sent(transport))
        await until(True, transport)
        script.say["rcpt"] = "550 5.1.1 no such user"
        assert (await sent(transport, "act_2")).reason == "bounced"
        assert silent() == 1
        assert "the mail: no answer" in str(transport.trouble)
        script.say.clear()
        script.phase = ""
        assert (await sent(transport, "act_3")).kind == "done"
        assert (silent(), transport.trouble) == (0, None)
        script.heal()
        await stuck
        await transport.close()
    assert caplog.text.count("the mail server does not answer") == 1
    assert caplog.text.count("the mail server answers again") == 1


class Slow(Scripted):
    """Takes eight times the patience for each mail. `most`: how many it had at once."""

    now = most = 0

    async def answer(self, writer: asyncio.StreamWriter, phase: str, good: str) -> bool:
        if phase == "dot":
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.4)
            self.now -= 1
        return await super().answer(writer, phase, good)


async def test_a_slow_server_is_not_taken_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    for name in ("CONNECT_S", "COMMAND_S", "BODY_S", "TURN_S", "VERDICT_S"):
        monkeypatch.setattr(module, name, 60.0)
    monkeypatch.setattr(server_health, "SILENT_S", 5.0)
    script = Slow()
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        for name in ("first", "second", "third"):
            assert await all_sent(transport, name)
        assert not transport.gate.hangs
        assert script.most > MAILS // 2
        await transport.close()


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
