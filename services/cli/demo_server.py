"""The demo's server: in a data folder of its own, on a free port, beside whatever else is running."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from backbone.errors import ConfigurationError
from backbone.private_files import open_private, private_folder
from backbone.settings import Settings
from services.cli.client import ApiError, Client

READY_S, STOP_S = 60.0, 30.0
NEIGHBOURS = 100  # so many ports are tried
LOCK = "log.lock"  # locked by the process that has the folder's log open, and holding its id


def free_port(settings: Settings) -> int:
    """The configured port or, if it is in use, the next free one."""
    for port in range(settings.port, min(settings.port + NEIGHBOURS, 65_536)):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                tried.bind((_host(settings), port))
                return int(tried.getsockname()[1])
    raise ConfigurationError(
        f"cannot listen on {settings.host}, port {settings.port} or one of the next; TOUCHLINE_HOST and TOUCHLINE_PORT "
        "choose another address"
    )


def _host(settings: Settings) -> str:
    return "127.0.0.1" if ":" in settings.host else settings.host


def emptied(folder: Path) -> int | None:
    """Make the folder anew. Returns the process id of an earlier demo that still had it open, and is stopped now."""
    earlier = _holder(folder / LOCK)
    if earlier is not None:
        with suppress(ProcessLookupError):
            os.kill(earlier, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while _holder(folder / LOCK) is not None:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the server of an earlier demo (pid {earlier}) does not stop: kill {earlier}"
                )
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    private_folder(folder)
    return earlier


def _holder(lock: Path) -> int | None:
    """The process that holds a lock file; None: nobody."""
    with suppress(OSError, ValueError), lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read().strip())
    return None


def serve(folder: Path, port: int, *, detach: bool) -> subprocess.Popen[bytes]:
    """Start the server. It uses no setting but ours, so that the demo is the same on every machine."""
    settings = {
        "TOUCHLINE_DATA_DIR": str(folder.absolute()),
        "TOUCHLINE_PORT": str(port),
        "TOUCHLINE_CLOCK": "log",
        "TOUCHLINE_LOG_RETENTION": "3650d",
        "TOUCHLINE_HISTORY_RETENTION": "3650d",
        "TOUCHLINE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TOUCHLINE_LOG_LEVEL": "warning",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    if "TOUCHLINE_HOST" in os.environ:
        kept["TOUCHLINE_HOST"] = os.environ["TOUCHLINE_HOST"]
    with os.fdopen(open_private(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", "serve", "all"],
            cwd=folder,  # where there is no .env
            env=kept | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=detach,
        )


def ready(server: subprocess.Popen[bytes], folder: Path, url: str) -> Client:
    """Wait until the server is ready. Raises `ConfigurationError` with its output if it does not start."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = (folder / "server.log").read_text(encoding="utf-8", errors="replace").strip()
            raise ConfigurationError(
                f"the demo's server did not start: {said.splitlines()[-1] if said else ''}"
            )
        key = folder / "admin.key"
        if key.exists():
            with suppress(ConfigurationError, ApiError):  # not up yet, in whatever way
                client = Client(url, key.read_text(encoding="utf-8").strip())
                client.call("GET", "/readyz")
                return client
        time.sleep(0.1)
    raise ConfigurationError(
        f"the demo's server was not ready within {READY_S:.0f} s; see {folder / 'server.log'}"
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop it, and wait."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=STOP_S)
