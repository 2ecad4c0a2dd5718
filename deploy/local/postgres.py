"""A real PostgreSQL on a free port of 127.0.0.1, with a password of its own.

By hand: `python -m deploy.local.postgres [--data DIR] [--port N]`, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg

from deploy.local.ports import free_port
from deploy.local.process import Child, LocalError, tail, wait_until

START_S = 60.0
_SUPERUSER = "touchline"


class Postgres:
    """One server; a context manager. With no `folder` its data live in a temporary folder and go at the end.

    A temporary server does not force its writes to the disk: it survives `kill9`, not a loss of power.
    """

    def __init__(self, folder: Path | None = None, port: int | None = None) -> None:
        self._temporary = folder is None
        self._user = server_user()
        self._home = (
            Path(tempfile.mkdtemp(prefix="touchline-postgres-"))
            if folder is None
            else reachable_folder(folder, self._user)
        )
        self.port = port or free_port()
        self._password = ""
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def log(self) -> Path:
        return self._home / "postgres.log"

    def url(self, database: str = "postgres") -> str:
        """The database's address, as TOUCHLINE_DATABASE_URL takes it (it holds the password)."""
        return f"postgresql+psycopg://{_SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{quote(database)}"

    def launch(self) -> None:
        """Make the cluster if it is new, and start the server anew without waiting for it."""
        self._prepare()
        if self._child is not None:
            self._child.stop(first=signal.SIGINT)
        self._child = Child("PostgreSQL", self._command(), self.log, user=self._user, cwd=Path("/"))
        self._child.start()

    def start(self) -> Postgres:
        """Launch the server, and wait until it answers."""
        deadline = time.monotonic() + START_S
        while True:
            self.launch()
            try:
                wait_until("PostgreSQL starts", self._answers, START_S, self._child)
            except LocalError:
                # after a kill -9 the old back ends hold the shared memory for a moment
                if self.alive or time.monotonic() > deadline or "shared memory" not in tail(self.log):
                    raise
                time.sleep(0.2)
            else:
                return self

    def stop(self) -> None:
        """PostgreSQL's fast shutdown; a temporary folder is removed."""
        if self._child is not None:
            self._child.stop(first=signal.SIGINT)
        if self._temporary:
            shutil.rmtree(self._home, ignore_errors=True)

    def kill9(self) -> None:
        """kill -9 of the server and its back ends; the data stay."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop if it runs, and start again on the same port and data."""
        self.start()

    def create_database(self, name: str) -> str:
        """Make an empty database if it is not there yet, and return its address."""
        create_database(self.url(), name)
        return self.url(name)

    def __enter__(self) -> Postgres:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        password = self._home / "password"
        if not password.is_file():
            self._home.mkdir(parents=True, exist_ok=True)
            password.touch(mode=0o600)
            password.write_text(secrets.token_hex(16))
        self._password = password.read_text().strip()
        if self._user is not None:
            for path in (self._home, password):
                shutil.chown(path, self._user)
        if not (self._home / "data" / "PG_VERSION").is_file():
            self._initdb(password)

    def _initdb(self, password: Path) -> None:
        shutil.rmtree(self._home / "data", ignore_errors=True)
        command = [
            tool("initdb"),
            "-D",
            str(self._home / "data"),
            "-U",
            _SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C",
        ]
        command += ["--auth=scram-sha-256", f"--pwfile={password}"]
        command += ["--no-sync"] if self._temporary else []
        group = None if self._user is None else pwd.getpwnam(self._user).pw_gid
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._user,
            group=group,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode != 0:
            raise LocalError(f"initdb failed:\n{(done.stdout + done.stderr)[-1500:]}")

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off" if self._temporary else "on",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [tool("postgres"), "-D", str(self._home / "data"), *settings]

    def _answers(self) -> bool:
        try:
            with _connect(self.url()) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = re.sub(r"^postgresql\+\w+:", "postgresql:", url)
    return psycopg.connect(plain, autocommit=True, connect_timeout=5)


def create_database(server_url: str, name: str) -> None:
    """CREATE DATABASE `name` on the server of `server_url`, unless it is there."""
    with _connect(server_url) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            quoted = psycopg.sql.Identifier(name)
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(quoted))


def drop_database(server_url: str, name: str) -> None:
    """DROP DATABASE `name`, cutting off whoever is connected to it."""
    with _connect(server_url) as connection:
        quoted = psycopg.sql.Identifier(name)
        connection.execute(psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))


def tool(name: str) -> str:
    """The path of one of PostgreSQL's programs: of Debian's versioned folders the newest, else from PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: _number(folder.parent.name)
    )
    for folder in reversed(folders):
        if (folder / name).is_file():
            return str(folder / name)
    if found := shutil.which(name):
        return found
    raise LocalError("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")


def _number(version: str) -> float:
    with contextlib.suppress(ValueError):
        return float(version)
    return 0.0


def server_user() -> str | None:
    """The user to run the server as: None is ourselves; root may not run it, so then `postgres` or else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LocalError(f"PostgreSQL does not run as {getpass.getuser()}, and there is no user postgres")


def reachable_folder(folder: Path, user: str | None) -> Path:
    """`folder`, or one of /var/tmp in its stead where `user` may not go (a private home of root)."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if user is None:
        return folder
    shutil.chown(folder, user)
    probe = subprocess.run(
        ["test", "-x", str(folder)], user=user, group=pwd.getpwnam(user).pw_gid, extra_groups=[], check=False
    )
    if probe.returncode == 0:
        return folder
    # The place is written down here, so that whoever deletes the data folder starts afresh.
    elsewhere = folder / "elsewhere"
    if not elsewhere.is_file():
        if (folder / "data" / "PG_VERSION").is_file():
            raise LocalError(
                f"{folder} holds a database, and the user {user}, as whom PostgreSQL runs, may no longer go there: "
                f"move the folder to where that user may, and write that place into {elsewhere}"
            )
        elsewhere.write_text(tempfile.mkdtemp(prefix="touchline-postgres-", dir="/var/tmp"))
    return Path(elsewhere.read_text().strip())


def main() -> None:
    """Run a server until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="keep its data here (default: a temporary folder)")
    parser.add_argument("--port", type=int, help="default: a free one")
    options = parser.parse_args()
    with Postgres(options.data, options.port) as server:
        print(f"TOUCHLINE_DATABASE_URL={server.create_database('touchline')}", flush=True)
        try:
            while server.alive:
                time.sleep(0.5)
            print(tail(server.log))
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
