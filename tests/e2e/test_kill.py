"""kill -9 at random moments while clients post and retry: nothing lost, nothing doubled."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.actions.channels.webhook.channel import AT_ONCE
from services.actions.plays.holdout import number_of
from tests.e2e.server import SETTLED_S, Server, items, running

EVENTS, CLIENTS, ACCOUNTS, KILLS, BATCH = 10_000, 4, 80, 6, 50
START = datetime(2026, 1, 1, tzinfo=UTC)
RETRY_S = 180.0
HOLDOUT = 25  # of the playbook "welcome"

RULES: list[dict[str, Any]] = [
    {
        "name": "spike", "playbook": "outreach", "status": "active", "cooldown": "6h",
        "when": {"threshold": {"event": "ticket", "within": "6h", "at_least": {"high": 4, "low": 6, "tech": 9}}},
    },
    {
        "name": "spender", "playbook": "thanks", "status": "active", "cooldown": "1d",
        "when": {"threshold": {"event": "bought", "aggregate": "sum", "of": "data.amount", "within": "1d",
                               "at_least": 500}},
    },
    {
        "name": "back", "playbook": "welcome", "status": "active",
        "when": {"absence": {"event": "login", "for": "5h", "fire": "on_return"}},
    },
]  # fmt: skip
PLAYBOOKS: list[dict[str, Any]] = [
    {
        "name": "outreach",
        "limit": None, "steps": {"high": [{"task": {"title": "Call {{ account.id }}", "key": "{{ trigger.id }}"}}],
                  "low": [{"email": {"template": "sorry"}}],
                  "tech": [{"email": {"template": "sorry"}}, {"webhook": {"endpoint": "crm"}}]},
    },
    {"name": "thanks", "limit": None, "steps": [{"webhook": {"endpoint": "crm", "body": {"id": "{{ trigger.id }}"}}}]},
    {"name": "welcome", "limit": None, "holdout": HOLDOUT, "goal": {"event": "bought", "within": "6h"},
     "steps": [{"email": {"template": "sorry"}}, {"task": {"title": "Greet {{ account.id }}"}}]},
]  # fmt: skip


@pytest.fixture
def sink() -> Iterator[tuple[str, Counter[str]]]:
    """A webhook receiver; counts what came by the message's id."""
    seen: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen[self.headers["webhook-id"]] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Sink(ThreadingHTTPServer):
        # As many as may come at once; a dropped connection would be a fault of the test's.
        request_queue_size = 512

    server = Sink(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", seen
    server.shutdown()
    server.server_close()


def configure(server: Server, crm: str) -> None:
    tiers = [{"tier": "high", "where": {"account.attributes.n": {"lt": 10}}},
             {"tier": "low", "where": {"account.attributes.n": {"lt": 30}}}, {"tier": "tech"}]  # fmt: skip
    with server.client() as client:
        client.put("/v1/tiers", json={"tiers": tiers}).raise_for_status()
        client.post("/v1/endpoints", json={"name": "crm", "url": crm}).raise_for_status()
        template = {
            "name": "sorry",
            "subject": "About {{ account.id }}",
            "markdown": "Hello {{ contact.name }}",
        }
        client.post("/v1/templates", json=template).raise_for_status()
        for body in PLAYBOOKS:
            client.post("/v1/playbooks", json=body).raise_for_status()
        for body in RULES:
            client.post("/v1/rules", json=body).raise_for_status()
        client.post("/v1/events", json=[known(n) for n in range(ACCOUNTS)]).raise_for_status()


def known(n: int) -> dict[str, Any]:
    """An account, at the beginning of time: it would make all events late if it carried the time of today."""
    contacts = [{"id": "ann", "name": "Ann", "email": f"ann@a{n}.test"}]
    data = {"attributes": {"n": n}, "owner": {"email": "jo@us.test"}, "contacts": contacts}
    return {"id": f"known-{n}", "type": "account.updated", "account": f"a{n}", "time": START.isoformat(),
            "historical": True, "data": data}  # fmt: skip


def batches(client: int) -> list[list[dict[str, Any]]]:
    """What one client posts: its own accounts, a little disorder, the same on every run."""
    rng = random.Random(client)
    own = range(client, ACCOUNTS, CLIENTS)
    sent = []
    for number in range(EVENTS // CLIENTS):
        at = START + timedelta(minutes=number * 2 - (rng.randrange(240) if rng.random() < 0.1 else 0))
        sent.append({
            "id": f"c{client}-{number}", "source": "test", "type": rng.choice(["ticket", "bought", "login"]),
            "account": f"a{rng.choice(own)}", "time": at.isoformat(), "data": {"amount": rng.randrange(400) / 4},
        })  # fmt: skip
    return [sent[place : place + BATCH] for place in range(0, len(sent), BATCH)]


def post(server: Server, client: int) -> None:
    """Post everything in order, each batch until it is taken."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=10) as http:
        for batch in batches(client):
            deadline = time.monotonic() + RETRY_S
            while True:
                assert time.monotonic() < deadline, "the server took no events for too long"
                try:
                    answer = http.post("/v1/events", json=batch)
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                if answer.status_code == 202:
                    assert answer.json() == {"accepted": len(batch), "rejected": []}
                    break
                time.sleep(0.02)


def carried_out(server: Server) -> None:
    """Poll until no action is to be tried again: a slow machine may have made one time out."""
    deadline = time.monotonic() + SETTLED_S
    with server.client() as client:
        while any(items(client, "/v1/actions", status=status) for status in ("pending", "retrying")):
            assert time.monotonic() < deadline, "actions are still to be carried out"
            time.sleep(0.2)


def outcome(server: Server) -> dict[str, Any]:
    """Everything that was decided and done, in a form to compare."""
    server.settle()
    carried_out(server)
    with server.client() as client:
        triggers = {t["id"]: (t["rule"], t["account"], t["at"], t["event_id"], t["value"], t["evidence"])
                    for t in items(client, "/v1/triggers")}  # fmt: skip
        plays = {
            p["id"]: (p["playbook"], p["account"], p["status"], p["reason"], p["goal_reached_at"])
            for p in items(client, "/v1/plays")
        }
        actions = items(client, "/v1/actions")
        tasks = {t["id"]: (t["account"], t["title"], t["status"]) for t in items(client, "/v1/tasks")}
    mails = Counter(path.read_bytes().split(b"Message-ID:", 1)[1].split(b"\n", 1)[0].strip()
                    for path in (server.folder / "data" / "outbox").glob("*.eml"))  # fmt: skip
    return {
        "triggers": triggers,
        "plays": plays,
        "attempts": {a["id"]: a["attempts"] for a in actions},
        "actions": {
            a["id"]: (a["account"], a["channel"], a["step"], a["recipient"], a["status"]) for a in actions
        },
        "touched": {(a["playbook"], a["account"]): True for a in actions},
        "tasks": tasks,
        "mails": mails,
    }


def run(server: Server, crm: str, kills: int) -> dict[str, Any]:
    configure(server, crm)
    with ThreadPoolExecutor(CLIENTS) as pool:
        posting = [pool.submit(post, server, number) for number in range(CLIENTS)]
        rng = random.Random(kills)
        for _ in range(kills):
            time.sleep(rng.uniform(0.3, 1.5))  # the moment of the kill, not a wait for something
            server.kill()
            server.start()
        for each in posting:
            each.result()
    return outcome(server)


@pytest.mark.timeout(1_200)
def test_killed_again_and_again_as_undisturbed(tmp_path: Path, sink: tuple[str, Counter[str]]) -> None:
    crm, seen = sink
    allowed = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "CLOCK": "log"}
    with running(tmp_path / "calm", **allowed) as calm:
        expected = run(calm, crm, kills=0)
    assert len(expected["triggers"]) > 250
    assert all(count <= expected["attempts"][action] for action, count in seen.items()), (
        "a repeat is an attempt"
    )
    expected.pop("attempts")
    undisturbed = set(seen)
    seen.clear()
    with running(tmp_path / "killed", **allowed) as killed:
        got = run(killed, crm, kills=KILLS)
    for what, before in expected.items():
        after = got[what]
        assert before.keys() == after.keys(), _difference(what, before, after)
        assert before == after, what
    alone = {p[1] for p in got["plays"].values() if p[2] == "held_out"}
    treated = {
        p[1] for p in got["plays"].values() if p[0] == "welcome" and p[2] not in {"held_out", "skipped"}
    }
    assert {account for account in alone if number_of("welcome", account) >= HOLDOUT} == set()
    assert {account for account in treated if number_of("welcome", account) < HOLDOUT} == set()
    assert alone
    assert treated
    assert not {("welcome", account) for account in alone} & got["touched"].keys()
    assert set(seen) == undisturbed
    assert all(count == 1 for count in got["mails"].values())
    assert sum(count - 1 for count in seen.values()) <= KILLS * AT_ONCE, "what was on the wire"


def _difference(what: str, before: dict[Any, Any], after: dict[Any, Any]) -> str:
    lost = [(key, before[key]) for key in before.keys() - after.keys()]
    extra = [(key, after[key]) for key in after.keys() - before.keys()]
    return f"{what}: {len(lost)} lost, {len(extra)} too many: " + json.dumps(
        [lost[:5], extra[:5]], default=str
    )
