"""The libraries of Segment and RudderStack as they are today, with nothing but their host changed.

Each says the same of one user: who he is, where he belongs, what happened, which page he saw.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import segment.analytics.client
from rudderstack.analytics import client as rudderstack

from backbone.log import EVENTS
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from deploy.local.need import LIBRARIES
from deploy.local.node import chromium, node_packages
from schemas.event import Event, decode
from services.app import Runtime, running

pytestmark = pytest.mark.slow
PATIENCE_S = 60  # a limit for a machine under load


@dataclass
class Door:
    """A server, and a web page's own that may call it."""

    rooms: Runtime
    url: str
    site: ThreadingHTTPServer
    done: "list[str]"

    def key(self, scope: str) -> str:
        return create_key(self.rooms.db, self.rooms.clock, scope, [scope])

    def logged(self, user: str) -> list[Event]:
        """What is on the log of a user, in order."""
        log = self.rooms.log
        records = log.read(EVENTS, 0, log.start_offsets(EVENTS)[0], 1_000)
        events = [decode(record.value, place="", timestamp=0) for record in records]
        return [event for event in events if event.contact == user]


class Site(BaseHTTPRequestHandler):
    """The page, the library beside it, and an ear for what the page has to tell."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        library = node_packages(LIBRARIES) / "@segment" / "analytics-next" / "dist" / "umd"
        file = LIBRARIES / "page.html" if path == "/" else library / Path(path).name
        self.send_response(200 if file.is_file() else 404)
        self.send_header("content-type", "text/html" if path == "/" else "text/javascript")
        self.end_headers()
        if file.is_file():
            self.wfile.write(file.read_bytes())

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["content-length"])).decode()
        self.send_response(204)
        self.end_headers()
        self.server.done.append(said)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    done: list[str] = []
    site.done = done  # type: ignore[attr-defined]
    threading.Thread(target=site.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{site.server_port}"
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("door"), port=0, partitions=1, cors_origins=origin
    )
    try:
        with running(settings, ["ingest"]) as (rooms, url):
            yield Door(rooms, url, site, done)
    finally:
        site.shutdown()
        site.server_close()


def check(door: Door, user: str, group: str, at: datetime | None, source: str = "segment") -> None:
    """Who, where and when: as the library was told. `at` None: some moment of the last minute."""
    events = door.logged(user)
    assert {event.source for event in events} == {source}
    by_type = {event.type: event for event in events if event.account == group}
    assert {"contact.updated", "account.updated", "ticket_opened", "page"} <= by_type.keys()
    ticket, account, contact = (
        by_type[one] for one in ("ticket_opened", "account.updated", "contact.updated")
    )
    assert ticket.data == {"severity": "high"}
    assert by_type["page"].data["name"] == "Pricing"
    assert (account.data["name"], account.data["attributes"]["plan"]) == ("Acme", "pro")
    assert (contact.data["email"], contact.data["name"]) == (f"{user}@acme.test", "Ann Lee")
    assert ticket.time is not None
    assert len({event.id for event in events}) == len(events)
    if at is not None:
        assert abs(ticket.time - at) < timedelta(milliseconds=1)
    else:
        assert timedelta() <= datetime.now(UTC) - ticket.time < timedelta(minutes=1)


TWO_HOURS_AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
TRAITS = {"firstName": "Ann", "lastName": "Lee"}


def with_segment_python(url: str, key: str, user: str, group: str, at: datetime) -> None:
    failed: list[Any] = []
    client = segment.analytics.client.Client(
        key, host=url, gzip=True, max_retries=1, on_error=lambda error, _: failed.append(error)
    )
    client.identify(user, {"email": f"{user}@acme.test", **TRAITS}, timestamp=at)
    client.group(user, group, {"name": "Acme", "plan": "pro"}, timestamp=at)
    client.track(user, "Ticket Opened", {"severity": "high"}, timestamp=at)
    client.page(user, None, "Pricing", timestamp=at)
    client.flush()
    client.join()
    assert failed == []


def with_rudder_python(url: str, key: str, user: str, group: str, at: datetime) -> None:
    failed: list[Any] = []
    client = rudderstack.Client(key, host=url, max_retries=1, on_error=lambda error, _: failed.append(error))
    client.identify(user, {"email": f"{user}@acme.test", **TRAITS}, timestamp=at)
    client.group(user, group, {"name": "Acme", "plan": "pro"}, timestamp=at)
    client.track(user, "Ticket Opened", {"severity": "high"}, timestamp=at)
    client.page(user, None, "Pricing", timestamp=at)
    client.shutdown()
    assert failed == []


def with_node(script: str) -> Callable[[str, str, str, str, datetime], None]:
    def run(url: str, key: str, user: str, group: str, at: datetime) -> None:
        command = ["node", str(LIBRARIES / script), url, key, user, group, at.isoformat()]
        environment = {**os.environ, "NODE_PATH": str(node_packages(LIBRARIES))}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    ("name", "say"),
    [
        ("segment-python", with_segment_python),
        ("rudder-python", with_rudder_python),
        ("segment-node", with_node("segment_node.cjs")),
        ("rudder-node", with_node("rudder_node.cjs")),
    ],
)
def test_a_servers_library(door: Door, name: str, say: Callable[..., None]) -> None:
    say(door.url, door.key("events:write"), f"ann-{name}", f"acme-{name}", TWO_HOURS_AGO)
    check(door, f"ann-{name}", f"acme-{name}", TWO_HOURS_AGO)


@contextmanager
def browser(address: str, profile: Path) -> Iterator[subprocess.Popen[bytes]]:
    found = chromium()
    assert found is not None, "no Chromium: python -m deploy.local.need"
    # A port for debugging keeps it running without a window; as root, there is no sandbox.
    options = ["--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    options += ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
    with (profile / "log").open("wb") as said:
        child = subprocess.Popen(
            [found, *options, f"--user-data-dir={profile}", address], stdout=said, stderr=said
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@pytest.mark.timeout(180)
def test_a_browsers_library(door: Door, tmp_path: Path) -> None:
    """In a web page of another origin, with a key that may stand there."""
    asked = {"url": door.url, "key": door.key("track"), "user": "ann-web", "group": "acme-web"}
    page = f"http://127.0.0.1:{door.site.server_port}/?{urlencode(asked)}"
    profile = tmp_path / "profile"
    profile.mkdir()
    deadline = time.monotonic() + PATIENCE_S
    with browser(page, profile) as child:
        while not door.done:
            assert child.poll() is None, (profile / "log").read_text(errors="replace")[-2_000:]
            assert time.monotonic() < deadline, (profile / "log").read_text(errors="replace")[-2_000:]
            time.sleep(0.05)
    assert door.done == ["fine"]
    check(door, "ann-web", "acme-web", None, source="segment-public")
    assert all(event.unvouched for event in door.logged("ann-web"))
    shutil.rmtree(profile, ignore_errors=True)
