"""What only Kafka can do: lose its broker, gain partitions, be written to by others."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient, NewPartitions

from backbone.log import (
    DEAD_LETTERS,
    EVENTS,
    TRIGGERS,
    Entry,
    Log,
    LogUnavailable,
    PartitionsChanged,
    RecordTooLarge,
)
from backbone.log.kafka.cluster import Cluster
from backbone.log.kafka.log import KafkaLog
from backbone.log.kafka.producer import STUCK_S
from deploy.local.kafka import Kafka
from tests.conformance.log.conftest import PARTITIONS, Twin, kafka_twin
from tests.conftest import KafkaServer

pytestmark = pytest.mark.kafka
WAIT_S = 30.0
DAY_US = 86_400_000_000


@pytest.fixture
def twin(kafka_server: KafkaServer) -> Iterator[Twin]:
    twin = kafka_twin(kafka_server.bootstrap_servers)
    yield twin
    twin.close()


@pytest.fixture
def broker() -> Iterator[Kafka]:
    """One that may be killed."""
    with Kafka(quick=True) as server:
        yield server


@contextmanager
def administration(server: KafkaServer) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    try:
        yield admin
    finally:
        admin.close()


def make_topics(server: KafkaServer, log: Log, configs: dict[str, str]) -> None:
    """Our topics, as others would make them."""
    new = {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": configs}
    with administration(server) as admin:
        admin.create_topics({prefix_of(log) + topic: new for topic in (EVENTS, TRIGGERS, DEAD_LETTERS)})


def prefix_of(log: Log) -> str:
    assert isinstance(log, KafkaLog)
    return log._cluster.prefix


def test_the_topics_are_made_as_they_must_be(twin: Twin, kafka_server: KafkaServer) -> None:
    log = twin.open()
    log.end_offsets(EVENTS)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
    try:
        for topic in (EVENTS, TRIGGERS, DEAD_LETTERS):
            name = prefix_of(log) + topic
            (found,) = admin.describe_topics([name])
            assert len(found["partitions"]) == PARTITIONS
            configs = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][
                name
            ]
            assert configs["message.timestamp.type"]["value"] == "LogAppendTime"
            assert configs["min.insync.replicas"]["value"] == "1"
            assert configs["retention.ms"]["value"] == "-1"
    finally:
        admin.close()


def test_replicated_topics_ask_for_a_majority() -> None:
    """More than one broker is not started here; what the topics are made with is looked at instead."""
    made = [
        Cluster(["x:1"], PARTITIONS, replication=n, retention=90 * DAY_US)._new_topic() for n in (1, 2, 3, 5)
    ]
    assert [each["replication_factor"] for each in made] == [1, 2, 3, 5]
    assert [each["configs"]["min.insync.replicas"] for each in made] == ["1", "2", "2", "3"]
    assert {each["configs"]["retention.ms"] for each in made} == {str(90 * 86_400_000)}
    assert {each["num_partitions"] for each in made} == {PARTITIONS}


def test_more_replicas_than_brokers_is_refused_by_name(twin: Twin) -> None:
    log = twin.open()
    assert isinstance(log, KafkaLog)
    log._cluster.replication = 3
    assert not log.ready()
    with pytest.raises(
        LogUnavailable, match=r"InvalidReplicationFactor.*\(TOUCHLINE_KAFKA_REPLICATION_FACTOR\)"
    ):
        log.end_offsets(EVENTS)


def test_appends_carry_a_producer_id_and_numbers(twin: Twin, kafka_server: KafkaServer) -> None:
    """So that Kafka drops a batch that was sent again because its answer was lost; and wait for all in sync."""
    log = twin.open()
    for n in range(3):
        log.append(EVENTS, [Entry(value=b"%d" % n, partition=0)]).result(WAIT_S)
    lane = TopicPartition(prefix_of(log) + EVENTS, 0)
    with administration(kafka_server) as admin:
        (producer,) = admin.describe_producers([lane])[lane].active_producers
    assert (producer.last_sequence, producer.current_transaction_start_offset) == (2, -1)
    assert isinstance(log, KafkaLog)
    assert log._appender._producer.config["acks"] == -1  # all; one broker cannot show the difference


def test_an_append_of_which_kafka_takes_only_a_part_fails(twin: Twin, kafka_server: KafkaServer) -> None:
    """Each record's own answer counts; here the broker takes less than we do, in a topic made by others."""
    log = twin.open()
    make_topics(kafka_server, log, {"max.message.bytes": "20000"})
    fits = Entry(value=b"fits", partition=0)
    large = Entry(value=random.Random(1).randbytes(100_000), partition=1)  # no compression helps it
    began = time.monotonic()
    with pytest.raises(RecordTooLarge, match="Kafka refused the record as too large"):
        log.append(EVENTS, [fits, large, fits]).result(WAIT_S)
    assert time.monotonic() - began < STUCK_S, "by its own answer, not by the patience with all"
    assert log.append(EVENTS, [fits]).result(WAIT_S)[0][0] == 0


def test_a_topic_with_too_few_replicas_in_sync_is_warned_of(twin: Twin, kafka_server: KafkaServer) -> None:
    """Made by others, with three replicas of which one is enough for an acknowledgement."""
    log = twin.open()
    make_topics(kafka_server, log, {"min.insync.replicas": "1"})
    assert isinstance(log, KafkaLog)
    log._cluster.replication = 3
    with structlog.testing.capture_logs() as said:
        log.end_offsets(EVENTS)
    weak = [line for line in said if line["event"] == "log.topic_weak"]
    assert {line["topic"] for line in weak} == {prefix_of(log) + t for t in (EVENTS, TRIGGERS, DEAD_LETTERS)}


def test_a_topic_made_by_others_is_set_to_receipt_time(twin: Twin, kafka_server: KafkaServer) -> None:
    log = twin.open()
    name = prefix_of(log) + EVENTS
    theirs_too = {"retention.ms": "123456789", "min.insync.replicas": "1"}
    make_topics(kafka_server, log, theirs_too)
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers)
    log.append(EVENTS, [Entry(value=b"ours", partition=0)]).result(WAIT_S)
    producer.send(name, b"theirs", partition=0, timestamp_ms=4_000_000_000_000).get(WAIT_S)
    producer.close()
    ours, theirs = log.read(EVENTS, 0, 0)
    assert 0 <= theirs.timestamp - ours.timestamp < 3_600_000_000
    with administration(kafka_server) as admin:
        found = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][name]
    assert {each: found[each]["value"] for each in theirs_too} == theirs_too, "nothing else is touched"


def test_a_foreign_key_that_is_no_text(twin: Twin, kafka_server: KafkaServer) -> None:
    log = twin.open()
    log.append(EVENTS, [Entry(value=b"x", partition=0)]).result(WAIT_S)
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers)
    producer.send(prefix_of(log) + EVENTS, None, b"\xff\xfe", partition=0).get(WAIT_S)
    producer.close()
    reader = twin.reader(log, EVENTS)
    assert [(r.key, r.value) for r in reader.read(2)] == [(None, b"x"), ("\\xff\\xfe", b"")]


def test_transactions_of_others(twin: Twin, kafka_server: KafkaServer) -> None:
    """What was aborted is not read, and the markers count as read."""
    log = twin.open()
    log.append(EVENTS, [Entry(value=b"first", partition=0)]).result(WAIT_S)
    name = prefix_of(log) + EVENTS
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers, transactional_id=name)
    producer.init_transactions()
    for value, commit in ((b"aborted", False), (b"committed", True)):
        producer.begin_transaction()
        producer.send(name, value, partition=0).get(WAIT_S)
        producer.commit_transaction() if commit else producer.abort_transaction()
    producer.close()
    reader = twin.reader(log, EVENTS)
    assert [r.value for r in reader.read(2)] == [b"first", b"committed"]
    reader.until(lambda: reader.consumer.positions() == reader.consumer.end_offsets(), "reading the markers")
    assert log.read(EVENTS, 0, reader.consumer.positions()[EVENTS, 0] - 1) == []


def test_partitions_added_while_running_stop_the_reader(twin: Twin, kafka_server: KafkaServer) -> None:
    log = twin.open()
    reader = twin.reader(log, EVENTS, TRIGGERS).join()
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
    admin.create_partitions({prefix_of(log) + EVENTS: NewPartitions(PARTITIONS + 2)})
    admin.close()
    reader.consumer.rejoin()  # Kafka tells the group's leader, in its own time, to do so
    with pytest.raises(PartitionsChanged, match=r"6 partitions"):
        reader.until(lambda: False, "an error")


def test_commits_show_the_lag_and_decide_nothing(twin: Twin, kafka_server: KafkaServer) -> None:
    log = twin.open()
    log.append(EVENTS, [Entry(value=b"x", partition=0)] * 5).result(WAIT_S)
    reader = twin.reader(log, EVENTS)
    reader.read(5)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
    group, lane = prefix_of(log) + "g", TopicPartition(prefix_of(log) + EVENTS, 0)

    def shown() -> bool:
        reader.consumer.commit({(EVENTS, 0): 3})
        found = admin.list_group_offsets([group]).get(group, {}).get(lane)
        return found is not None and found.offset == 3

    reader.until(shown, "the commit")
    admin.close()
    reader.consumer.close()
    assert len(twin.reader(log, EVENTS).read(5)) == 5  # from 0, where our store says


def test_a_log_that_cannot_be_reached() -> None:
    log = KafkaLog(Cluster(["127.0.0.1:1"], PARTITIONS))
    try:
        assert not log.ready()
        with pytest.raises(LogUnavailable, match=r"no Kafka server can be reached at 127\.0\.0\.1:1"):
            log.append(EVENTS, [Entry(value=b"x")]).result(WAIT_S)
        with pytest.raises(LogUnavailable):
            log.end_offsets(EVENTS)
        with pytest.raises(LogUnavailable):
            log.read(EVENTS, 0, 0)
        consumer = log.consumer("g", [EVENTS])
        consumer.subscribe(lambda partitions: {}, lambda partitions: None)
        assert consumer.poll(0.1, 10) == []
        consumer.close()
    finally:
        log.close()


@pytest.mark.slow
def test_the_broker_dies_and_comes_back(broker: Kafka) -> None:
    """No append waits beyond 10 s or is acknowledged in vain; all goes on without a hand; order is kept."""
    twin = kafka_twin(broker.bootstrap_servers)
    try:
        log = twin.open(queue_bytes=1_000_000)
        reader = twin.reader(log, EVENTS).join()
        kept = [b"%d" % n for n in range(50)]
        for value in kept:
            log.append(EVENTS, [Entry(value=value, key="acme")])
        reader.read(50)
        broker.kill9()
        began = time.monotonic()
        lost = [log.append(EVENTS, [Entry(value=b"lost" + b"." * 20_000, key="acme")]) for _ in range(200)]
        errors = [f.exception(WAIT_S) for f in lost]
        assert time.monotonic() - began < 10.0  # the promise itself: ingest answers 503 within 10 s
        assert {type(error) for error in errors} == {LogUnavailable}
        assert reader.poll(0.1) == []
        broker.restart()
        deadline = time.monotonic() + WAIT_S
        while log.append(EVENTS, [Entry(value=b"back", key="acme")]).exception(WAIT_S) is not None:
            assert time.monotonic() < deadline
        reader.until(lambda: reader.records[-1].value == b"back", "reading on")
        values = [r.value for r in reader.records]
        assert values[:50] == kept
        assert [r.offset for r in reader.records] == list(range(len(values)))
        assert log.end_offsets(EVENTS)[reader.records[0].partition] == len(values)
    finally:
        twin.close()


@pytest.mark.slow
def test_restarts_under_load_lose_and_swap_nothing(broker: Kafka) -> None:
    """Pipelined appends over two kills: what was acknowledged is there, and nothing stands behind what failed."""
    twin = kafka_twin(broker.bootstrap_servers)
    try:
        log = twin.open()
        log.append(EVENTS, [Entry(value=b"-1", partition=0)]).result(WAIT_S)
        outcomes: list[tuple[int, bool]] = []
        for turn in range(2):
            futures = []
            for n in range(turn * 20_000, turn * 20_000 + 20_000, 10):
                entries = [Entry(value=b"%d" % i, partition=0) for i in range(n, n + 10)]
                futures.append((n, log.append(EVENTS, entries)))
                if n == turn * 20_000 + 10_000:
                    broker.kill9()
            done = [(n, f.exception(WAIT_S) is None) for n, f in futures]
            outcomes += done
            assert sorted((ok for _, ok in done), reverse=True) == [
                ok for _, ok in done
            ]  # then none any more
            broker.restart()
        found = _values(log)
        acknowledged = {i for n, ok in outcomes if ok for i in range(n, n + 10)}
        assert acknowledged <= set(found)
        assert sorted(found) == found, "out of order"
        assert len(found) == len(set(found)), "doubled"
    finally:
        twin.close()


def _values(log: Log) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            records = log.read(EVENTS, 0, len(found), 5000)
        except LogUnavailable:
            assert time.monotonic() < deadline
            continue
        if not records:
            return found
        found += [int(r.value) for r in records]
