"""A template that runs away, in plays and in previews at once: others are served all the while, and nothing is lost."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.server import Server, items

PLAYS, PREVIEWS = 120, 60
WAIT_S = 15.0  # for another account's mail and for an answer; alone they take a tenth of a second
RUNS_AWAY = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("starving"))
    server.start()
    yield server
    server.stop()


def prepare(client: httpx.Client, name: str, markdown: str) -> None:
    """A mail for every event of this name."""
    template = {"name": name, "subject": "Hello", "markdown": markdown}
    playbook = {"name": name, "limit": None, "steps": [{"email": {"template": name}}]}
    rule = {
        "name": name,
        "when": {"threshold": {"event": name, "within": "1d", "at_least": 1}},
        "playbook": name,
        "status": "active",
    }
    for path, body in (("templates", template), ("playbooks", playbook), ("rules", rule)):
        answer = client.post(f"/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text


def test_others_are_served_all_the_while(server: Server) -> None:
    with server.client() as client:
        prepare(client, "bad", RUNS_AWAY)
        prepare(client, "good", "Hello {{ account.id }}")
        for account in ("other", "more", *(f"acme-{n}" for n in range(PLAYS))):
            contact = {"contacts": [{"id": "ann", "email": "ann@acme.test"}]}
            assert client.put(f"/v1/accounts/{account}", json=contact).status_code == 202
        server.settle()
        over = threading.Event()
        asking = [threading.Thread(target=preview, args=(server, over)) for _ in range(PREVIEWS)]
        for each in asking:
            each.start()
        try:
            client.post("/v1/events", json=[{"type": "bad", "account": f"acme-{n}"} for n in range(PLAYS)])
            began = time.monotonic()
            answer = client.post("/v1/events", json={"type": "good", "account": "other"}, timeout=WAIT_S)
            assert answer.status_code == 202
            while not items(client, "/v1/actions", account="other", status="done"):
                assert time.monotonic() - began < WAIT_S
                time.sleep(0.05)
        finally:
            over.set()
            for each in asking:
                each.join()
        server.settle()
        failed = items(client, "/v1/actions", status="failed")
        assert len({each["account"] for each in failed}) == PLAYS
        assert {each["reason"] for each in failed} == {"template_limits"}
        history = [client.get(f"/v1/actions/{each['id']}").json()["history"] for each in failed]
        assert all(
            "template" in one[-1]["detail"] or "processor time" in one[-1]["detail"] for one in history
        )


def preview(server: Server, over: threading.Event) -> None:
    """Somebody who looks at it again and again."""
    with server.client() as client:
        while not over.is_set():
            answer = client.post("/v1/templates/bad/preview", json={"account": "other"}, timeout=60)
            assert answer.status_code in {422, 429}
