"""`make stack` as it is started by hand: everything apart, every process killed once, nothing lost or doubled."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.process import free_port, port_is_open, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

START_S = 180.0
SETTLED_S = 90.0
PLAYBOOK = {
    "name": "call",
    "limit": None,
    "steps": [{"task": {"title": "Call {{ account.id }}", "assignee": "us@us.test"}}],
}
RULE = {
    "name": "three-tickets",
    "when": {"threshold": {"event": "ticket.opened", "within": "30d", "at_least": 3}},
    "playbook": "call",
    "status": "active",
}


class Running:
    """A started stack: its processes and their addresses from `stack.json`."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes]) -> None:
        self.data = data
        self.process = process
        self.headers = {"Authorization": f"Bearer {(data / 'admin.key').read_text().strip()}"}

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    def ask(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; asked again while the service or what it rests on is away."""

        def once() -> httpx.Response | None:
            url = self.told()[service]["address"] + path
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.request(method, url, json=body, headers=self.headers, timeout=10)
                return None if answer.status_code == 503 else answer
            return None

        answer = wait_until(f"{method} {path} is answered", once, SETTLED_S)
        assert answer.is_success, answer.text
        return answer.json()

    def runs_anew(self, name: str, killed: int) -> bool:
        """Whether another process has taken the place of this one (also where a second worker did its work)."""
        pid = self.told()[name]["pid"]
        return pid != killed and Path(f"/proc/{pid}").exists()

    def tasks(self) -> list[str]:
        return sorted(task["title"] for task in self.ask("actions", "GET", "/v1/tasks")["items"])


def three_tickets(account: str) -> list[dict[str, Any]]:
    return [{"id": f"{account}-{n}", "type": "ticket.opened", "account": account} for n in range(3)]


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    return wait_until("ports", lambda: next(_rows(count), None), 10)


def _rows(count: int) -> Iterator[int]:
    first = free_port()
    if first < 65_000 and not any(port_is_open(first + place) for place in range(count)):
        yield first


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("stack")
    command = [sys.executable, "-m", "deploy.local.stack", "--data", str(data), "--rules", "2"]
    command += ["--first-port", str(free_ports(3))]
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    with (data / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env, start_new_session=True)

    def ready() -> bool:
        assert process.poll() is None, (data / "out").read_text()
        return (data / "stack.json").is_file()

    try:
        wait_until("the stack is ready", ready, START_S)
        yield Running(data, process)
    finally:
        process.terminate()
        process.wait(60)
        elsewhere = data / "stack" / "postgres" / "elsewhere"  # where root's folders are closed to the server
        if elsewhere.is_file():
            shutil.rmtree(elsewhere.read_text())


def test_events_become_tasks_whatever_is_killed(stack: Running) -> None:
    stack.ask("actions", "POST", "/v1/playbooks", PLAYBOOK)
    stack.ask("rules", "POST", "/v1/rules", RULE)
    expected = []
    for victim in ("nobody", "rules", "actions", "ingest", "postgres", "kafka"):
        if victim != "nobody":
            killed = stack.told()[victim]["pid"]
            os.kill(killed, signal.SIGKILL)
            wait_until(f"{victim} runs again", partial(stack.runs_anew, victim, killed), SETTLED_S)
        events = [
            {"type": "account.updated", "account": victim, "data": {"tier": "low"}},
            *three_tickets(victim),
        ]
        assert stack.ask("ingest", "POST", "/v1/events", events)["accepted"] == 4
        stack.ask("ingest", "POST", "/v1/events", three_tickets(victim))  # again: counts once
        expected.append(f"Call {victim}")
        wait_until(f"a task after {victim}", lambda: len(stack.tasks()) >= len(expected), SETTLED_S)
        assert stack.tasks() == sorted(expected)


def test_services_apart_warn_of_what_does_not_fit_together(stack: Running) -> None:
    narrow = {"steps": {"high": [{"wait": "60d"}]}}
    assert "warnings" not in stack.ask("actions", "PUT", "/v1/playbooks/narrow", narrow)
    rule = {**RULE, "name": "wide", "playbook": "narrow", "status": "draft"}
    told = stack.ask("rules", "PUT", "/v1/rules/wide", rule)["warnings"]
    assert [one["field"] for one in told] == ["playbook", "playbook", "cooldown"]
    told = stack.ask("actions", "PUT", "/v1/playbooks/narrow", narrow)["warnings"]
    assert [one["field"] for one in told] == ["steps", "steps", "steps.high.0.wait"]
    fits = {"steps": [{"wait": "30d"}]}
    assert "warnings" not in stack.ask("actions", "PUT", "/v1/playbooks/narrow", fits)


def test_files_are_applied_to_services_apart(stack: Running, tmp_path: Path) -> None:
    """`touchline apply` and `export`, with no proxy that would make one address of two."""
    told = stack.told()
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    env |= {
        "TOUCHLINE_URL": f"{told['rules']['address']},{told['actions']['address']}",
        "TOUCHLINE_DATA_DIR": str(stack.data),  # with the admin key
    }

    def touchline(*words: str) -> str:
        command = [sys.executable, "-m", "services.cli.main", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    folder = str(Path(__file__).parents[2] / "playbooks" / "outages")
    for word in ("created", "unchanged"):
        lines = touchline("apply", folder).splitlines()
        done = {line.split()[0] for line in lines if line.split()[0] in ("created", "updated", "unchanged")}
        assert done == {word}, lines
    touchline("export", str(tmp_path))
    assert {path.parent.name for path in tmp_path.glob("*/outages*.yaml")} == {
        "rules",
        "playbooks",
        "templates",
    }


def test_it_prints_where_everything_listens(stack: Running) -> None:
    said = (stack.data / "out").read_text()
    told = stack.told()
    for name in ("kafka", "ingest", "rules", "rules-2", "actions"):
        assert f"{name} on {told[name]['address']}" in said, said
    place = told["postgres"]["address"].rpartition("@")[2]
    assert f"postgres on {place}" in said
    assert told["postgres"]["address"] not in said, "its password is not for the screen"


def test_everything_ends_with_the_stack(stack: Running) -> None:
    """On Ctrl-C, which the terminal tells to every process of the group."""
    pids = [each["pid"] for each in stack.told().values()]
    os.killpg(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(60) == 0
    assert not (stack.data / "stack.json").exists()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert (stack.data / "admin.key").stat().st_mode & 0o777 == 0o600
