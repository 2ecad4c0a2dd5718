"""The servers that ours are compared with, and the receivers of our messages: each a process of its own.

python -m bench.floors (http | hooks | mails) PORT [SECONDS]
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn
import uvloop
from aiohttp import web
from aiosmtpd.smtp import SMTP
from fastapi import FastAPI, Request, Response

from deploy.local.ports import free_port, port_is_open
from deploy.local.process import wait_until


@contextmanager
def running(what: str, takes: float = 0) -> Iterator[tuple[int, int]]:
    """Start one of them in a process; yields its port and process id. `takes`: seconds, for each webhook."""
    port = free_port()
    command = [sys.executable, "-m", "bench.floors", what, str(port), str(takes)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(what, lambda: port_is_open(port), 30)
        yield port, child.pid
    finally:
        child.kill()
        child.wait()


def http(port: int) -> None:
    """The stack that we serve on, with a route that decodes the body, answers 202 and keeps nothing."""
    app = FastAPI()
    decode = msgspec.json.Decoder().decode

    @app.post("/v1/events")
    async def events(request: Request) -> Response:
        """The least that a server can do with events."""
        found = decode(await request.body())
        count = len(found) if isinstance(found, list) else 1
        return Response(b'{"accepted":%d,"rejected":[]}' % count, 202, media_type="application/json")

    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", ws="none", lifespan="off",
        access_log=False, log_level="error", server_header=False,
    )  # fmt: skip


async def hooks(port: int, takes: float) -> None:
    """Takes webhooks, each in so many seconds."""

    async def take(request: web.BaseRequest) -> web.Response:
        await request.read()
        if takes:
            await asyncio.sleep(takes)
        return web.Response()

    await asyncio.get_running_loop().create_server(web.Server(take), "127.0.0.1", port)
    await asyncio.Event().wait()


class _Post:
    async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 OK"


async def mails(port: int, _: float) -> None:
    """Takes mails."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(_Post(), hostname="sink.test", loop=loop), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    name, number, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if name == "http":
        http(number)
    else:
        uvloop.run({"hooks": hooks, "mails": mails}[name](number, pause))
