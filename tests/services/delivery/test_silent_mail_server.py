"""A mail server that hangs, or answers nothing but a refusal, delays nobody else, and everybody can see which it is."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from backbone.settings import Settings
from services.actions.channels.email import server_health, smtp
from services.actions.channels.email.channel import email_channel
from services.actions.delivery.lease_book import MOST_LEASED
from services.actions.tables import actions, attempts
from tests.services.delivery.kit import Fake, House
from tests.services.delivery.test_service import Running
from tests.unit.channels.helpers import Server
from tests.unit.channels.test_silent_mail_server import Silent
from tests.unit.channels.test_smtp import Scripted

HOOKS = 300
MAILS, A_FEW = 100, 10


class Refuses(Scripted):
    """Lets nobody send."""

    def __init__(self) -> None:
        super().__init__(say={"banner": "554 5.7.1 go away"})

    def heal(self) -> None:
        self.say = {}


class HangsUp(Scripted):
    """Takes each mail and hangs up instead of answering."""

    def __init__(self) -> None:
        super().__init__(drop="dot")

    def heal(self) -> None:
        self.drop = ""


MailServer = Silent | Refuses | HangsUp
KINDS: dict[str, Callable[[], MailServer]] = {
    "accepts and says nothing": lambda: Silent("banner"),
    "goes silent at a command": lambda: Silent("rcpt"),
    "goes silent after the dot": lambda: Silent("dot"),
    "refuses us": Refuses,
}
each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as silent at once; nothing that is waited for here would come anyway."""
    monkeypatch.setattr(server_health, "SILENT_S", 0.05)


@contextmanager
def serving(script: MailServer) -> Iterator[tuple[str, Callable[[], object]]]:
    """The mail server in a thread of its own: its address, and what makes it well again."""
    loop, server = asyncio.new_event_loop(), Server(script)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield f"smtp://127.0.0.1:{server.port}", partial(loop.call_soon_threadsafe, script.heal)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("kind", [*KINDS, "hangs up after the dot"])
def test_webhooks_flow_past_more_mails_than_one_process_leases(tmp_path: Path, kind: str) -> None:
    """All mails are due before the first webhook is."""
    house = House(tmp_path)
    with serving(KINDS.get(kind, HangsUp)()) as (url, heal):
        house.settings = Settings(data_dir=tmp_path, smtp_url=url, _env_file=None)  # type: ignore[call-arg]
        mails = [f"act_m{n}" for n in range(MOST_LEASED + 100)]
        house.put(*mails, each=[{"recipient": f"ann@d{n % 90}.test"} for n in range(len(mails))])
        hooks = [f"act_w{n}" for n in range(HOOKS)]
        house.put(*hooks, channel="webhook", recipient="crm", contact=None, rendered={"body": {}})
        receiver = Fake()
        receiver.independent = True  # as endpoints are
        loop = house.loop(email=email_channel, webhook=receiver)  # type: ignore[arg-type]
        try:
            house.until(lambda: len(set(receiver.sent)) == HOOKS)
            house.until(lambda: Counter(house.states().values())["done", None] == HOOKS)
            house.until(lambda: "email" in loop.troubles())
            assert Counter(house.states().values())["done", None] == HOOKS, "no mail can have gone out"
            assert loop.alive
        finally:
            heal()
            house.close()


@pytest.mark.parametrize("server", [lambda: Silent("dot"), HangsUp], ids=["hangs", "hangs up"])
def test_a_server_that_hangs_after_the_dot_costs_few_mails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Callable[[], Silent | HangsUp]
) -> None:
    """The next mails after 10 ms, 40 ms, 160 ms and so on are left in doubt; the others wait, and go out in the end."""
    monkeypatch.setattr(smtp, "PATIENCE_S", 0.01)
    monkeypatch.setattr(smtp, "TURN_S", 0.2)
    house, script = House(tmp_path), server()
    with serving(script) as (url, heal):
        house.settings = Settings(data_dir=tmp_path, smtp_url=url, _env_file=None)  # type: ignore[call-arg]
        house.put(*(f"act_m{n}" for n in range(MAILS)))
        loop = house.loop(email=email_channel)  # type: ignore[arg-type]

        def statuses() -> Counter[str]:
            return Counter(status for status, _ in house.states().values())

        def again() -> None:
            with house.db.write() as conn:
                retrying = update(actions).where(actions.c.status == "retrying")
                conn.execute(retrying.values(next_attempt_at=1))
            loop.wake()

        def tried_again() -> bool:
            again()
            tried = Counter(row.action for row in house.rows(attempts) if row.ended_at is not None)
            return sum(n > 1 for n in tried.values()) >= MAILS - A_FEW

        def ended() -> bool:
            again()
            return statuses()["done"] + statuses()["uncertain"] == MAILS

        try:
            house.until(tried_again)
            assert statuses()["done"] == 0
            assert loop.troubles()["email"].detail.startswith("the mail: no answer")
            monkeypatch.setattr(
                smtp, "TURN_S", 60.0
            )  # so that no mail runs out of attempts during the last pause
            heal()
            house.until(ended)
            assert 1 <= statuses()["uncertain"] <= A_FEW
            copies = Counter(_action_of(message) for message in script.accepted)
            assert set(copies.values()) == {1}, "no mail went out twice"
            assert len(copies) == MAILS, "each one arrived, those in doubt included"
        finally:
            heal()
            house.close()


def _action_of(message: bytes) -> bytes:
    return next(line for line in message.split(b"\r\n") if line.startswith(b"Message-ID:"))


@each
def test_the_play_goes_on_and_the_status_names_the_server(tmp_path: Path, kind: str) -> None:
    with serving(KINDS[kind]()) as (url, heal):
        running = Running(tmp_path, smtp_url=url)
        try:
            running.set_up()
            running.fire()
            running.until(lambda: len(running.hooks.requests) == 1)
            running.until(lambda: bool(running.client.get("/v1/tasks").json()["items"]))
            running.until(lambda: "email" in troubles(running))
            assert running.client.get("/readyz").status_code == 200
            metrics = running.client.get("/metrics").text
            name = "touchline_mail_server_refuses" if kind == "refuses us" else "touchline_mail_server_silent"
            assert f"{name} 1.0" in metrics
            assert "acme.test" not in troubles(running)["email"], "no address is shown"
        finally:
            heal()
            running.close()


def troubles(running: Running) -> dict[str, str]:
    """The details of the troubles in `/v1/status`, by channel."""
    said = running.client.get("/v1/status").json()["services"]["actions"]
    return {one["channel"]: one["detail"] for one in said["trouble"]}
