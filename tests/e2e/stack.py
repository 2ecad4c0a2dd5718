"""Kafka, PostgreSQL and any number of service processes, which tests use over HTTP, kill, stop and freeze."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from backbone.clock import WallClock
from backbone.database import Database
from backbone.log import Log, open_log
from backbone.settings import Settings, load_settings
from backbone.web.api_keys import ensure_admin_key
from deploy.local.ports import free_port
from deploy.local.process import Child, tail, wait_until
from tests.e2e.nursery import Service
from tests.migrated import migrated
from tests.recount import check_counts

READY_S = 90.0
SETTLED_S = 150.0
TOLD_S = 30.0
KINDS = ("ingest", "rules", "actions")
INGEST = frozenset(
    {"events", "clock", "track", "identify", "group", "batch", "aliases", "unmatched", "sources", "hooks"}
)
# The metrics that a process of each kind counts as soon as it gets to work.
WORK = {
    "ingest": "touchline_events_accepted_total",
    "rules": "touchline_events_decided_total",
    "actions": 'touchline_batch_seconds_count{service="actions"}',
}
SECRET = "a secret for tests only"
# Texts in the workers' logs that tell of a surprise.
SURPRISES = ("worker stopped", "loop stopped", "Traceback")


@dataclass
class Process:
    """One `touchline serve` process."""

    kind: str
    port: int
    child: Child
    environment: dict[str, str]
    kills: int = 0
    read: int = 0  # bytes of its log that have been searched

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, failpoint: str = "") -> None:
        """Start the process without waiting. With a failpoint (`name:count`) it will end by itself there."""
        self.child.env = {**self.environment, **({"TOUCHLINE_FAILPOINT": failpoint} if failpoint else {})}
        self.child.start()

    def ready(self) -> bool:
        """Whether the process says that it is ready."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def ready_or_dead(self) -> bool:
        """Whether the process says that it is ready, or has ended: one that dies at a failpoint may do so before."""
        return self.ready() or not self.child.alive

    def working(self) -> bool:
        """Whether the process has done any of its work since its start, by its metrics."""
        with contextlib.suppress(httpx.HTTPError):
            lines = httpx.get(f"{self.url}/metrics", timeout=5).text.splitlines()
            counts = [line.rpartition(" ")[2] for line in lines if line.startswith(WORK[self.kind])]
            return any(float(count) > 0 for count in counts)
        return False

    def kill9(self) -> None:
        """kill -9 the process and everything that it has started."""
        self.child.kill()
        self.kills += 1

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.child.pid, signal.SIGCONT)


class Routes(httpx.BaseTransport):
    """Does the work of a reverse proxy (docs/operations.md): sends each call to a process of the right service."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._under = httpx.HTTPTransport()
        self._turn = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand the request to the processes of its service in turn."""
        processes = [p for p in self._stack.of(service_of(request.method, request.url.path)) if p.child.alive]
        if not processes:
            raise httpx.ConnectError("no process of that service runs", request=request)
        self._turn += 1
        port = processes[self._turn % len(processes)].port
        request.url = request.url.copy_with(port=port)
        request.headers["Host"] = f"127.0.0.1:{port}"
        return self._under.handle_request(request)

    def close(self) -> None:
        self._under.close()


def service_of(method: str, path: str) -> str:
    """The service that answers a call."""
    parts = path.strip("/").split("/")
    named = parts[2:] if parts[1:2] in (["export"], ["stats"]) else parts[1:]
    first = named[0] if named else ""
    if first in INGEST or (first == "accounts" and method == "PUT"):
        return "ingest"
    return "rules" if first in {"rules", "tiers", "triggers", "accounts"} else "actions"


@dataclass
class Stack:
    """The processes on one empty broker and one empty database. `settings`: names without TOUCHLINE_."""

    folder: Path
    kafka: str
    database: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 1))
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    key: str = ""
    _surprises: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The environment of every process."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
        mine = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka, "DATABASE_URL": self.database, "DATA_DIR": str(self.folder),
            "SECRET_KEY": SECRET, "KAFKA_SESSION_TIMEOUT": "1.5", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "LOG_FORMAT": "json", **self.settings,
        }  # fmt: skip
        return env | {f"TOUCHLINE_{name}": value for name, value in mine.items()}

    def loaded(self) -> Settings:
        """The processes' settings, for a test's own use."""
        prefix = "TOUCHLINE_"
        mine = {
            k.removeprefix(prefix).lower(): v for k, v in self.environment().items() if k.startswith(prefix)
        }
        return load_settings(**mine)

    def open_log(self) -> Log:
        """Open the log, to be read in the test."""
        return open_log(self.loaded())

    def open_database(self) -> Database:
        """Open the database, to look into its tables."""
        return Database(self.loaded().url, pool_size=2)

    def start(self) -> None:
        """Migrate, make the admin key, start all processes and wait until they are ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        database = self.open_database()
        try:
            migrated(database)
            self.key = ensure_admin_key(database, WallClock(), self.folder / "admin.key") or ""
        finally:
            database.close()
        for kind, count in self.counts.items():
            for _ in range(count):
                self.add(kind).start()
        self.wait_ready()

    def add(self, kind: str) -> Process:
        """One more process, not started yet."""
        port, number = free_port(), len(self.of(kind)) + 1
        command = ["serve", kind]
        environment = {**self.environment(), "TOUCHLINE_PORT": str(port)}
        log = self.folder / f"{kind}-{number}.log"
        self.processes.append(
            Process(kind, port, Service(f"{kind}-{number}", command, log, environment), environment)
        )
        return self.processes[-1]

    def of(self, kind: str) -> list[Process]:
        """The processes of a service."""
        return [process for process in self.processes if process.kind == kind]

    def one(self, kind: str) -> Process:
        """The first process of a service."""
        return self.of(kind)[0]

    def wait_ready(self) -> None:
        """Wait until every running process is ready."""
        for process in self.processes:
            if process.child.alive:
                wait_until(f"{process.child.name} gets ready", process.ready, READY_S, process.child)

    def client(self) -> httpx.Client:
        """A client with the admin key for all services at once."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url="http://127.0.0.1", headers=headers, timeout=60, transport=Routes(self))

    def left(self) -> list[dict[str, Any]]:
        """The work left to do, as told by rules, actions, and rules again; empty if all is decided, played and sent.

        Actions never gets past an event before rules does.
        """
        said = [self.status(kind) or {} for kind in ("rules", "actions", "rules")]
        return [] if all(one.get("idle") for one in said) else said

    def status(self, kind: str) -> dict[str, Any] | None:
        """The status of a service; None if none of its processes answers."""
        for process in self.of(kind):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                headers = {"Authorization": f"Bearer {self.key}"}
                answer = httpx.get(f"{process.url}/v1/status", headers=headers, timeout=10)
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
        return None

    def settle(self, timeout_s: float = SETTLED_S, told: Callable[[str], None] = lambda _: None) -> None:
        """Poll until idle. `timeout_s`: how long the work left may stay the same; `told` is called with it."""
        began = changed = spoke = time.monotonic()
        before: list[dict[str, Any]] = []
        while left := self.left():
            assert not (wrong := self.surprises()), wrong[:3]
            left = [one | {"clock": None} for one in left]
            now = time.monotonic()
            changed = changed if left == before else now
            assert now - changed < timeout_s, f"not idle: {left}\n{self.said()}"
            if now - spoke > TOLD_S:
                told(f"to do: {left}")
                spoke = now
            before = left
            time.sleep(min(2.0, max(0.1, (now - began) / 20)))  # each question costs the processes some work

    def said(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {p.child.name}\n{tail(p.child.log)}" for p in self.processes)

    def surprises(self) -> list[str]:
        """Lines of the logs about things that must not happen, whatever is killed."""
        for process in self.processes:
            with process.child.log.open("rb") as log:
                log.seek(process.read)
                said = log.read()
            whole = said.rfind(b"\n") + 1
            process.read += whole
            self._surprises += [
                f"{process.child.name}: {line[:2000]}"
                for line in said[:whole].decode(errors="replace").splitlines()
                if any(word in line for word in SURPRISES)
            ]
        return self._surprises

    def stop(self) -> None:
        """Stop all processes, by kill -9: everything that is checked later is on the disk."""
        for process in self.processes:
            process.child.kill()


@contextlib.contextmanager
def stacked(stack: Stack) -> Iterator[Stack]:
    """A started stack, stopped at the end. Then its counts are right."""
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
    with contextlib.closing(stack.open_database()) as database:
        check_counts(database)


def until(what: str, check: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Poll until `check` returns something true, and return that."""
    return wait_until(what, check, timeout_s)


def until_there(what: str, count: Callable[[], int], goal: int, still_s: float = SETTLED_S) -> None:
    """Poll until `count` has reached the goal. `still_s`: for how long it may stay the same."""
    found, changed = -1, time.monotonic()
    while (now := count()) < goal:
        found, changed = (found, changed) if now == found else (now, time.monotonic())
        assert time.monotonic() - changed < still_s, (
            f"{what}: {found} of {goal}, and no more for {still_s:g} s"
        )
        time.sleep(0.5)
