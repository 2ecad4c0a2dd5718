"""Whatever others compress with, their programs or the broker itself (`compression.type`), is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Entry
from backbone.log.kafka.log import KafkaLog
from tests.conformance.log.conftest import Twin, kafka_twin
from tests.conformance.log.test_kafka_only import make_topics
from tests.conftest import KafkaServer

pytestmark = pytest.mark.kafka


@pytest.fixture
def twin(kafka_server: KafkaServer) -> Iterator[Twin]:
    twin = kafka_twin(kafka_server.bootstrap_servers)
    yield twin
    twin.close()


@pytest.mark.parametrize("codec", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_of_kafka_is_read(twin: Twin, kafka_server: KafkaServer, codec: str) -> None:
    log = twin.open()
    assert isinstance(log, KafkaLog)
    make_topics(kafka_server, log, {"compression.type": codec, "message.timestamp.type": "LogAppendTime"})
    values = [f"{n}: {'long ' * 1_000}".encode() for n in range(500)]  # 2.5 MB, more than one batch
    for topic in (EVENTS, TRIGGERS, DEAD_LETTERS):
        log.append(topic, [Entry(value=value, partition=1) for value in values]).result(timeout=30)
    assert [record.value for record in twin.reader(log, EVENTS).read(len(values))] == values
    assert log.read(TRIGGERS, 1, 0)[0].value == values[0]
