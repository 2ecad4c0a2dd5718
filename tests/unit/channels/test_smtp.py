"""SMTP: a server that hangs up at any phase, refuses or puts off; and aiosmtpd as a real one."""

import asyncio
from pathlib import Path
from typing import Any

import aiosmtpd.smtp
import pytest

from services.actions.channels.email import smtp as module
from services.actions.channels.email.channel import EmailChannel
from services.actions.channels.email.channel import email_channel as channel
from services.actions.channels.email.smtp import SmtpServer, SmtpTransport
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import RETURN_PATH, Server, deliver, leased, mail, surroundings

PHASES = ("banner", "ehlo", "mail", "rcpt", "data", "body", "dot", "quit")


class Scripted:
    """An SMTP server. `drop`: the phase at which it hangs up; `say`: other answers than 250."""

    def __init__(self, drop: str = "", say: dict[str, str] | None = None, *, times: int = 10**9) -> None:
        self.drop, self.say, self.times = drop, say or {}, times
        self.accepted: list[bytes] = []
        self.commands: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await self.answer(writer, "banner", "220 hi"):
            return
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            verb = line.split(" ")[0].lower()
            if verb == "data":
                if await self.answer(writer, "data", "354 go on"):
                    return
                if "data" not in self.say and await self.body(reader, writer):
                    return
            elif await self.answer(writer, verb, "250 fine"):
                return

    async def body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.drops("body"):
            await reader.readline()
            writer.transport.abort()
            return True
        message = await reader.readuntil(b"\r\n.\r\n")
        if "dot" not in self.say:
            self.accepted.append(message)
        return await self.answer(writer, "dot", "250 taken")

    def drops(self, phase: str) -> bool:
        if phase != self.drop or not self.times:
            return False
        self.times -= 1
        return True

    async def answer(self, writer: asyncio.StreamWriter, phase: str, good: str) -> bool:
        """Whether it hung up instead."""
        if self.drops(phase):
            writer.transport.abort()
            return True
        writer.write(self.say.get(phase, good).encode() + b"\r\n")
        await writer.drain()
        return False


def over(server: Server) -> EmailChannel:
    """The channel to a server of this machine."""
    return EmailChannel(SmtpTransport(SmtpServer.of(f"smtp://127.0.0.1:{server.port}")), RETURN_PATH)


async def one(script: Scripted) -> Outcome:
    """How one mail ends with a server like that."""
    async with Server(script) as server:
        sender = over(server)
        outcome = await deliver(sender, leased())
        await sender.close()
        return outcome


@pytest.mark.parametrize("phase", PHASES)
async def test_a_server_that_hangs_up(phase: str) -> None:
    script = Scripted(drop=phase)
    outcome = await one(script)
    if phase == "dot":
        assert (outcome.kind, outcome.reason) == ("uncertain", "maybe_delivered")
        assert len(script.accepted) == 1
    elif phase == "quit":
        assert outcome.kind == "done"
    else:
        assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")
        assert script.accepted == []


async def test_hanging_up_over_a_long_body_is_before_the_dot() -> None:
    async with Server(Scripted(drop="body")) as server:
        outcome = await deliver(over(server), leased(rendered=mail(text="x" * 5_000_000)))
    assert outcome.kind == "temporary"


@pytest.mark.parametrize(
    ("phase", "said", "kind", "reason"),
    [
        ("banner", "421 busy", "temporary", "deferred"),
        ("banner", "554 go away", "temporary", "deferred"),
        ("mail", "451 later", "temporary", "deferred"),
        ("mail", "550 5.7.1 not you", "permanent", "rejected"),
        ("rcpt", "450 4.2.1 greylisted", "temporary", "deferred"),
        ("rcpt", "550 5.1.1 no such user", "permanent", "bounced"),
        ("rcpt", "550 unknown", "permanent", "bounced"),
        ("rcpt", "553 5.1.3 no such domain", "permanent", "bounced"),
        ("rcpt", "550 5.7.1 relay access denied", "permanent", "rejected"),
        ("rcpt", "552 5.2.2 mailbox full", "permanent", "rejected"),
        ("rcpt", "554 5.1.8 bad sender", "permanent", "rejected"),
        ("data", "554 no", "permanent", "rejected"),
        ("data", "452 no room", "temporary", "deferred"),
        ("dot", "451 try again", "temporary", "deferred"),
        ("dot", "550 5.7.1 spam", "permanent", "rejected"),
        ("dot", "250-two\r\n250 lines", "done", None),
        ("dot", "gibberish", "uncertain", "maybe_delivered"),
    ],
)
async def test_what_the_server_says(phase: str, said: str, kind: str, reason: str | None) -> None:
    outcome = await one(Scripted(say={phase: said}))
    assert (outcome.kind, outcome.reason) == (kind, reason)
    if kind in ("temporary", "permanent"):
        assert said[:3] in outcome.detail


async def test_a_refusal_stands_though_the_server_hangs_up_after_it() -> None:
    outcome = await one(Scripted(drop="rset", say={"rcpt": "550 5.1.1 no such user"}))
    assert outcome.reason == "bounced"


async def test_a_server_that_says_nothing_after_the_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERDICT_S", 0.05)

    class Silent(Scripted):
        async def answer(self, writer: asyncio.StreamWriter, phase: str, good: str) -> bool:
            if phase == "dot":
                await asyncio.sleep(1)
                return True
            return await super().answer(writer, phase, good)

    assert (await one(Silent())).kind == "uncertain"


class OutOfStep(Scripted):
    """Says more than it was asked: `more`, behind its answer of that phase, once."""

    def __init__(self, more: dict[str, str], say: dict[str, str] | None = None) -> None:
        super().__init__(say=say)
        self.more = more

    async def answer(self, writer: asyncio.StreamWriter, phase: str, good: str) -> bool:
        return await super().answer(writer, phase, good + self.more.pop(phase, ""))


@pytest.mark.parametrize(("more", "dot"), [("354 go on", "250 taken"), ("250 taken", "554 never")])
async def test_an_answer_too_many_is_not_taken_for_that_to_the_dot(more: str, dot: str) -> None:
    """A mail that was taken would be sent again, or one that was refused count as sent."""
    script = OutOfStep({"data": f"\r\n{more}"}, say={} if dot.startswith("250") else {"dot": dot})
    async with Server(script) as server:
        sender = over(server)
        first = await deliver(sender, leased("act_1"))
        taken = list(script.accepted)
        second = await deliver(sender, leased("act_2"))
        await sender.close()
    assert first.kind == "temporary"
    assert taken == []
    assert second.kind == ("done" if dot.startswith("250") else "permanent")


async def test_an_answer_to_the_dot_that_says_neither_leaves_it_open() -> None:
    outcome = await one(Scripted(say={"dot": "354 go on"}))
    assert (outcome.kind, outcome.reason) == ("uncertain", "maybe_delivered")
    assert "354" in outcome.detail


@pytest.mark.parametrize("phase", ["ehlo", "mail", "rcpt"])
async def test_a_connection_out_of_step_carries_no_other_mail(phase: str) -> None:
    script = OutOfStep({phase: "\r\n250 and again"})
    async with Server(script) as server:
        sender = over(server)
        outcomes = [await deliver(sender, leased(f"act_{n}")) for n in range(2)]
        await sender.close()
        assert server.connections == 2
    assert [outcome.kind for outcome in outcomes] == ["temporary", "done"]
    assert len(script.accepted) == 1


async def test_nobody_listens() -> None:
    async with Server(Scripted()) as server:
        port = server.port
    outcome = await deliver(
        EmailChannel(SmtpTransport(SmtpServer.of(f"smtp://127.0.0.1:{port}")), RETURN_PATH), leased()
    )
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


async def test_a_connection_carries_many_mails() -> None:
    script = Scripted()
    async with Server(script) as server:
        sender = over(server)
        for number in range(5):
            assert (await deliver(sender, leased(f"act_{number}"))).kind == "done"
        await sender.close()
        assert server.connections == 1
    assert len(script.accepted) == 5
    assert script.commands[-1] == "QUIT"


async def test_a_refused_mail_leaves_the_connection_clean() -> None:
    script = Scripted(say={"rcpt": "550 5.1.1 no"})
    async with Server(script) as server:
        sender = over(server)
        await deliver(sender, leased("act_1"))
        script.say.clear()
        assert (await deliver(sender, leased("act_2"))).kind == "done"
        assert server.connections == 1
        await sender.close()
    assert "RSET" in script.commands


async def test_an_idle_connection_that_died_costs_no_attempt() -> None:
    script = Scripted()
    async with Server(script) as server:
        sender = over(server)
        assert (await deliver(sender, leased("act_1"))).kind == "done"
        script.drop, script.times = "mail", 1
        assert (await deliver(sender, leased("act_2"))).kind == "done"
        script.say, script.times = {"mail": "421 idle too long"}, 0
        ready = await sender.prepare(leased("act_3"))
        assert not isinstance(ready, Outcome)
        sending = asyncio.create_task(ready.send(0))
        while not any(line.startswith("MAIL") for line in script.commands[-1:]):
            await asyncio.sleep(0)
        script.say = {}
        assert (await sending).kind == "done"
        await sender.close()
    assert len(script.accepted) == 3


async def test_a_dropped_mail_gives_its_connection_back() -> None:
    async with Server(Scripted()) as server:
        sender = over(server)
        ready = await sender.prepare(leased("act_1"))
        assert not isinstance(ready, Outcome)
        await ready.drop()
        assert (await deliver(sender, leased("act_2"))).kind == "done"
        assert server.connections == 1
        await sender.close()


async def test_dots_and_long_lines_arrive_as_they_were() -> None:
    script = Scripted()
    text = ".\n..\n.x\n" + "y" * 3000 + "\n"
    async with Server(script) as server:
        sender = over(server)
        await deliver(sender, leased(rendered=mail(text=text)))
        await sender.close()
    assert max(map(len, script.accepted[0].split(b"\r\n"))) <= 998
    assert script.accepted[0].count(b"\r\n.\r\n") == 1


async def test_an_invalid_address_never_reaches_the_server() -> None:
    script = Scripted()
    async with Server(script) as server:
        outcome = await deliver(over(server), leased(rendered=mail(to={"email": "a@b\r\nDATA"})))
    assert (outcome.kind, outcome.reason) == ("permanent", "invalid_address")
    assert script.commands == []


class Keeper:
    """What aiosmtpd took."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"


async def test_a_real_server_takes_it(tmp_path: Path) -> None:
    keeper = Keeper()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: aiosmtpd.smtp.SMTP(keeper, enable_SMTPUTF8=True, hostname="mx.test", loop=loop),
        "127.0.0.1",
        0,
    )
    port = server.sockets[0].getsockname()[1]
    sender = channel(surroundings(tmp_path, smtp_url=f"smtp://127.0.0.1:{port}?starttls=false"))
    addresses = ["ann@acme.test", "änn@acme.test", "bob@bücher.test"]
    actions = [
        leased(f"act_{n}", rendered=mail(to={"email": address})) for n, address in enumerate(addresses)
    ]
    outcomes = await asyncio.gather(*(deliver(sender, action) for action in actions))
    await sender.close()
    server.close()
    assert [outcome.kind for outcome in outcomes] == ["done"] * 3, outcomes
    assert {envelope.rcpt_tos[0] for envelope in keeper.envelopes} == {
        *addresses[:2],
        "bob@xn--bcher-kva.test",
    }
    assert all(one.mail_from == "touchline@localhost" and len(one.rcpt_tos) == 1 for one in keeper.envelopes)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("smtp://mail.test", SmtpServer("mail.test", 25, None, None, False, None, True)),
        ("smtp://u:p%40@mail.test", SmtpServer("mail.test", 587, "u", "p@", False, True, True)),
        ("smtp://u:p@127.0.0.1", SmtpServer("127.0.0.1", 587, "u", "p", False, None, True)),
        ("smtp://u:p@mail.test?starttls=false", SmtpServer("mail.test", 587, "u", "p", False, False, True)),
        ("smtps://u:p@mail.test", SmtpServer("mail.test", 465, "u", "p", True, False, True)),
        ("smtp://mail.test:2525?starttls", SmtpServer("mail.test", 2525, None, None, False, True, True)),
        (
            "smtp://mail.test?starttls=false&verify=false",
            SmtpServer("mail.test", 25, None, None, False, False, False),
        ),
    ],
)
def test_the_url(url: str, read: SmtpServer) -> None:
    assert SmtpServer.of(url) == read


async def test_files_are_written_whole_and_never_twice(tmp_path: Path) -> None:
    sender = channel(surroundings(tmp_path))
    assert sender.idempotent
    for _ in range(2):
        assert (await deliver(sender, leased())).kind == "done"
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.name == "20260921T141320Z-act_1.eml"
    assert b"Message-ID: <act_1@us.test>" in file.read_bytes()


async def test_an_outbox_that_cannot_be_written_is_a_passing_fault(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    outcome = await deliver(channel(surroundings(tmp_path)), leased())
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


@pytest.mark.parametrize(
    ("settings", "bounces_to"),
    [
        ({"return_path": "bounces@us.test"}, "bounces@us.test"),
        ({}, "team@us.test"),  # the configured sender, never the owner who writes
    ],
)
async def test_the_envelope_sender_is_no_owner(
    tmp_path: Path, settings: dict[str, str], bounces_to: str
) -> None:
    async with Server(script := Scripted()) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        made = channel(surroundings(tmp_path, smtp_url=url, sender="Us <team@us.test>", **settings))
        assert (await deliver(made, leased())).kind == "done"
        await made.close()
    assert f"MAIL FROM:<{bounces_to}>" in script.commands
    assert b"From: Jo Doe <jo@us.test>" in script.accepted[0]
