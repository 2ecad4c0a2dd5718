"""A server that is killed in the middle of a backtest takes its process with it, and starts it again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from deploy.local.process import wait_until
from tests.e2e.server import running

MODULE = b"services.rules.backtest.process"
RULE = {
    "name": "busy",
    "when": {"threshold": {"event": "login", "within": "1d", "at_least": 3}},
    "cooldown": "0s",
}


def processes(folder: Path) -> list[int]:
    """The backtests that use this data folder."""
    found = []
    for one in Path("/proc").iterdir():
        with suppress(OSError):
            if (
                MODULE in (one / "cmdline").read_bytes()
                and os.fsencode(folder) in (one / "environ").read_bytes()
            ):
                found.append(int(one.name))
    return found


def test_a_backtest_starts_again_after_kill_9(tmp_path: Path) -> None:
    with running(tmp_path, CLOCK="log", PARTITIONS="2") as server, server.client() as client:
        events = [
            {
                "id": f"e{n}",
                "type": "login",
                "account": f"a{n % 7}",
                "time": f"2026-03-{n // 20 + 1:02d}T09:00:00Z",
            }
            for n in range(500)
        ]
        assert client.post("/v1/events", json=events).status_code == 202
        job = client.post("/v1/backtests", json={"rule": RULE}).json()["id"]
        path = f"/v1/backtests/{job}"
        wait_until(
            "it runs", lambda: client.get(path).json()["status"] == "running" and processes(tmp_path), 30
        )
        server.kill()
        wait_until("its process has gone", lambda: not processes(tmp_path), 10)
        server.start()
        assert client.get(path).json()["status"] in ("running", "queued")
        wait_until("it is done", lambda: client.get(path).json()["status"] == "done", 60)
        found = client.get(path).json()
        shown = client.get(f"{path}/triggers?limit=1000").json()["items"]
        assert found["triggers"] == len(shown) == len({one["id"] for one in shown}) > 0
        again = client.post("/v1/backtests", json={"rule": RULE}).json()["id"]
        path = f"/v1/backtests/{again}"
        wait_until("another one is done", lambda: client.get(path).json()["status"] == "done", 60)
        assert client.get(f"{path}/triggers?limit=1000").json()["items"] == shown
