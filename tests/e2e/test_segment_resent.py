"""Segment's batches on Kafka and PostgreSQL: sent over and over to two ingest processes that are killed meanwhile.

Each user's first batch (identify, track, group, track) counts once, and each ends as one account with the person in it.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backbone.log import EVENTS
from schemas.event import decode
from tests.e2e.conftest import MakeStack
from tests.e2e.stack import Stack, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

USERS, KILLS, SENDERS, TIMES = 60, 6, 6, 3
RULE = {
    "name": "two",
    "when": {"threshold": {"event": "clicked", "within": "30d", "at_least": 2}},
    "status": "active",
}


def calls_of(user: str, group: str, at: datetime) -> dict[str, Any]:
    def when(seconds: int) -> str:
        return (at + timedelta(seconds=seconds)).isoformat()

    who = {"userId": user, "anonymousId": f"anonymous-{user}"}
    return {
        "batch": [
            {"anonymousId": f"anonymous-{user}", "type": "page", "messageId": f"{user}-0", "timestamp": when(0)},
            {**who, "type": "identify", "messageId": f"{user}-1", "traits": {"email": f"{user}@x.test"},
             "timestamp": when(1)},
            {**who, "type": "track", "event": "Clicked", "messageId": f"{user}-2", "timestamp": when(2)},
            {**who, "type": "group", "groupId": group, "messageId": f"{user}-3", "timestamp": when(3)},
            {**who, "type": "track", "event": "Clicked", "messageId": f"{user}-4", "timestamp": when(4)},
        ]
    }  # fmt: skip


def send(stack: Stack, client: httpx.Client, body: dict[str, Any]) -> None:
    """As a library does: again and again until it is taken; in pieces now and then, as after a time-out."""

    def taken() -> bool:
        try:
            return client.post("/v1/batch", json=body).status_code == 200
        except httpx.HTTPError:
            return False

    until(f"a batch is taken\n{stack.said()[-500:]}", taken)


def kill_now_and_then(stack: Stack, over: threading.Event) -> int:
    dice, kills = random.Random(5), 0
    while kills < KILLS and not over.wait(dice.uniform(0.2, 0.8)):
        victim = stack.of("ingest")[kills % 2]
        victim.kill9()
        kills += 1
        victim.start()
        until("it gets ready", victim.ready, 90)
    return kills


@pytest.mark.timeout(300)
def test_batches_sent_again_count_once_and_nobody_is_left_behind(make_stack: MakeStack) -> None:
    stack = make_stack(ingest=2, CLOCK="wall")
    at = datetime.now(UTC) - timedelta(hours=1)
    users = {f"u{number}": f"g{number % 7}" for number in range(USERS)}
    with stack.client() as client:
        assert client.put("/v1/rules/two", json=RULE).is_success
        over = threading.Event()
        with ThreadPoolExecutor(SENDERS + 1) as pool:
            killing = pool.submit(kill_now_and_then, stack, over)
            sent = []
            for turn in range(TIMES):
                for user, group in users.items():
                    sent.append(pool.submit(send, stack, client, calls_of(user, group, at)))
                    if turn == 1:  # and by then some have changed company
                        moved = {"userId": user, "groupId": "later", "type": "group"}
                        sent.append(pool.submit(send, stack, client, {"batch": [moved]}))
            for each in sent:
                each.result()
            over.set()
            assert killing.result() >= 2
        stack.settle()
        names = {one["id"]: one for one in listed(client)}
        assert names.keys() == {*users.values(), "later"}
        for user, group in users.items():
            people = {one["id"]: one["email"] for one in names[group]["contacts"]}
            assert people[user] == f"{user}@x.test"
            assert f"anonymous-{user}" not in people
        for group in set(users.values()):
            of_it = [user for user in users if users[user] == group]
            told = client.get("/v1/rules/two/explain", params={"account": group}).json()
            assert (told["value"] or 0) <= len(of_it)
        fired = client.get("/v1/triggers", params={"rule": "two", "limit": 1000}).json()["items"]
        assert {one["account"] for one in fired} <= set(users.values())
        for one in fired:
            assert len(set(one["evidence"])) == len(one["evidence"])
            assert all(name.endswith("-4") for name in one["evidence"]), (
                "of each user the click in the group alone"
            )
    went = accounts_of_messages(stack)
    for user, group in users.items():
        places = [went[f"{user}-{number}"] for number in range(5)]
        assert places == [{f"anonymous-{user}"}, {user}, {user}, {group}, {group}]


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/accounts", params={"limit": 1000}).json()["items"]
    return found


def accounts_of_messages(stack: Stack) -> dict[str, set[str]]:
    """Of each messageId the accounts it is on the log of, but for what was sent on by merges."""
    went: dict[str, set[str]] = {}
    log = stack.open_log()
    try:
        starts, ends = log.start_offsets(EVENTS), log.end_offsets(EVENTS)
        for partition, at in starts.items():
            while at < ends[partition]:
                records = list(log.read(EVENTS, partition, at))
                for record in records:
                    event = decode(record.value, place="", timestamp=0)
                    if event.source == "segment" and event.mergedfrom is None:
                        went.setdefault(event.id, set()).add(event.account or "")
                at = records[-1].offset + 1
    finally:
        log.close()
    return went
