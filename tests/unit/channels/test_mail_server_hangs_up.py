"""A mail server that hangs up after the final dot: few mails are in doubt, it is seen, and the others go out later."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from services.actions.channels.email import server_health
from services.actions.channels.email import smtp as module
from services.actions.channels.email.smtp import SmtpTransport
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import Server
from tests.unit.channels.test_mail_server import server_of
from tests.unit.channels.test_silent_mail_server import sent, silent
from tests.unit.channels.test_smtp import Scripted

MAILS, A_FEW = 40, 8  # as many as there are connections; the ninth would have to wait for minutes
ANSWERS = {"hangs up": {}, "talks nonsense": {"dot": "gibberish"}, "says neither": {"dot": "354 go on"}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The pauses are 5 ms, 20 ms, 80 ms and so on. What waits for its turn is given up before the fourth is over."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.005)
    monkeypatch.setattr(module, "TURN_S", 0.2)
    caplog.set_level(logging.INFO)
    server_health.MAIL_SERVER_SILENT.set(0)
    yield
    server_health.MAIL_SERVER_SILENT.set(0)


def broken(how: str) -> Scripted:
    """A server that takes mails and leaves them in doubt, until it is healed."""
    return Scripted(drop="" if ANSWERS[how] else "dot", say=dict(ANSWERS[how]))


def heal(script: Scripted) -> None:
    script.drop, script.say = "", {}


async def all_at_once(transport: SmtpTransport, name: str) -> Counter[tuple[str, str | None]]:
    """How many mails end."""
    mails = (sent(transport, f"act_{name}_{n}") for n in range(MAILS))
    return Counter((outcome.kind, outcome.reason) for outcome in await asyncio.gather(*mails))


def five_seconds_later(transport: SmtpTransport) -> None:
    """As if the first connection had broken so long ago."""
    since = transport.health._to_mails
    assert since.broken_at is not None
    since.broken_at -= server_health.SILENT_S


async def sent_in_the_end(transport: SmtpTransport) -> Outcome:
    async with asyncio.timeout(30):
        while (outcome := await sent(transport, "act_probe")).kind == "temporary":
            pass
    return outcome


@pytest.mark.parametrize(
    ("how", "known"),
    [("hangs up", False), ("hangs up", True), ("talks nonsense", False), ("says neither", False)],
)
async def test_few_mails_are_in_doubt_and_the_others_go_out_later(how: str, known: bool) -> None:
    script = broken(how)
    script.times = 0 if known else 10**9
    taken = 0
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        if known:
            said, script.say = script.say, {}
            for n in range(20):  # one after the other, so that it is known to be quick
                assert (await sent(transport, f"act_before_{n}")).kind == "done"
            script.say, script.times, taken = said, 10**9, 20
        at_once = transport.gate.room
        ends = await all_at_once(transport, "first")
        assert ends.keys() == {("uncertain", "maybe_delivered"), ("temporary", "timeout")}
        in_doubt = ends["uncertain", "maybe_delivered"]
        assert 1 <= in_doubt <= at_once + A_FEW
        dots = script.commands.count("DATA")
        for round_ in range(3):
            in_doubt += (await all_at_once(transport, f"round{round_}"))["uncertain", "maybe_delivered"]
        assert in_doubt <= at_once + A_FEW, "no flood of them, round after round"
        assert script.commands.count("DATA") - dots <= A_FEW, "the others do not even begin"
        assert transport.gate.hangs
        heal(script)
        assert (await sent_in_the_end(transport)).kind == "done"
        assert not transport.gate.hangs
        assert (await all_at_once(transport, "after")).keys() == {("done", None)}, "at full speed"
        await transport.close()
    if how == "hangs up":
        assert len(script.accepted) == taken + in_doubt + 1 + MAILS, "none went out twice"


@pytest.mark.parametrize("how", ANSWERS)
async def test_it_is_seen_as_a_silent_one_is(how: str, caplog: pytest.LogCaptureFixture) -> None:
    script = broken(how)
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        assert (await sent(transport, "act_1")).kind == "uncertain"
        assert (await sent_in_the_end(transport)).kind == "uncertain"
        assert (silent(), transport.trouble) == (0, None), "these may have met a restart"
        five_seconds_later(transport)
        assert (await sent_in_the_end(transport)).kind == "uncertain"
        assert silent() == 1
        assert str(transport.trouble and transport.trouble.detail) == "the mail: no answer, it hangs up"
        assert transport.health._refusal is None
        assert (await sent_in_the_end(transport)).kind == "uncertain"
        assert transport.health._refusal is not None, "as good as one that refuses"
        script.say = {"rcpt": "550 5.1.1 no such user"}
        while (outcome := await sent(transport, "act_2")).kind == "temporary":
            pass
        assert outcome.reason == "bounced"
        assert silent() == 1, "that is no answer to a mail"
        heal(script)
        assert (await sent_in_the_end(transport)).kind == "done"
        assert (silent(), transport.trouble) == (0, None)
        await transport.close()
    assert caplog.text.count("the mail server does not answer") == 1
    assert caplog.text.count("the mail server answers again") == 1
    assert "acme.test" not in caplog.text


async def test_a_single_hang_up_between_answers_is_no_trouble() -> None:
    script = Scripted(drop="dot", times=0)
    async with Server(script) as server:
        transport = SmtpTransport(server_of(server.port))
        for _ in range(3):
            assert (await sent(transport)).kind == "done"
            script.times = 1
            assert (await sent(transport)).kind == "uncertain"
            five_seconds_later(transport)
            assert (await sent(transport)).kind == "done"
            assert transport.health._to_mails.broken_at is None
        assert (silent(), transport.trouble) == (0, None)
        await transport.close()


async def test_hanging_up_before_the_dot_costs_no_pause() -> None:
    """Nothing is in doubt then: the mail is tried again."""
    for phase in ("mail", "rcpt", "data"):
        async with Server(Scripted(drop=phase)) as server:
            transport = SmtpTransport(server_of(server.port))
            assert {kind for kind, _ in await all_at_once(transport, phase)} == {"temporary"}
            assert (transport.gate.hangs, transport.gate._inside) == (False, 0)
            await transport.close()


async def test_a_journal_that_cannot_be_written_is_not_the_servers_doing() -> None:
    def full(_: str) -> None:
        raise OSError(28, "no space left on device")

    async with Server(Scripted()) as server:
        transport = SmtpTransport(server_of(server.port), full)
        assert (await sent(transport)).kind == "temporary"
        assert (transport.gate.hangs, transport.gate._inside) == (False, 0)
        await transport.close()
