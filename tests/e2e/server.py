"""The real server in a process of its own, for tests that use it over HTTP, kill it and start it again."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from backbone.database import Database
from backbone.settings import load_settings
from deploy.local.ports import free_port
from tests.e2e.nursery import Service
from tests.recount import check_counts

READY_S = 60.0
SETTLED_S = 120.0


class Server:
    """`touchline serve all` on a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {"DATA_DIR": str(folder / "data"), "PORT": str(self.port), **settings}
        self._process = Service("server", ["serve", "all"], folder / "server.log")
        self.kills = 0

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TOUCHLINE_")}
        environment |= {f"TOUCHLINE_{name}": value for name, value in self._settings.items()}
        self._process.env = environment
        self._process.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Poll until the server is ready. Fails with the server's own words."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self._process.alive, f"ended with {self._process.returncode}: {self.log()}"
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready after {READY_S} s: {self.log()}")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self.kills += 1

    def stop(self) -> int:
        """Stop the server as Ctrl-C does, and return its exit status."""
        self._process.stop(30, signal.SIGINT)
        return self._process.returncode or 0

    def log(self) -> str:
        """The end of the server's log."""
        return (self.folder / "server.log").read_text(errors="replace")[-4_000:]

    @property
    def key(self) -> str:
        """The admin key."""
        return (self.folder / "data" / "admin.key").read_text().strip()

    def client(self) -> httpx.Client:
        """A client with the admin key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    def settle(self) -> None:
        """Poll until everything is decided, played and sent."""
        deadline = time.monotonic() + SETTLED_S
        status: Any = None
        with self.client() as client:
            while time.monotonic() < deadline:
                status = client.get("/v1/status").json()
                if status["idle"]:
                    return
                assert "worker stopped" not in self.log(), self.log()
                time.sleep(0.05)
        raise AssertionError(f"not idle after {SETTLED_S} s: {status}\n{self.log()}")

    def check_counts(self) -> None:
        """The counts in the database are those of its rows. To be called when the server has stopped."""
        url = self._settings.get("DATABASE_URL", f"sqlite:///{self.folder / 'data' / 'touchline.db'}")
        with contextlib.closing(Database(load_settings(database_url=url).url)) as database:
            check_counts(database)


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Server]:
    """A started server, stopped at the end. Then its counts are right."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    server.check_counts()


def items(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item of a list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.get(
            path, params={"limit": 1_000, **query, **({"cursor": cursor} if cursor else {})}
        ).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
