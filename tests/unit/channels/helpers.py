"""Helpers for the tests of the channels."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from backbone.clock import WallClock
from backbone.settings import Settings
from services.actions.channels.base import Channel, ChannelContext, Target
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHEN = 1_790_000_000_000_000
RETURN_PATH = "bounces@us.test"


def mail(**changes: Any) -> dict[str, Any]:
    """The content of an email action."""
    return {
        "subject": "Hello",
        "text": "Hi Ann\n",
        "html": "<p>Hi Ann</p>",
        "from": {"name": "Jo Doe", "email": "jo@us.test"},
        "to": {"name": "Ann Lee", "email": "ann@acme.test"},
        "reply_to": {"name": "Jo Doe", "email": "jo@us.test"},
        "unsubscribe_url": "https://us.test/u/token",
        **changes,
    }


def leased(
    action: str = "act_1", channel: str = "email", recipient: str = "ann@acme.test", **changes: Any
) -> Leased:
    """A leased action, as the delivery loop has it."""
    fields: dict[str, Any] = {
        "id": action, "play": "ply_1", "playbook": "p", "account": "acme", "contact": "ann", "channel": channel,
        "step": "0", "recipient": recipient, "topic": "lifecycle", "attempts": 0, "due_at": WHEN,
        "rendered": mail() if channel == "email" else {"body": {"a": 1}}, "interrupted": False,
    }  # fmt: skip
    return Leased(**fields | changes)


def surroundings(
    tmp_path: Path, endpoint: Callable[[str], Target | None] = lambda _: None, **settings: Any
) -> ChannelContext:
    """Settings and endpoints for a channel."""
    made = Settings(data_dir=tmp_path, _env_file=None, **settings)  # type: ignore[call-arg]
    return ChannelContext(made, endpoint, now=WallClock().now)


async def deliver(channel: Channel, action: Leased) -> Outcome:
    """Prepare and send an action."""
    ready = await channel.prepare(action)
    return ready if isinstance(ready, Outcome) else await ready.send(action.due_at)


class Server:
    """A TCP server for one test. It calls `handle` for each connection; an error there ends only that connection."""

    def __init__(self, handle: Callable[..., Coroutine[Any, Any, None]], host: str = "127.0.0.1") -> None:
        self._handle, self._host = handle, host
        self.connections = 0

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
