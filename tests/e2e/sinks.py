"""The sinks at which mails and webhooks arrive, in a process of their own. Arrivals are counted by the action's id.

The process has a higher priority if that is allowed, so that answers do not wait for the rest of the test. Whatever is
on the wire when a sender is killed may be sent again, and in real life the other side is another machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.e2e.letters import hook_said, mail_said

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LIMIT = 1 << 20  # bytes of headers at most
NICE = -10


@dataclass
class Arrived:
    """By the action's id: how often it arrived, the text of its first arrival, and the ids whose repeats differ."""

    counts: Counter[str]
    said: dict[str, str]
    unlike: list[str]


@dataclass
class Sinks:
    """The arrivals: mails by Message-ID, webhooks by webhook-id."""

    process: subprocess.Popen[bytes]
    smtp_url: str
    hook_url: str

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def mails(self) -> Counter[str]:
        """How often each mail has arrived."""
        return Counter(self._ask()["mails"])

    @property
    def hooks(self) -> Counter[str]:
        """How often each webhook has arrived."""
        return Counter(self._ask()["hooks"])

    def arrived(self) -> Arrived:
        """All arrivals, by action."""
        found = self._ask(b"said\n")
        counts = Counter({_action(name): count for name, count in found["mails"].items()})
        counts.update(found["hooks"])
        told = {_action(name): line for name, line in found["said"].items()}
        return Arrived(counts, told, [_action(name) for name in found["unlike"]])

    def clear(self) -> None:
        """Forget all arrivals."""
        self._ask(b"forget\n")

    def _ask(self, question: bytes = b"counts\n") -> dict[str, Any]:
        with self._lock:
            found: dict[str, Any] = _line(self.process, question)
        return found


def _action(name: str) -> str:
    """The action that a Message-ID or webhook-id names."""
    return name.strip("<>").partition("@")[0]


def _line(process: subprocess.Popen[bytes], question: bytes = b"") -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@contextmanager
def sinks() -> Iterator[Sinks]:
    """An SMTP server and a webhook receiver on free ports of 127.0.0.1."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.sinks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        ports = _line(process)
        try:
            yield Sinks(process, f"smtp://127.0.0.1:{ports['smtp']}", f"http://127.0.0.1:{ports['http']}/")
        finally:
            process.kill()


# -- in the sinks' process

_mails: Counter[str] = Counter()
_hooks: Counter[str] = Counter()
_said: dict[str, str] = {}
_unlike: list[str] = []


def _note(seen: Counter[str], name: str, line: str) -> None:
    seen[name] += 1
    if _said.setdefault(name, line) != line:
        _unlike.append(name)


class _Post:
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        message = BytesParser().parsebytes(content if isinstance(content, bytes) else b"")
        text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
        raw: Any = text.get_payload(decode=True)
        line = mail_said(envelope.rcpt_tos[0], str(message["Subject"]), raw.decode())
        _note(_mails, str(message["Message-ID"]).strip(), line)
        return "250 OK"


async def _hook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak as much HTTP/1.1 as our own sender needs: a length, and connections that stay open."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
            fields = {name.lower(): value.strip().decode() for name, _, value in lines}
            body = await reader.readexactly(int(fields.get(b"content-length", "0")))
            _note(_hooks, fields[b"webhook-id"], hook_said(body))
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def _main() -> None:
    with suppress(PermissionError):
        os.nice(NICE)
    loop = asyncio.get_running_loop()
    mails = await loop.create_server(lambda: SMTP(_Post(), hostname="sink", loop=loop), "127.0.0.1", 0)
    hooks = await asyncio.start_server(_hook, "127.0.0.1", 0, limit=LIMIT, backlog=512)
    print(json.dumps({"smtp": _port(mails), "http": _port(hooks)}), flush=True)
    while question := await asyncio.to_thread(sys.stdin.readline):
        if question == "forget\n":
            for held in (_mails, _hooks, _said, _unlike):
                held.clear()
        found: dict[str, Any] = {"mails": _mails, "hooks": _hooks}
        if question == "said\n":
            found |= {"said": _said, "unlike": _unlike}
        print(json.dumps(found), flush=True)


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    asyncio.run(_main())
