"""The server is killed while a file is imported: the import waits for it, and every event counts once."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.e2e.server import SETTLED_S, running

RATE, EVENTS, ACCOUNTS = 2_000, 8_000, 5


def test_a_server_that_is_killed_meanwhile_is_waited_for(tmp_path: Path) -> None:
    lines = [
        json.dumps(
            {
                "type": "login",
                "account": f"user{place % ACCOUNTS}",
                "time": f"2026-01-01T{place // 600:02d}:00:00Z",
            }
        )
        for place in range(EVENTS)
    ]
    expected = Counter(f"user{place % ACCOUNTS}" for place in range(EVENTS))
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines))
    rule = {
        "name": "logins",
        "when": {"threshold": {"event": "login", "at_least": EVENTS}},
        "status": "active",
    }
    with running(tmp_path / "server", INGEST_RATE_LIMIT=str(RATE)) as server:
        with server.client() as client:
            assert client.post("/v1/rules", json=rule).status_code == 201

        def seen() -> int:
            with server.client() as client:
                return len(client.get("/v1/accounts").json()["items"])

        environment = os.environ | {
            "TOUCHLINE_URL": server.url,
            "TOUCHLINE_API_KEY": server.key,
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        command = [sys.executable, "-m", "services.cli.main", "import", str(file), "--historical"]
        done = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        deadline = time.monotonic() + SETTLED_S
        while not seen():
            assert time.monotonic() < deadline
            assert done.poll() is None
        server.kill()
        server.start()
        assert done.poll() is None
        out, _ = done.communicate(timeout=SETTLED_S)
        assert done.returncode == 0, out
        assert f"{EVENTS:,} events taken" in out
        server.settle()
        with server.client() as client:
            explain = "/v1/rules/logins/explain"
            found = {name: client.get(explain, params={"account": name}).json()["value"] for name in expected}
        assert found == expected
