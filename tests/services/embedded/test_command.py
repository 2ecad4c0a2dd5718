"""The `touchline` command and the house behind it."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from backbone.errors import ConfigurationError
from backbone.settings import load_settings
from backbone.web.api_keys import OPEN
from backbone.web.app import declared_scopes
from deploy.local.ports import free_port
from schemas.version import VERSION
from services.app import open_runtime, running
from services.cli import main

COMMAND = [sys.executable, "-m", "services.cli.main"]
KEY = re.compile(r"tl_[A-Za-z0-9_-]{43}\n")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHLINE_DATA_DIR", str(tmp_path / "data"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_help_reads_well() -> None:
    text = call("--help")
    for word in ("serve", "migrate", "keys", "apply", "export", "test", "backtest", "demo"):
        assert re.search(rf"\b{word}\b .*[A-Z]", text), word
    assert "events:write" in call("keys", "create", "--help")


def test_the_version() -> None:
    said = run("--version")
    assert (said.returncode, said.stdout) == (0, f"touchline {VERSION}\n")


def test_a_key_by_an_odd_name_is_listed_in_one_plain_line() -> None:
    call("keys", "create", "--scope", "admin", "--name", "\x1b]0;owned\x07\x1b[2J\r\nroot\u202e")
    said = run("keys", "list").stdout
    assert "\\x1b]0;owned\\x07\\x1b[2J\\x0d\\nroot\\u202e" in said
    assert len(said.splitlines()) == 2
    assert all(character.isprintable() for character in said.replace("\n", ""))


def test_another_secret_is_refused(tmp_path: Path) -> None:
    """With it nobody who unsubscribed would be known, nor any account that was merged; rules do not care."""
    given = {"data_dir": tmp_path / "data", "port": 0}
    for _ in range(2):
        with open_runtime(load_settings(**given, secret_key="sixteen letters!!"), ["actions"]):
            pass
    other = load_settings(**given, secret_key="sixteen others!!!")
    for name in ("actions", "ingest"):
        with (
            pytest.raises(ConfigurationError, match=r"^TOUCHLINE_SECRET_KEY: is not the one"),
            open_runtime(other, [name]),
        ):
            pass
    with open_runtime(other, ["rules"]):
        pass


def test_keys_from_creation_to_revocation(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", port=0)
    with running(settings, ["ingest"]) as (_, url):
        created = call("keys", "create", "--name", "ci", "--scope", "events:write", "--scope", "rules:read")
        assert KEY.fullmatch(created)
        headers = {"authorization": f"Bearer {created.strip()}"}
        assert httpx.get(f"{url}/v1/status", headers=headers).status_code == 200
        listed = call("keys", "list")
        assert "ci" in listed
        assert "events:write rules:read" in listed
        assert created.strip() not in listed
        assert call("keys", "revoke", "ci") == "revoked: 1\n"
        assert httpx.get(f"{url}/v1/status", headers=headers).status_code == 401


def test_refusals_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = run("keys", "create", "--name", "x", "--scope", "everything")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("touchline: scope: everything; allowed: events:write")
    assert len(wrong.stderr.splitlines()) == 1
    monkeypatch.setenv("TOUCHLINE_CLOCK", "sundial")
    refused = run("serve", "all")
    assert (refused.returncode, refused.stderr) == (
        1,
        "touchline: TOUCHLINE_CLOCK: should be 'wall' or 'log'\n",
    )


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "all", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 1
    assert "Address already in use" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_migrate_twice() -> None:
    assert call("migrate") == call("migrate") == "up to date: backbone, ingest, rules, actions\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_everything_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    server = subprocess.Popen(
        [*COMMAND, "serve", "all", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        for line in server.stderr:  # the line comes once the port answers
            if '"serving"' in line:
                break
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").json()["checks"].keys() >= {
            "ingest",
            "rules",
            "actions",
        }
        server.send_signal(number)
        out, _ = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0
    key = (tmp_path / "data" / "admin.key").read_text().strip()
    assert out.count(key) == 1


def test_every_route_of_the_house(tmp_path: Path) -> None:
    """Each declares its scope, only the contract's are open, and each that reads a body shows an example."""
    with open_runtime(load_settings(data_dir=tmp_path / "data")) as rooms:
        scopes = declared_scopes(rooms.app)
        page = rooms.app.openapi()
    assert [each for each in scopes if each[2] is None] == []
    open_paths = {path for _, path, scope in scopes if scope == OPEN}
    assert open_paths == {
        *("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/u/{token}"),
        *("/v1/hooks/{source}", "/v1/projects/{key}/settings", "/static/{digest}/{path:path}"),
    }
    without = [
        (method, path)
        for path, methods in page["paths"].items()
        for method, operation in methods.items()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "example" not in content and "examples" not in content
    ]
    assert without == []


def test_sending_is_switched_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(load_settings(port=0)) as (_, url):
        monkeypatch.setenv("TOUCHLINE_URL", url)
        assert call("sending") == "sending is on\n"
        said = call("sending", "off", "--reason", "wrong\nprices")
        assert re.fullmatch(r"sending is off since \S+Z, by \S+: wrong\\nprices\n", said)
        assert call("sending") == said
        assert call("sending", "on").startswith("sending is on since ")
    assert CliRunner().invoke(main.app, ["sending", "of"]).exit_code == 2
