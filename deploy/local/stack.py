"""`make stack`: Kafka, PostgreSQL, the three services and the console as separate processes of this machine.

Everything lies under the data folder (TOUCHLINE_DATA_DIR, default ./data): `admin.key`, `stack.json` with the
pid, address and log of every process, and `stack/` with the servers' data and the logs. What ends is started
again; Ctrl-C stops all of it. Settings of the environment and of `.env` (TOUCHLINE_CLOCK and the like) reach the
services. As root, where PostgreSQL's user may not go into the data folder, its data lie under /var/tmp; the file
`stack/postgres/elsewhere` says where.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backbone.clock import WallClock
from backbone.data_folder import write_private
from backbone.database import Database
from backbone.errors import TouchlineError
from backbone.private_files import OTHERS, private_folder
from backbone.settings import load_settings
from backbone.web.api_keys import ensure_admin_key
from deploy.local.kafka import START_S, Kafka
from deploy.local.need import ensure
from deploy.local.ports import free_port, port_is_open
from deploy.local.postgres import Postgres
from deploy.local.process import Child, LocalError, wait_until
from deploy.local.supervisor import Watch, interrupt_on_signals, stop_all, supervise

KINDS = ("ingest", "rules", "actions")
CONSOLE = "console"
FIRST_PORT = 8080
DATABASE = "touchline"


@dataclass
class Service:
    """One `touchline serve` process on 127.0.0.1:`port`."""

    name: str
    port: int
    child: Child

    @property
    def alive(self) -> bool:
        return self.child.alive

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        self.child.start()

    def stop(self) -> None:
        self.child.stop()

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        return _status(f"{self.address}/readyz") == 200


class Stack:
    """The whole of it, in the order in which it is started: Kafka, PostgreSQL, migration, key, services, console."""

    def __init__(self, data: Path, counts: dict[str, int], first_port: int = FIRST_PORT) -> None:
        self.ports = {kind: first_port + place for place, kind in enumerate((CONSOLE, *KINDS))}
        self.data = data.resolve()
        self.home = self.data / "stack"
        self.home.mkdir(parents=True, exist_ok=True)
        self.counts = counts
        self.kafka = Kafka(self.home / "kafka")
        self.postgres = Postgres(self.home / "postgres")
        self.services: list[Service] = []
        self.watches: list[Watch] = []

    def start(self) -> None:
        """Start everything and wait until every service is ready; raises LocalError with the end of a log."""
        for port in self.ports.values():
            if port_is_open(port):
                raise LocalError(f"port {port} is taken; is another stack running?")
        say("Kafka …")
        self.watches.append(Watch("kafka", self.kafka))
        self.kafka.start()
        say(f"kafka on {self.kafka.bootstrap_servers}")
        say("PostgreSQL …")
        self.watches.append(Watch("postgres", self.postgres))
        self.postgres.start()
        self.postgres.create_database(DATABASE)
        say(f"postgres on {self.postgres.url(DATABASE).rpartition('@')[2]} (with its password in stack.json)")
        say("database migrations …")
        self.touchline("migrate")
        self._admin_key()
        for service in self._plan():
            self.services.append(service)
            self.watches.append(Watch(service.name, service))
            service.launch()
        for service in self.services:
            say(f"{service.name} on {service.address} …")
            wait_until(f"{service.name} gets ready", service.ready, START_S, service.child)
        self.write()

    def touchline(self, *arguments: str) -> str:
        """Run one `touchline` command with the stack's settings, and return what it printed."""
        command = [_touchline(), *arguments]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalError(f"touchline {arguments[0]} failed:\n{(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Our own environment with the addresses of this stack; secrets are made once and kept."""
        env = dict(os.environ)
        env["TOUCHLINE_DATA_DIR"] = str(self.data)
        env["TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS"] = self.kafka.bootstrap_servers
        env["TOUCHLINE_DATABASE_URL"] = self.postgres.url(DATABASE)
        env["TOUCHLINE_HOST"] = "127.0.0.1"
        given = load_settings()  # of .env too, which yields to the environment
        if not given.public_url:
            env["TOUCHLINE_PUBLIC_URL"] = self._url(CONSOLE)
        if given.secret_key is None:
            env["TOUCHLINE_SECRET_KEY"] = kept_secret(self.data / "secret.key")
        return env

    def _url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.ports[kind]}"

    def _plan(self) -> list[Service]:
        """The fixed ports first; further workers of a service take free ones. The services trust the console, which
        is on this machine, to say who called it."""
        plan = []
        proxies = ",".join(map(str, [*load_settings().trusted_proxies, "127.0.0.1/32"]))
        for kind, count in self.counts.items():
            for number in range(1, count + 1):
                name = kind if number == 1 else f"{kind}-{number}"
                port = self.ports[kind] if number == 1 else free_port()
                env = {**self.environment(), "TOUCHLINE_TRUSTED_PROXIES": proxies}
                plan.append(self._service(kind, name, port, env))
        return [*plan, self._service(CONSOLE, CONSOLE, self.ports[CONSOLE], self._of_console())]

    def _service(self, kind: str, name: str, port: int, env: dict[str, str]) -> Service:
        env = {**env, "TOUCHLINE_PORT": str(port)}
        return Service(name, port, Child(name, [_touchline(), "serve", kind], self.home / f"{name}.log", env))

    def _of_console(self) -> dict[str, str]:
        """The console's own environment: where the services are, and neither Kafka nor a database."""
        env = self.environment() | {f"TOUCHLINE_{kind.upper()}_URL": self._url(kind) for kind in KINDS}
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"):
            del env[f"TOUCHLINE_{name}"]
        if not load_settings().public_url:  # its readers may also call this machine by another name
            del env["TOUCHLINE_PUBLIC_URL"]
        return env

    def _admin_key(self) -> None:
        """Make `admin.key`, readable only to its user; one that is there already holds here too."""
        database = Database(self.postgres.url(DATABASE), pool_size=1)
        try:
            ensure_admin_key(database, WallClock(), self.data / "admin.key")
        finally:
            database.close()

    def write(self) -> None:
        """Write `stack.json`: name → pid, address, log. Private, for it holds the database's password."""
        kafka, postgres = self.kafka, self.postgres
        rows = [
            ("stack", os.getpid(), None, None),
            ("kafka", kafka.pid, kafka.bootstrap_servers, kafka.log),
            ("postgres", postgres.pid, postgres.url(DATABASE), postgres.log),
            *((each.name, each.pid, each.address, each.child.log) for each in self.services),
        ]
        found = {
            name: {"pid": pid, "address": address, "log": log and str(log)}
            for name, pid, address, log in rows
        }
        write_private(self.data / "stack.json", json.dumps(found, indent=2) + "\n")

    def stop(self) -> None:
        """Stop everything, services first, and take `stack.json` away."""
        (self.data / "stack.json").unlink(missing_ok=True)
        stop_all(self.watches, say)


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def kept_secret(path: Path) -> str:
    """The secret in this file; made on first use."""
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def _touchline() -> str:
    return str(Path(sys.executable).with_name("touchline"))


def _status(url: str) -> int:
    """The status that a GET of a local address answers; 0 if nobody does."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _locked(data: Path) -> IO[str]:
    """Hold the data folder; a second stack on it is told so."""
    os.umask(OTHERS)  # of what the servers write too: their files hold everything
    private_folder(data)
    lock = (data / "stack.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LocalError(f"a stack is running on {data} already") from None
    return lock


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = load_settings().data_dir
    parser.add_argument("--data", type=Path, default=default, help="default: TOUCHLINE_DATA_DIR or ./data")
    parser.add_argument(
        "--first-port", type=int, default=FIRST_PORT, help="of the console; then ingest, rules, actions"
    )
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=1, help=f"how many {kind} processes")
    return parser.parse_args()


def run(data: Path, counts: dict[str, int], first_port: int = FIRST_PORT) -> None:
    """Start the stack, look after it until interrupted, stop it."""
    with _locked(data):
        ensure(kafka=True, postgres=True)
        stack = Stack(data, counts, first_port)
        try:
            stack.start()
            say(f"ready; admin key: {stack.data / 'admin.key'}; pids, addresses: {stack.data / 'stack.json'}")
            supervise(stack.watches, say, stack.write)
        except KeyboardInterrupt:
            say("interrupted")
        finally:
            stack.stop()


def main() -> None:
    """The command; exits with 1 and a message if something does not start."""
    interrupt_on_signals()
    try:
        options = _options()
        run(options.data, {kind: getattr(options, kind) for kind in KINDS}, options.first_port)
    except (LocalError, TouchlineError, OSError) as error:
        print(f"touchline: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
