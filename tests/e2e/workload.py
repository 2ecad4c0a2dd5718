"""One workload for both stacks: thresholds, an absence, plays with waits and exits, three tiers; on the log clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.e2e.stack import until

JSON = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 50
HOLDOUT = 20  # of the playbook "thanks"
TYPES = ["ticket", "bought", "login", "invoiced", "paid", "account.updated"]
WEIGHTS = [8, 6, 6, 2, 2, 1]

TIERS = [{"tier": "high", "where": {"account.attributes.n": {"lt": 20}}},
         {"tier": "low", "where": {"account.attributes.n": {"lt": 60}}}, {"tier": "tech"}]  # fmt: skip
RULES: list[JSON] = [
    {
        "name": "spike", "playbook": "outreach", "status": "active", "cooldown": "2d",
        "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": {"high": 2, "low": 3, "tech": 4}}},
    },
    {
        "name": "spender", "playbook": "thanks", "status": "active", "cooldown": "3d",
        "when": {"threshold": {"event": "bought", "aggregate": "sum", "of": "data.amount", "within": "2d",
                               "at_least": 200}},
    },
    {
        "name": "gone", "playbook": "missing", "status": "active",
        "when": {"absence": {"event": "login", "for": {"high": "30h", "low": "2d", "tech": "3d"}}},
    },
    {
        "name": "late-payer", "playbook": "dunning", "status": "active", "by": "data.invoice",
        "when": {"absence": {"event": "paid", "for": "12h", "since": {"event": "invoiced"}}},
    },
    {
        "name": "each", "playbook": "receipt", "status": "active", "cooldown": "0s",
        "when": {"threshold": {"event": "order", "within": "1h", "at_least": 1}},
    },
]  # fmt: skip
PLAYBOOKS: list[JSON] = [
    {
        "name": "outreach", "exit_when": {"event": "login"},
        "limit": None, "steps": {"high": [{"task": {"title": "Call {{ account.id }}", "key": "{{ trigger.id }}"}}],
                  "low": [{"email": {"template": "sorry"}}, {"wait": "1d"}, {"task": {"title": "Ring"}}],
                  "tech": [{"webhook": {"endpoint": "crm"}}]},
    },
    {
        "name": "thanks", "holdout": HOLDOUT, "goal": {"event": "login", "within": "1d"},
        "limit": None, "steps": [
            {"webhook": {"endpoint": "crm", "body": {"id": "{{ trigger.id }}", "is": "{{ account.attributes.mood }}"}}}
        ],
    },
    {
        "name": "missing", "exit_when": {"event": "login"},
        "limit": None, "steps": [{"wait": "6h"}, {"email": {"template": "sorry"}},
                  {"wait": {"for": "1d", "until": {"event": "bought"}, "then": "exit"}},
                  {"task": {"title": "Look after {{ account.id }}, {{ account.attributes.mood }}"}}],
    },
    {
        "name": "dunning", "topic": "billing", "exit_when": {"event": "paid", "by": "data.invoice"},
        "limit": None, "steps": [{"email": {"template": "sorry"}}, {"wait": "1d"}, {"email": {"template": "sorry"}}],
    },
    {
        "name": "receipt",
        "limit": None, "steps": [{"task": {"title": "Pack", "key": "{{ trigger.id }}"}},
                  {"webhook": {"endpoint": "crm", "body": {"id": "{{ trigger.id }}"}}}],
    },
]  # fmt: skip
TEMPLATE = {
    "name": "sorry",
    "subject": "About {{ account.id }}",
    "markdown": "Hello {{ contact.name }} ({{ tier }}), you are {{ account.attributes.mood }}",
}


def configure(client: httpx.Client, crm: str, accounts: int) -> None:
    """Save tiers, playbooks, rules and accounts; returns when they are in force."""
    client.put("/v1/tiers", json={"tiers": TIERS}).raise_for_status()
    client.post("/v1/endpoints", json={"name": "crm", "url": crm}).raise_for_status()
    client.post("/v1/templates", json=TEMPLATE).raise_for_status()
    for body in PLAYBOOKS:
        client.post("/v1/playbooks", json=body).raise_for_status()
    for body in RULES:
        answer = client.post("/v1/rules", json=body)
        assert answer.status_code == 201, answer.text
    for start in range(0, accounts, 500):
        part = [known(n) for n in range(start, min(accounts, start + 500))]
        client.post("/v1/events", json=part).raise_for_status()


def known(n: int) -> JSON:
    """The first update of an account, at the beginning of the workload's time."""
    contacts = [{"id": "ann", "name": "Ann", "email": f"ann@a{n}.test", "roles": ["admin"]}]
    data = {"attributes": {"n": n, "mood": "new"}, "owner": {"email": "jo@us.test"}, "contacts": contacts}
    return {"id": f"known-{n}", "type": "account.updated", "account": f"a{n}", "time": START.isoformat(),
            "historical": True, "data": data}  # fmt: skip


def events(
    seed: int,
    count: int,
    accounts: Sequence[int],
    *,
    days: float = 8,
    quiet: float = 0,
    merges: float = 0,
) -> Iterator[JSON]:
    """Events of these accounts over some days, a tenth of them up to four hours late, a few sent twice.

    `quiet`: the share of events that no rule and no playbook waits for. `merges`: the share of merges of two accounts.
    """
    rng = random.Random(seed)
    step = timedelta(days=days) / count
    before: JSON | None = None
    closed: set[int] = set()
    for number in range(count):
        at = START + timedelta(minutes=1) + step * number
        if rng.random() < 0.1:
            at = max(START, at - timedelta(minutes=rng.randrange(240)))
        type_ = rng.choices(TYPES, WEIGHTS)[0]
        if quiet and rng.random() < quiet:
            type_ = "seen"
        data: JSON = {"amount": rng.randrange(400) / 4}
        if type_ in {"invoiced", "paid"}:
            data["invoice"] = f"i{rng.randrange(3)}"
        if type_ == "account.updated":  # the next mail or task tells whether the play saw it
            data = {"attributes": {"mood": f"m{number}"}}
        of = rng.choice(accounts)
        if (
            merges
            and rng.random() < merges
            and (later := [n for n in accounts if n > of])
            and of not in closed
        ):
            closed.add(of)  # only once and in no circle, which ingest would refuse
            type_, data = "account.merged", {"into": f"a{rng.choice(later)}"}
        event = {"id": f"s{seed}-{number}", "source": "test", "type": type_, "account": f"a{of}",
                 "time": at.isoformat(), "data": data}  # fmt: skip
        yield event
        if before is not None and rng.random() < 0.01:
            yield before  # a sender that repeats itself
        before = event


def batches(sent: Iterator[JSON], size: int = BATCH) -> Iterator[list[JSON]]:
    """The events of each request."""
    batch: list[JSON] = []
    for event in sent:
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def post(client: httpx.Client, batch: list[JSON], retry_s: float = 120.0) -> None:
    """Post until the batch is accepted: events answered with 202 are acknowledged."""

    def taken() -> bool:
        try:
            answer = client.post("/v1/events", json=batch, timeout=15)
        except httpx.HTTPError:
            return False
        if answer.status_code == 202:
            assert answer.json() == {"accepted": len(batch), "rejected": []}
            return True
        assert answer.status_code in {429, 500, 503}, answer.text
        return False

    until("the events are taken", taken, retry_s)


def post_all(
    connect: Callable[[], httpx.Client],
    count: int,
    accounts: int,
    *,
    clients: int = 4,
    days: float = 8,
    seed: int = 0,
    size: int = BATCH,
    quiet: float = 0,
    merges: float = 0,
    posted: Callable[[int], None] = lambda _: None,
) -> set[tuple[str, str]]:
    """Post all events from several clients, each with accounts of its own; returns the acknowledged (account, id).

    `posted` is called with the number of new events in every request, and may hold its client back.
    """

    def one(number: int) -> set[tuple[str, str]]:
        own = range(number, accounts, clients)
        acknowledged: set[tuple[str, str]] = set()
        with connect() as client:
            sent = events(seed + number, count // clients, own, days=days, quiet=quiet, merges=merges)
            for batch in batches(sent, size):
                post(client, batch)
                known = len(acknowledged)
                acknowledged |= {(event["account"], event["id"]) for event in batch}
                posted(len(acknowledged) - known)
        return acknowledged

    with ThreadPoolExecutor(clients) as pool:
        return set().union(*pool.map(one, range(clients)))
