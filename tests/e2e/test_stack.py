"""`make stack` as it is started by hand: everything apart, every process killed once, nothing lost or doubled."""

from __future__ import annotations

import contextlib
import gzip
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

from deploy.local.ports import free_ports
from deploy.local.process import wait_until

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


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("stack")
    command = [sys.executable, "-m", "deploy.local.stack", "--data", str(data), "--rules", "2"]
    command += ["--first-port", str(free_ports(4))]
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
    for victim in ("nobody", "console", "rules", "actions", "ingest", "postgres", "kafka"):
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


class Console:
    """The console of a stack, over HTTP and for the command line."""

    def __init__(self, stack: Running) -> None:
        self.url: str = stack.told()["console"]["address"]
        self._key = stack.headers["Authorization"].removeprefix("Bearer ")
        self.client = httpx.Client(base_url=self.url, headers=stack.headers, timeout=60)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def touchline(self, *arguments: str) -> str:
        """What a command prints that knows this one address."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
        env |= {"TOUCHLINE_URL": self.url, "TOUCHLINE_API_KEY": self._key}
        command = [str(Path(sys.executable).with_name("touchline")), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def console(stack: Running) -> Iterator[Console]:
    found = Console(stack)
    with found.client:
        yield found


def test_the_command_line_needs_one_address(console: Console, tmp_path: Path) -> None:
    spike = Path(__file__).parents[2] / "playbooks" / "support-spike"
    console.touchline("apply", str(spike), "--yes")
    (tmp_path / "accounts.csv").write_text("id,name,tier\nacme,Acme,high\nzoo,Zoo,low\n")
    console.touchline("import", str(tmp_path / "accounts.csv"))
    console.touchline("export", str(tmp_path / "out"))
    kinds = {line for path in (tmp_path / "out").rglob("*.yaml") for line in path.read_text().splitlines()}
    assert {"kind: rule", "kind: playbook", "kind: template"} <= kinds
    shown = json.loads(console.touchline("backtest", str(spike), "--json"))
    assert [one["status"] for one in shown["backtests"]] == ["done"]
    assert {account["id"] for account in console.get("/v1/accounts")["items"]} >= {"acme", "zoo"}


def test_the_console_joins_what_each_service_answers_for_itself(stack: Running, console: Console) -> None:
    for path, document in (("/v1/playbooks/call", PLAYBOOK), ("/v1/rules/three-tickets", RULE)):
        console.client.put(path, json=document).raise_for_status()
    console.client.put("/v1/accounts/joined", json={"tier": "low"}).raise_for_status()
    assert console.client.post("/v1/events", json=three_tickets("joined")).status_code == 202
    until = partial(wait_until, timeout_s=SETTLED_S)
    until("all is done", lambda: console.get("/v1/status")["idle"])  # idle together: what follows is there
    assert "Call joined" in [task["title"] for task in console.get("/v1/tasks", limit=1000)["items"]]
    assert console.get("/v1/triggers", account="joined")["items"]
    assert console.get("/v1/status")["services"].keys() == {"ingest", "rules", "actions"}

    console.client.put("/v1/sending", json={"status": "off", "reason": "a test"}).raise_for_status()
    kinds = [item["kind"] for item in console.get("/v1/attention")["items"]]
    console.client.put("/v1/sending", json={"status": "on"}).raise_for_status()
    apart = [
        item["kind"] for name in ("ingest", "rules", "actions")
        for item in stack.ask(name, "GET", "/v1/attention")["items"]
    ]  # fmt: skip
    assert kinds == [*apart, "sending_off"]

    entries, cursor = [], None
    while True:
        page = console.get("/v1/audit", limit=2, **({"cursor": cursor} if cursor else {}))
        entries += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert {"rules", "actions"} <= {entry["service"] for entry in entries}
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)
    own = [stack.ask(name, "GET", "/v1/audit?limit=1000")["items"] for name in ("ingest", "rules", "actions")]
    assert {entry["id"] for entry in entries} == {entry["id"] for part in own for entry in part}

    record = console.get("/v1/accounts/joined/record")
    assert record["services"].keys() == {"ingest", "rules", "actions"}
    assert (
        record["services"]["actions"]
        == stack.ask("actions", "GET", "/v1/accounts/joined/record")["services"]["actions"]
    )


def test_one_page_for_the_whole_api(stack: Running, console: Console) -> None:
    pages = [httpx.get(stack.told()[name]["address"] + "/openapi.json", timeout=60).json()
             for name in ("console", "ingest", "rules", "actions")]  # fmt: skip
    routes = [
        {(method, path) for path, methods in page["paths"].items() for method in methods} for page in pages
    ]
    assert routes[0] == set().union(*routes[1:])
    for path in ("/", "/login", "/docs"):
        answer = console.client.get(path, headers={"accept": "text/html"})
        assert (answer.status_code in {200, 303}, "html" in answer.headers.get("content-type", "html")) == (
            True,
            True,
        )


def test_limits_hold_behind_the_console(console: Console) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    packed = {"content-encoding": "gzip"}
    assert console.client.post("/v1/events", content=bomb, headers=packed).status_code == 413
    assert console.client.post("/v1/events", content=b"x" * 1_100_000).status_code == 413
    assert console.client.post("/v1/rehearsals", content=b"x" * 34_000_000).status_code == 413
    assert console.client.post("/v1/rehearsals", content=b" " * 32_000_000 + b"{}").status_code == 422
    refused = httpx.post(f"{console.url}/v1/rehearsals", content=b"x" * 30_000_000, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


def test_a_service_that_is_gone_takes_its_own_paths_along(stack: Running, console: Console) -> None:
    pid = stack.told()["ingest"]["pid"]
    os.kill(pid, signal.SIGKILL)
    gone = console.client.get("/v1/sources")
    others = [
        console.client.get(path).status_code for path in ("/v1/rules", "/v1/tasks", "/v1/me", "/v1/audit")
    ]
    assert (gone.status_code, gone.json()["code"], gone.json()["detail"]) == (
        502, "service_unreachable", "the ingest service cannot be reached"
    )  # fmt: skip
    assert others == [200] * 4
    wait_until("it is back", lambda: console.client.get("/v1/sources").status_code == 200, SETTLED_S)


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
