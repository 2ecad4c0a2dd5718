"""A service that tests write by hand: an ASGI app behind a real port, and the console before three of them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import httpx

from backbone.settings import Settings
from backbone.web.server import ThreadedServer
from services.console.forwarding.app import Gateway
from services.console.forwarding.table import SERVICES

Handler = Callable[["Asked", Any, Any], Any]


@dataclass
class Asked:
    """A request as a service got it."""

    method: str
    path: bytes  # with the query, as sent
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    def header(self, name: str) -> list[str]:
        return [value.decode() for key, value in self.headers if key == name.encode()]


@dataclass
class FakeService:
    """Answers with what it is told; keeps what it was asked."""

    name: str
    answer: Handler
    asked: list[Asked] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        asked = Asked(scope["method"], path, list(scope["headers"]))
        self.asked.append(asked)
        await self.answer(asked, receive, send)


async def read(receive: Any) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def reply(send: Any, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    length = (
        []
        if any(name == b"content-length" for name, _ in headers)
        else [(b"content-length", b"%d" % len(body))]
    )
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


def saying(name: str) -> Handler:
    """Answers every request with its own name, once it has the whole body."""

    async def answer(asked: Asked, receive: Any, send: Any) -> None:
        asked.body = await read(receive)
        said = {"service": name, "path": asked.path.decode(), "got": len(asked.body)}
        await reply(send, json.dumps(said).encode(), 200, (b"content-type", b"application/json"))

    return answer


@dataclass
class Town:
    """The console and what stands behind it."""

    url: str
    services: dict[str, FakeService]
    servers: dict[str, ThreadedServer]
    gateway: Gateway


@contextmanager
def town(silent_s: float = 30.0, most: int = 500, **handlers: Handler) -> Iterator[Town]:
    """`handlers`: how a service answers, by its name; default: `saying`."""
    settings = Settings(_env_file=None, port=0, body_timeout=5)
    with ExitStack() as stack:
        services = {name: FakeService(name, handlers.get(name, saying(name))) for name in SERVICES}
        behind = settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.0/8"),)})
        servers = {name: ThreadedServer(service, behind) for name, service in services.items()}
        for server in servers.values():
            server.start()
            stack.callback(server.stop)
        urls = {name: server.url for name, server in servers.items()}
        gateway = Gateway(urls, body_s=5, silent_s=silent_s, most=most)
        front = ThreadedServer(gateway, settings, gateway=True)
        front.start()
        stack.callback(front.stop)
        yield Town(front.url, services, servers, gateway)


def raw(url: str, *parts: bytes, close: bool = False) -> bytes:
    """Send these bytes, each in a segment of its own, and return what comes until the other side is done."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), 20) as line:
        for part in parts:
            line.sendall(part)
        if close:
            return b""
        found = b""
        while piece := line.recv(65_536):
            found += piece
            head, _, body = found.partition(b"\r\n\r\n")
            if b"content-length: %d\r\n" % len(body) in head.lower() + b"\r\n" and body:
                break
        return found


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == answer.status_code
    return answer.status_code, said["code"], said["detail"]
