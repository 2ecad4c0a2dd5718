"""`touchline demo`, with some of its customers: beside whatever listens on its port, and twice in a row."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_ports
from services.cli import demo
from services.cli.demo_log import EXAMPLES, read_log

SOME = [one for one in read_log(EXAMPLES / "CDNOW_sample.txt") if int(one.customer[1:]) % 60 == 0]
WAIT_S = 30.0


@pytest.fixture
def servers() -> Iterator[set[int]]:
    """The processes that are left running, to be ended."""
    found: set[int] = set()
    yield found
    for number in found:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(number, signal.SIGTERM)
            os.waitpid(number, 0)


@pytest.mark.timeout(180)
def test_it_tells_its_story_beside_another_server_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], servers: set[int]
) -> None:
    monkeypatch.setattr(demo, "read_log", lambda _path: SOME)
    monkeypatch.setenv("TOUCHLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOUCHLINE_MAIL_ONLY_TO", "nobody.test")  # not for the demo
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TOUCHLINE_PARTITIONS=3\n")  # nor this
    port = free_ports(2)
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setenv("TOUCHLINE_PORT", str(port))
        assert demo.demo(detach=True) == 0
        said = capsys.readouterr().out
    first = int(re.findall(r"kill (\d+)", said)[0])
    servers.add(first)
    assert f"Of {len({one.customer for one in SOME})} customers" in said.replace("\n", " ")
    assert "What fired" in said
    assert "skipped" not in said
    url, rule, account = re.findall(r'"(http://[^/]+)/v1/rules/([a-z-]+)/explain\?account=(c\d+)"', said)[0]
    key = (tmp_path / "data" / "demo" / "admin.key").read_text().strip()
    asked = httpx.get(
        f"{url}/v1/rules/{rule}/explain?account={account}", headers={"authorization": f"Bearer {key}"}
    )
    assert asked.json()["last_trigger"]

    assert demo.demo(detach=True) == 0
    again = capsys.readouterr().out
    servers.add(int(re.findall(r"kill (\d+)", again)[0]))
    assert f"The server of an earlier demo (pid {first}) was stopped" in again
    assert story(again) == story(said)


def story(said: str) -> str:
    """All but the addresses and the progress."""
    return said[said.index("What fired") : said.index("Next:")]
