"""A real peer on loopback for every channel that sends; it takes, puts off or refuses what is sent to it."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.channels import test_smtp, test_webhook
from tests.unit.channels.helpers import Server


class Peer(ABC):
    """A peer. `url`: the address it listens on. `settings`: those of a Touchline that sends to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]: ...

    @abstractmethod
    def accept(self) -> None:
        """From now on, take everything."""

    @abstractmethod
    def put_off(self) -> None:
        """From now on, ask the sender to try again later."""

    @abstractmethod
    def refuse(self) -> None:
        """From now on, refuse everything for good."""

    @abstractmethod
    def taken(self) -> int:
        """The number of messages that it has taken."""


class MailServer(Peer):
    """For `email`: an SMTP server."""

    def __init__(self, port: int, script: test_smtp.Scripted) -> None:
        super().__init__(port)
        self._script = script

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"smtp_url": self.url}

    def accept(self) -> None:
        self._script.say = {}

    def put_off(self) -> None:
        self._script.say = {"rcpt": "451 later"}

    def refuse(self) -> None:
        self._script.say = {"rcpt": "550 5.1.1 nobody here"}

    def taken(self) -> int:
        return len(self._script.accepted)


class HttpServer(Peer):
    """For `webhook`: an HTTP server."""

    def __init__(self, port: int, script: test_webhook.Scripted) -> None:
        super().__init__(port)
        self._script = script
        self._refused = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def settings(self) -> dict[str, Any]:
        return {"webhook_allowed_networks": "127.0.0.0/8"}

    def _say(self, status: str) -> None:
        self._script.answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()

    def accept(self) -> None:
        self._refused = len(self._script.requests)
        self._say("200 OK")

    def put_off(self) -> None:
        self._say("503 Later")

    def refuse(self) -> None:
        self._say("410 Gone")

    def taken(self) -> int:
        answered = len(self._script.requests) - self._refused
        return answered if b" 200 " in self._script.answer else 0


# One line for each channel that sends: its peer, and the script of that peer's answers.
PEERS: dict[str, tuple[Callable[[int, Any], Peer], Callable[[], Any]]] = {
    "email": (MailServer, test_smtp.Scripted),
    "webhook": (HttpServer, test_webhook.Scripted),
}


async def _hung_up() -> None:
    """End the connections that are still open, before their loop is gone."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def peer_of(channel: str) -> Iterator[Peer]:
    """The peer of a channel, running in a thread of its own."""
    made, script = PEERS[channel][0], PEERS[channel][1]()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Server(script)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield made(server.port, script)
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(_hung_up(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
