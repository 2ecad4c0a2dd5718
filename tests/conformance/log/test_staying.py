"""Long work between two polls: who says that he stays keeps his partitions, and holds nobody up who joins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import pytest

from backbone.log import EVENTS, TRIGGERS, Entry
from backbone.log.kafka import consumer as module
from tests.conformance.log.conftest import PARTITIONS, Reader, Twin, kafka_twin
from tests.conftest import KafkaServer

pytestmark = pytest.mark.kafka
GIVEN_UP_S = 2.0
COUNT = 400


@pytest.fixture
def twin(kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    """Consumers that are given up soon."""
    monkeypatch.setitem(module.COMMON, "max_poll_interval_ms", int(GIVEN_UP_S * 1000))
    monkeypatch.setattr(module, "STAY_EVERY_S", GIVEN_UP_S / 10)
    twin = kafka_twin(kafka_server.bootstrap_servers)
    yield twin
    twin.close()


def entries() -> list[Entry]:
    return [Entry(value=f"{n}".encode(), partition=n % PARTITIONS) for n in range(COUNT)]


def places(*readers: Reader) -> list[tuple[int, int]]:
    return sorted((r.partition, r.offset) for reader in readers for r in reader.records)


def test_who_stays_keeps_his_partitions_and_reads_on_where_he_was(twin: Twin) -> None:
    log = twin.open()
    wanted = sorted(log.append(EVENTS, entries()).result(timeout=10))
    reader = twin.reader(log, EVENTS).join()
    reader.read(10, max_records=10)
    reader.consumer.pause(EVENTS, 0)
    paused = sum(record.partition == 0 for record in reader.records)
    until = time.monotonic() + 2 * GIVEN_UP_S
    while time.monotonic() < until:
        reader.consumer.stay()
    reader.until(lambda: len(reader.records) == COUNT * 3 // 4 + paused, "reading what is not paused", 10)
    assert sum(record.partition == 0 for record in reader.records) == paused
    reader.consumer.resume(EVENTS, 0)
    reader.read(COUNT)
    assert places(reader) == wanted
    until = time.monotonic() + GIVEN_UP_S
    while time.monotonic() < until:  # he would join anew by now
        reader.poll()
    assert (len(reader.assigned), reader.revoked) == (1, [])


def test_who_joins_meanwhile_does_not_wait_for_the_work_to_end(twin: Twin) -> None:
    log = twin.open()
    wanted = sorted(log.append(EVENTS, entries()).result(timeout=10))
    busy, other = twin.reader(log, EVENTS).join(), twin.reader(log, EVENTS)
    busy.read(10, max_records=10)
    joining = Thread(target=other.join)
    joining.start()
    until = time.monotonic() + 30
    while joining.is_alive() and time.monotonic() < until:
        busy.consumer.stay()
    joining.join(timeout=1)
    assert (len(other.assigned), len(busy.assigned), busy.revoked) == (1, 1, [])
    busy.until(lambda: len(busy.assigned) == 2, "learning of it")
    assert len(busy.assigned[1]) == PARTITIONS // 2
    kept = {place for place in places(busy) if place[0] in other.assigned[0]}
    deadline = time.monotonic() + 30
    while not set(places(busy, other)) >= set(wanted) and time.monotonic() < deadline:
        busy.poll()
        other.poll()
    assert sorted(set(places(busy, other))) == wanted
    assert len(places(busy, other)) == COUNT + len(
        kept
    )  # these the other one began with anew, as it was told


def test_staying_says_nothing_of_who_never_joined(twin: Twin) -> None:
    twin.open().consumer("g", [TRIGGERS]).stay()
