"""The same events, sent by many clients again and again. Each has its effect once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from tests.e2e.faults import Run
from tests.e2e.stack import KINDS, until
from tests.e2e.workload import JSON, START, post

BATCH = 20


def orders(count: int, accounts: int) -> list[JSON]:
    """Events for the rule `each`; every event fires it once."""
    return [
        {
            "id": f"o{number}", "source": "shop", "type": "order", "account": f"a{number % accounts}",
            "time": (START + timedelta(minutes=1, seconds=number)).isoformat(), "data": {},
        }
        for number in range(count)
    ]  # fmt: skip


def send_again_and_again(run: Run, ids: int, clients: int, copies: int, kills: int, seed: int) -> None:
    """Send `ids` events, each `copies` times from as many of the clients, in any order.

    Meanwhile every service is killed and started again `kills` times.
    """
    sent = orders(ids, run.accounts)
    rng = random.Random(f"{seed} duplicates")
    shares: list[list[JSON]] = [[] for _ in range(clients)]
    for event in sent:
        for client in rng.sample(range(clients), copies):
            shares[client].append(event)
    for share in shares:
        rng.shuffle(share)
    with ThreadPoolExecutor(clients + 1) as pool:
        sending = [pool.submit(_send, run, share) for share in shares]
        killing = pool.submit(_kill, run, kills, ids * copies)
        for one in [*sending, killing]:
            one.result()
    run.acknowledged |= {(event["account"], event["id"]) for event in sent}


def _send(run: Run, share: list[JSON]) -> None:
    with run.stack.client() as client:
        for at in range(0, len(share), BATCH):
            batch = share[at : at + BATCH]
            post(client, batch)
            run.progress.step("sent", len(batch))


def _kill(run: Run, kills: int, total: int) -> None:
    """Kill all services in turn, spread over the events that are sent."""
    moments = [
        (total * (place + 1) // (kills * len(KINDS) + 1), kind) for place, kind in enumerate(KINDS * kills)
    ]
    for moment, kind in moments:
        until(f"{moment} are sent", partial(_sent, run, moment), 900)
        process = run.stack.one(kind)
        process.kill9()
        process.start()
        run.progress.step("kills")


def _sent(run: Run, count: int) -> bool:
    return run.progress.done("sent") >= count
