"""`kill -9` at random moments: no mail goes out twice, none is lost without a word, webhooks keep their id."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import update

from services.actions.tables import actions, attempts
from tests.services.delivery.kit import House
from tests.unit.channels.helpers import Server
from tests.unit.channels.test_smtp import Scripted

MAILS = 300
KILLS = 6

CHILD = """
import sys, time
from pathlib import Path
from pydantic import SecretStr
from tests.services.delivery.kit import House
from services.actions.channels.senders import SENDERS
house = House(Path(sys.argv[1]))
house.settings = house.settings.model_copy(update={"smtp_url": SecretStr(sys.argv[2])})
loop = house.loop(email=SENDERS["email"])
print("working", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_killed_again_and_again_no_mail_goes_out_twice(house: House, tmp_path: Path) -> None:
    script = Scripted()
    server = Server(script)
    background = asyncio.new_event_loop()
    thread = threading.Thread(target=background.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), background).result(10)
    url = f"smtp://127.0.0.1:{server.port}?starttls=false"
    house.put(*(f"act_{n}" for n in range(MAILS)))
    chance = random.Random(5)
    kills = 0
    while any(status in ("pending", "retrying") for status, _ in house.states().values()):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        child.stdout.readline()
        if kills < KILLS:
            time.sleep(chance.random() * 0.2)
            kills += 1
        else:
            house.until(lambda: all(status != "pending" for status, _ in house.states().values()))
        child.kill()
        child.wait()
        child.stdout.close()
        with house.db.write() as conn:  # a retry is due at once
            conn.execute(update(actions).where(actions.c.status == "retrying").values(next_attempt_at=1))
    asyncio.run_coroutine_threadsafe(server.__aexit__(), background).result(10)
    background.call_soon_threadsafe(background.stop)
    thread.join()
    background.close()

    received = Counter(
        line.split(b"<")[1].split(b"@")[0].decode()
        for message in script.accepted
        for line in message.split(b"\r\n")
        if line.startswith(b"Message-ID:")
    )
    states = house.states()
    assert max(received.values()) == 1
    done = {action for action, (status, _) in states.items() if status == "done"}
    uncertain = {action for action, (status, _) in states.items() if status == "uncertain"}
    assert done | uncertain == set(states)
    assert done <= set(received)
    assert set(received) - done <= uncertain
    recorded = Counter(row.action for row in house.rows(attempts))
    assert all(recorded[action] >= 1 for action in received)
    assert len(done) > 0
