"""An SMTP server that hangs up at one phase of the dialogue, again and again, and the fate of the mails."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from pydantic import SecretStr
from sqlalchemy import func, select, update

from services.actions.channels.email import concurrency, smtp
from services.actions.channels.senders import SENDERS
from services.actions.tables import actions
from tests.services.delivery.kit import House
from tests.unit.channels.helpers import Server
from tests.unit.channels.test_smtp import PHASES, Scripted

__all__ = ["PHASES", "Dropped", "drop"]

MAILS_AT_ONCE = 40  # in a round at the phase `quit`, which comes once a connection
PAUSE_S = 0.01  # after each mail that is cut off after the dot


@dataclass
class Dropped:
    """The fate of some mails: how often the server hung up, and the status, attempts and copies of each mail."""

    drops: int
    statuses: Counter[str]
    attempts: Counter[tuple[str, ...]]
    copies: Counter[int]


@contextmanager
def _listening(script: Scripted) -> Iterator[str]:
    """The address of the server, which runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(Server(script).__aenter__(), loop).result(10)
    try:
        yield f"smtp://127.0.0.1:{server.port}?starttls=false"
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def drop(house: House, phase: str, times: int) -> Dropped:
    """Send as many mails as the server hangs up at this phase, and carry them all out to their end."""
    script = Scripted(drop=phase, times=times)
    # Pauses as short as the first one, for otherwise most of the mails would wait for days.
    with (
        _listening(script) as url,
        patch.object(concurrency, "LONGER", 1),
        patch.object(smtp, "PATIENCE_S", PAUSE_S),
    ):
        house.settings = house.settings.model_copy(update={"smtp_url": SecretStr(url)})
        ids = [f"act_{phase}_{number}" for number in range(times)]
        if phase == "quit":  # said once a connection, so it takes several rounds
            for start in range(0, times, MAILS_AT_ONCE):
                _carry_out(house, ids[start : start + MAILS_AT_ONCE])
        else:
            _carry_out(house, ids)
        copies = Counter(_named(message) for message in script.accepted)
    states = house.states()
    tried = _attempts(house)
    return Dropped(
        times - script.times,
        Counter(states[one][0] for one in ids),
        Counter(tried[one] for one in ids),
        Counter(copies[one] for one in ids),
    )


def _carry_out(house: House, ids: list[str]) -> None:
    house.put(*ids)
    loop = house.loop(email=SENDERS["email"])

    def ended() -> bool:
        with house.db.write() as conn:  # make retries due at once
            again = update(actions).where(actions.c.status == "retrying", actions.c.next_attempt_at > 1)
            if conn.execute(again.values(next_attempt_at=1)).rowcount:
                loop.wake()
            left = select(func.count()).where(actions.c.status.in_(["pending", "retrying"]))
            return conn.scalar(left) == 0

    house.until(ended)
    loop.stop()
    assert loop.failure is None
    house.loops.remove(loop)


def _attempts(house: House) -> dict[str, tuple[str, ...]]:
    """The outcomes of every action's attempts, in order."""
    from services.actions.tables import attempts

    found: dict[str, tuple[str, ...]] = {}
    for row in house.rows(attempts):
        found[row.action] = (*found.get(row.action, ()), row.outcome or "not ended")
    return found


def _named(message: bytes) -> str:
    """The id of a mail's action."""
    line = next(line for line in message.split(b"\r\n") if line.startswith(b"Message-ID:"))
    return line.split(b"<")[1].split(b"@")[0].decode()


def check(phase: str, times: int, found: Dropped) -> None:
    """Check that no mail came twice, those cut off after the dot are `uncertain`, and all others arrived on a retry."""
    assert max(found.copies) <= 1, f"second copies: {found}"
    if phase == "dot":
        assert found.statuses == {"uncertain": times}, found
        assert found.attempts == {("uncertain",): times}, found
    elif phase == "body":  # it hung up while the dot was on its way or before: the sender cannot know
        sent = found.statuses["done"]
        assert sent + found.statuses["uncertain"] == times, found
        assert found.copies[1] == sent, found
        assert set(found.attempts) <= {("temporary", "done"), ("uncertain",), ("done",)}, found
    else:
        assert found.statuses == {"done": times}, found
        assert found.copies == {1: times}, found
        assert all(
            outcomes[-1] == "done" and set(outcomes[:-1]) <= {"temporary"} for outcomes in found.attempts
        )
    if phase != "quit":
        assert found.drops == times
