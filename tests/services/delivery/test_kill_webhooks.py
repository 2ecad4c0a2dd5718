"""`kill -9` with webhooks on the wire: no more come again than the endpoint takes at once, and each is recorded."""

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from services.actions.channels.senders import SENDERS
from services.actions.channels.webhook.ssrf import networks
from services.actions.storage.library import ENDPOINTS
from tests.services.delivery.kit import House
from tests.unit.channels.helpers import SECRET, Server

HOOKS, AT_ONCE, KILLED_AFTER = 60, 3, 20

CHILD = """
import sys, time
from pathlib import Path
from tests.services.delivery.kit import House
from services.actions.channels.senders import SENDERS
from services.actions.channels.webhook.ssrf import networks
house = House(Path(sys.argv[1]))
house.settings = house.settings.model_copy(update={"webhook_allowed_networks": networks(["127.0.0.0/8"])})
house.loop(webhook=SENDERS["webhook"])
time.sleep(600)
"""


class Receiver:
    """Answers each webhook after a moment, and counts what comes and how much at once."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.now = self.most = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(headers["content-length"]))
            self.came.append(headers["webhook-id"])
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.02)
            self.now -= 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()


def test_a_kill_repeats_no_more_than_the_endpoint_takes_at_once(house: House, tmp_path: Path) -> None:
    receiver = Receiver()
    background = asyncio.new_event_loop()
    thread = threading.Thread(target=background.run_forever, daemon=True)
    thread.start()
    server = Server(receiver)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), background).result(10)
    document = {"url": f"http://127.0.0.1:{server.port}/", "secret": SECRET, "concurrency": AT_ONCE}
    with house.db.write() as connection:
        ENDPOINTS.put(connection, "crm", document, "test", house.clock.now())
    house.put(*(f"act_{n}" for n in range(HOOKS)), channel="webhook", recipient="crm", rendered={"body": {}})
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)])
    try:
        house.until(lambda: len(receiver.came) >= KILLED_AFTER)
    finally:
        child.kill()
        child.wait()
    house.settings = house.settings.model_copy(update={"webhook_allowed_networks": networks(["127.0.0.0/8"])})
    house.loop(webhook=SENDERS["webhook"])  # type: ignore[arg-type]
    house.settled()
    house.loops[0].stop()
    asyncio.run_coroutine_threadsafe(server.__aexit__(), background).result(10)
    background.call_soon_threadsafe(background.stop)
    thread.join()
    background.close()
    assert set(house.states().values()) == {("done", None)}
    repeated = {action for action, times in Counter(receiver.came).items() if times > 1}
    assert len(receiver.came) - HOOKS == len(repeated) <= AT_ONCE
    assert receiver.most <= 2 * AT_ONCE  # of the dead process and the next one
    for n in range(HOOKS):
        tried = [outcome for _, outcome, _ in house.attempts(f"act_{n}")]
        assert tried in (
            [["interrupted", "done"]] if f"act_{n}" in repeated else [["done"], ["interrupted", "done"]]
        )
