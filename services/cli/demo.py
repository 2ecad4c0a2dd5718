"""`touchline demo`: a real purchase log through the engine on the log clock, and what came of it as a story."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backbone.errors import ConfigurationError
from backbone.settings import Settings, load_settings
from services.cli.client import Client
from services.cli.demo_log import END, EXAMPLES, Purchase, events, read_log
from services.cli.demo_server import emptied, free_port, ready, serve, stop
from services.cli.demo_story import Story
from services.cli.documents import find, load
from services.cli.server_documents import address
from services.cli.terminal import Terminal

BATCH = 500
IDLE_S = 900.0

console = Terminal(highlight=False)


def demo(*, detach: bool | None = None) -> int:
    """Replay, tell, and leave the server running: until Ctrl-C on a terminal, else (or with `detach`) on its own."""
    detach = not sys.stdout.isatty() if detach is None else detach
    purchases = read_log(EXAMPLES / "CDNOW_sample.txt")
    settings = load_settings()
    folder = settings.data_dir / "demo"
    earlier = emptied(folder)
    if earlier is not None:
        console.print(f"The server of an earlier demo (pid {earlier}) was stopped.")
    port = free_port(settings)
    server = serve(folder, port, detach=detach)
    try:
        client = ready(server, folder, _url(settings, port))
        with _crm() as crm:
            _configure(client, crm)
            _replay(client, purchases)
            _settle(client, purchases[0].at)
            story = Story(client, purchases)
            story.tell(console)
    except BaseException:
        stop(server)
        raise
    _what_next(client, folder, story)
    if detach:
        console.print(f"The server is left running. Stop it with: kill {server.pid}")
        return 0
    console.print("Ctrl-C stops the server.")
    try:
        server.wait()
    except KeyboardInterrupt:
        stop(server)
    return 0


def _url(settings: Settings, port: int) -> str:
    """The server's address on this machine, whatever `TOUCHLINE_PUBLIC_URL` says."""
    return settings.model_copy(update={"port": port, "public_url": ""}).base_url


@contextmanager
def _crm() -> Iterator[str]:
    """A stand-in for the CRM that webhooks go to; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{sink.server_port}/crm"
    finally:
        sink.shutdown()
        sink.server_close()


def _configure(client: Client, crm: str) -> None:
    for document in load(find([EXAMPLES])):
        body = {**document.body, "url": crm} if document.kind == "endpoint" else document.body
        client.call("PUT", address(document.kind, document.name), body)


def _bar() -> Progress:
    columns = (TextColumn("{task.description:24}"), BarColumn(40), TextColumn("{task.fields[at]:>12}"))
    return Progress(*columns, TimeElapsedColumn(), console=console)


def _replay(client: Client, purchases: list[Purchase]) -> None:
    sent = list(events(purchases))
    with _bar() as bar:
        task = bar.add_task("events sent", total=len(sent), at="")
        for start in range(0, len(sent), BATCH):
            part = sent[start : start + BATCH]
            client.call("POST", "/v1/events", part)
            bar.update(task, advance=len(part), at=f"{start + len(part):,}")
    client.call("POST", "/v1/clock", {"time": END.isoformat()})


def _settle(client: Client, begin: datetime) -> None:
    """Wait until everything is decided, played and sent. The progress bar shows the log's own time, which
    only goes on."""
    deadline = time.monotonic() + IDLE_S
    with _bar() as bar:
        task = bar.add_task("decided, played, sent", total=(END - begin).days + 1, at=f"{begin:%d %b %Y}")
        reached = begin
        while time.monotonic() < deadline:
            status = client.call("GET", "/v1/status")
            if status["idle"]:
                bar.update(task, completed=(END - begin).days + 1, at=f"{END - timedelta(1):%d %b %Y}")
                return
            reached = max(reached, played_until(status, begin))
            bar.update(task, completed=(reached - begin).days, at=f"{reached:%d %b %Y}")
            time.sleep(0.2)
    raise ConfigurationError(f"not idle after {IDLE_S:.0f} s; something is stuck, see the server.log")


def played_until(status: dict[str, Any], begin: datetime) -> datetime:
    """How far into the log everything is played, by the slowest of the services; at least `begin`."""
    clocks = [part.get("clock") for part in status["services"].values() if "clock" in part]
    if not clocks or None in clocks:
        return begin
    return max(begin, min(datetime.fromisoformat(clock) for clock in clocks))


def _what_next(client: Client, folder: Path, story: Story) -> None:
    console.print(f"\n[bold]{story.headline()}[/]")
    console.print(
        "How many would have come back by themselves, nobody knows: nobody was left alone to compare with."
    )
    account, rule = story.example
    key = folder / "admin.key"
    why = f"{client.url}/v1/rules/{rule}/explain?account={account}"
    for line in (
        "\nNext:",
        f"  look around   {client.url}/docs, with the key in {key}; the mails are in {folder / 'outbox'}",
        f'  ask why       curl -H "Authorization: Bearer $(cat {key})" "{why}"',
        "  your events   make run, and “Five minutes” in the README",
    ):
        console.print(line, markup=False, soft_wrap=True)
