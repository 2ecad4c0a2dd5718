"""`touchline serve` in a process of its own, as it runs at home."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from backbone.clock import WallClock
from backbone.database import Database
from backbone.migrations import migrate_all
from backbone.settings import load_settings
from backbone.web.api_keys import ensure_admin_key
from deploy.local.ports import free_port
from deploy.local.process import wait_until

READY_S = 60.0


@dataclass(frozen=True)
class Served:
    """Where it listens, and the admin key."""

    port: int
    key: str
    pid: int

    def cpu_seconds(self) -> float:
        """What the process has used of the processors."""
        return cpu_seconds(self.pid)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; raises on anything but success."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", msgspec.json.encode(body), method=method,
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answer:
            return msgspec.json.decode(answer.read() or b"null")


def cpu_seconds(pid: int) -> float:
    """Of a process, all its threads, as the system counts it (in hundredths)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(folder: Path, service: str = "all", **settings: str) -> Iterator[Served]:
    """`settings`: names as in the environment, without `TOUCHLINE_`. The tables and the admin key are made first."""
    port = free_port()
    given = {"DATA_DIR": str(folder), "PORT": str(port), "LOG_LEVEL": "error", **settings}
    key = _prepared(folder, given)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    environment |= {f"TOUCHLINE_{name}": value for name, value in given.items()}
    command = [sys.executable, "-m", "services.cli.main", "serve", service]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until("touchline serve", lambda: _ready(port), READY_S)
        yield Served(port, key, child.pid)
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _prepared(folder: Path, given: dict[str, str]) -> str:
    db = Database(load_settings(**{name.lower(): value for name, value in given.items()}).url)
    try:
        migrate_all(db)
        return ensure_admin_key(db, WallClock(), folder / "admin.key") or ""
    finally:
        db.close()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
