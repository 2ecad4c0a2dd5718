"""Where mails and webhooks arrive: counted by what names them, whatever was sent twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.process import free_port


@dataclass
class Sinks:
    """What arrived: mails by Message-ID, webhooks by webhook-id."""

    mails: Counter[str] = field(default_factory=Counter)
    hooks: Counter[str] = field(default_factory=Counter)
    smtp_url: str = ""
    hook_url: str = ""

    def repeats(self) -> int:
        """How many arrivals were not the first of their name."""
        return sum(count - 1 for seen in (self.mails, self.hooks) for count in seen.values())


class _Post:
    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        message = message_from_bytes(content if isinstance(content, bytes) else (content or "").encode())
        self._sinks.mails[str(message["Message-ID"]).strip()] += 1
        return "250 OK"


@contextmanager
def sinks() -> Iterator[Sinks]:
    """An SMTP server and a webhook receiver on free ports of 127.0.0.1."""
    found = Sinks()

    class Hook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.hooks[self.headers["webhook-id"]] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """A sender that was killed; nothing to print."""

    hooks = Server(("127.0.0.1", 0), Hook)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    mails = Controller(_Post(found), hostname="127.0.0.1", port=free_port())
    mails.start()
    found.smtp_url = f"smtp://127.0.0.1:{mails.port}"
    found.hook_url = f"http://127.0.0.1:{hooks.server_port}/"
    try:
        yield found
    finally:
        mails.stop()
        hooks.shutdown()
        hooks.server_close()
