"""One process on embedded storage that dies around the outbox of merges: each event counts once all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.failpoint import STATUS
from tests.e2e.server import Server, items
from tests.e2e.stack import until

RULES = [
    {"name": f"at-{n}", "when": {"threshold": {"event": "tick", "within": "30d", "at_least": n}}, "status": "active"}
    for n in (3, 4)
]  # fmt: skip


def at(minute: int, type_: str, account: str, id_: str, **more: Any) -> dict[str, Any]:
    time = f"2026-01-01T00:{minute:02}:00Z"
    return {"id": id_, "source": "t", "type": type_, "account": account, "time": time, **more}


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "point",
    [
        "rules.before_commit:1", "rules.after_commit_before_relay:1", "rules.after_sending_on_before_mark:1",
        "rules.after_sending_on_before_mark:2",
    ],
)  # fmt: skip
def test_a_process_that_dies_around_the_outbox(tmp_path: Path, point: str) -> None:
    settings = {"CLOCK": "log", "PARTITIONS": "4"}
    before = Server(tmp_path, **settings)
    before.start()
    with before.client() as client:
        for rule in RULES:
            client.post("/v1/rules", json=rule).raise_for_status()
        contacts = {"contacts": [{"id": "ann", "email": "ann@a.test"}]}
        for account, data in (("a", contacts), ("globex", {"name": "Globex"})):
            client.post(
                "/v1/events", json=at(0, "account.updated", account, "known", data=data)
            ).raise_for_status()
    before.settle()
    before.stop()
    dying = Server(tmp_path, **settings, FAILPOINT=point)
    dying.start()
    events = [
        at(1, "tick", "globex", "1"), at(2, "account.merged", "a", "m", data={"into": "globex"}),
        at(3, "tick", "a", "1"), at(4, "tick", "a", "2"), at(4, "tick", "a", "2"),
    ]  # fmt: skip
    with dying.client() as client:
        for event in events:  # it may die at any of them, or after the last
            try:
                client.post("/v1/events", json=event)
            except httpx.HTTPError:
                break
    until(f"{point} is hit", lambda: not dying._process.alive, 60)
    assert dying._process.returncode == STATUS
    after = Server(tmp_path, **settings)
    after.start()
    with after.client() as client:
        for event in events:  # whoever got no answer sends again
            client.post("/v1/events", json=event).raise_for_status()
        after.settle()
        fired = [(one["rule"], one["account"], one["evidence"]) for one in items(client, "/v1/triggers")]
        assert fired == [("at-3", "globex", ["1", "1", "2"])]
        shown = client.get("/v1/accounts/globex").json()
        assert [one["id"] for one in shown["contacts"]] == ["ann"]
        assert client.get("/v1/accounts/a").json()["merged_into"] == "globex"
        client.post("/v1/events", json=at(5, "tick", "a", "3")).raise_for_status()
        after.settle()
        assert {one["rule"] for one in items(client, "/v1/triggers")} == {"at-3", "at-4"}
    after.stop()
    after.check_counts()
