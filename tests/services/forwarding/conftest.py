"""The three services apart, each behind a port of its own, the console before them, and all in one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from backbone.data_folder import write_private
from backbone.settings import Settings, load_settings
from backbone.web.server import ThreadedServer
from services.app import SERVICES, Runtime, running
from services.console.forwarding.app import Gateway

KEY = "tl_a-key-that-all-of-them-know-0123456789abcdef"
SECRET = "a secret for tests only"


@dataclass
class Apart:
    """`rooms`, `urls`: of each service by name, and of `all` in one. `console`: the address of the console."""

    rooms: dict[str, Runtime]
    urls: dict[str, str]
    console: str

    def ask(self, where: str, method: str, path: str, **more: object) -> httpx.Response:
        """A call with the admin key; `where`: `console`, or a name in `urls`."""
        url = self.console if where == "console" else self.urls[where]
        headers = {"authorization": f"Bearer {KEY}", **more.pop("headers", {})}  # type: ignore[dict-item]
        return httpx.request(method, url + path, headers=headers, timeout=30, **more)  # type: ignore[arg-type]


def settings_in(folder: Path) -> Settings:
    """Settings under which the admin key is `KEY`."""
    folder.mkdir(mode=0o700)
    write_private(folder / "admin.key", KEY + "\n")
    return load_settings(
        data_dir=folder, port=0, partitions=1, clock="log", secret_key=SECRET, cors_origins="https://app.acme.test",
        trusted_proxies="127.0.0.1/32", public_url="http://touch.acme.test",
    )  # fmt: skip


@pytest.fixture(scope="package")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Each on a log and a database of its own: what they say of each other's data is not for tests here."""
    folder = tmp_path_factory.mktemp("apart")
    rooms, urls = {}, {}
    with ExitStack() as stack:
        for name in (*SERVICES, "all"):
            names = SERVICES if name == "all" else (name,)
            rooms[name], urls[name] = stack.enter_context(running(settings_in(folder / name), names))
        gateway = Gateway({name: urls[name] for name in SERVICES}, body_s=20)
        front = ThreadedServer(gateway, load_settings(port=0), gateway=True)
        front.start()
        stack.callback(front.stop)
        yield Apart(rooms, urls, front.url)
