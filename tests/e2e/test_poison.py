"""What other programs may put onto the topic: it goes to the dead letters with its origin, and stops nobody."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from backbone.log import EVENTS, partition_for
from tests.e2e.conftest import MakeStack
from tests.e2e.faults import PARTITIONS, Run, loaded
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack
from tests.e2e.topics import dead_letters

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

TEN_MB = 10_000_000
POISON = {
    "no JSON": b"\xff\xfe{",
    "half JSON": b'{"type": "x", "account": ',
    "nothing": b"",
    "no account": b'{"type": "x"}',
    "a subject is no account": b'{"type": "x", "subject": "a1"}',
    "half a character": rb'{"type": "x", "account": "a1", "data": {"text": "cut \ud83d"}}',
    "no number": b'{"type": "x", "account": "a1", "data": 1e999}',
    "no UTF-8": b'{"type": "x", "account": "a1", "data": "\xff"}',
    "no type": b'{"account": "a1"}',
    "no time": b'{"type": "x", "account": "a1", "time": "yesterday"}',
    "an array": b"[1, 2]",
    "too deep": b'{"type": "x", "account": "a1", "data": ' + b"[" * 50_000,
    "10 MB": b'{"type": "' + b"x" * TEN_MB,
}


def allow_large(stack: Stack) -> None:
    """As an operator might: records that are larger than ours."""
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, EVENTS, {"max.message.bytes": str(2 * TEN_MB)})
        admin.alter_configs([resource])
    finally:
        admin.close()


def poison(run: Run) -> int:
    """Every kind into every partition, and two accounts, one of them known, to where they do not belong; how many."""
    producer = KafkaProducer(bootstrap_servers=run.stack.kafka, max_request_size=2 * TEN_MB)
    sent = []
    for partition in range(PARTITIONS):
        kinds = POISON if partition == 0 else {k: v for k, v in POISON.items() if k != "10 MB"}
        sent += [producer.send(EVENTS, value, partition=partition) for value in kinds.values()]
        for name in ("stray", "a1"):
            event = f'{{"type": "ticket", "account": "{name}", "time": "2026-01-02T00:00:00Z"}}'
            if partition_for(name, PARTITIONS) != partition:
                sent.append(producer.send(EVENTS, event.encode(), name.encode(), partition=partition))
    for one in sent:
        one.get(timeout=30)
    producer.close()
    return len(sent)


@pytest.mark.timeout(300)
def test_poison_is_put_aside_and_blocks_no_partition(make_stack: MakeStack, sink: Sinks) -> None:
    stack = make_stack()
    allow_large(stack)
    with loaded(stack, sink, events=2_000, accounts=100) as run:
        count = poison(run)
    run.finish()
    log = stack.open_log()
    try:
        letters = dead_letters(log)
    finally:
        log.close()
    origins = [dict(letter.headers)["origin"].decode() for letter in letters]
    assert len(origins) == len(set(origins)) == count
    assert all(origin.startswith(f"{EVENTS}/") for origin in origins)
    assert all(dict(letter.headers)["error"] for letter in letters)
    assert [int(dict(r.headers)["truncated"]) for r in letters if "truncated" in dict(r.headers)] == [
        len(POISON["10 MB"])
    ]
