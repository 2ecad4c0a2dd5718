"""A database whose pages are damaged: whatever fails then, the log quotes nobody's data."""

import contextlib
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import Server

PAGE = 4_096
WHILE_S = 5.0
# a person's address and name, and what the mail says
CANARIES = (b"canary@acme.test", b"Canary Lee", b"canary of a mail")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server that has sent a mail, left in peace."""
    folder = tmp_path_factory.mktemp("whole")
    server = Server(folder)
    server.start()
    with server.client() as client:
        mail = {"name": "hello", "subject": "For {{ contact.name }}", "markdown": "The canary of a mail"}
        rule = {
            "name": "r",
            "when": {"threshold": {"event": "a", "within": "1d", "at_least": 1}},
            "playbook": "p",
        }
        for path, body in (
            ("templates", mail),
            ("playbooks", {"name": "p", "steps": [{"email": {"template": "hello"}}]}),
            ("rules", {**rule, "status": "active"}),
        ):
            assert client.post(f"/v1/{path}", json=body).status_code == 201
        contacts = [{"id": f"c{n}", "email": "canary@acme.test", "name": "Canary Lee"} for n in range(30)]
        for n in range(10):
            assert client.put(f"/v1/accounts/acme-{n}", json={"contacts": contacts}).status_code == 202
        client.post(
            "/v1/events", json=[{"type": "a", "account": f"acme-{n}", "contact": "c1"} for n in range(10)]
        )
        server.settle()
    server.stop()
    data = (folder / "data" / "touchline.db").read_bytes()
    assert all(canary in data for canary in CANARIES)
    return folder / "data"


def cells(data: bytearray, _: random.Random) -> None:
    """Every text with one of these in it is no text any more."""
    for canary in CANARIES:
        at = -1
        while (at := data.find(canary, at + 1)) >= 0:
            data[at + len(canary) - 1] = 0xFF


def pages(data: bytearray, dice: random.Random) -> None:
    """Some pages hold something else in places."""
    for _ in range(40):
        at = PAGE * dice.randrange(2, len(data) // PAGE) + dice.randrange(PAGE - 64)
        data[at : at + 64] = dice.randbytes(64)


@pytest.mark.parametrize(
    ("damage", "seed"), [(cells, 0), (pages, 1), (pages, 2), (pages, 3)], ids=["cells", "1", "2", "3"]
)
def test_the_log_quotes_nobody(
    whole: Path, tmp_path: Path, damage: Callable[[bytearray, random.Random], None], seed: int
) -> None:
    shutil.copytree(whole, tmp_path / "data")
    database = tmp_path / "data" / "touchline.db"
    data = bytearray(database.read_bytes())
    damage(data, random.Random(seed))
    database.write_bytes(data)
    server = Server(tmp_path)
    with contextlib.suppress(AssertionError):  # it may well refuse to start, or not come to be ready
        server.start()
        use(server)
    server.kill()
    said = (tmp_path / "server.log").read_bytes()
    assert said
    assert [canary for canary in CANARIES if canary[:-1] in said] == []


def use(server: Server) -> None:
    """Ask for everything, and have mails written; for a while, since it may never be done."""
    until = time.monotonic() + WHILE_S
    with server.client() as client, contextlib.suppress(httpx.HTTPError, KeyError):
        for n in range(10):
            client.post("/v1/events", json={"type": "a", "account": f"acme-{n}", "contact": "c2"})
            client.put(f"/v1/accounts/acme-{n}", json={"contacts": [{"id": "c1", "name": "Canary Lee"}]})
        for path in ("actions", "plays", "triggers", "accounts", "templates"):
            client.get(f"/v1/{path}", params={"limit": 1_000})
        while time.monotonic() < until and not client.get("/v1/status").json()["idle"]:
            time.sleep(0.1)
