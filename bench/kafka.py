"""The rules worker on Kafka and PostgreSQL, against a bare kafka-python poll loop on the same topic."""

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from backbone.log import EVENTS, open_log
from backbone.settings import Settings, load_settings
from bench.durable import catch_up
from bench.http import append_and_poll, latencies, post_to_webhook
from bench.measure import RULES, SCALE, Result, paired
from bench.served import served
from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres

COUNT = int(60_000 * SCALE)
SECRET = "a key for benchmarks"


def kafka(tick: Callable[[], None]) -> list[Result]:
    """Events a second of one worker, by number of rules; both servers are on this machine, and take their share."""
    results = []
    with Kafka() as broker, Postgres() as database:
        for rules in RULES:
            ours, base, raw = paired(
                lambda rules=rules: _rate(broker, database, rules),  # type: ignore[misc]
                lambda: _bare(broker),
                repeats=2,
                ours_first=True,  # the bare loop reads what our side wrote
            )
            results.append(Result("kafka", ours, "events/s", rules, base, raw))
            tick()
    return results


def latency_kafka(tick: Callable[[], None]) -> list[Result]:
    """From POST to webhook at 100 events a second on Kafka and PostgreSQL, beyond a bare append-and-poll."""
    with Kafka() as broker, Postgres() as database, tempfile.TemporaryDirectory() as folder:
        log = open_log(_settings(Path(folder), broker, database))
        try:
            bare = append_and_poll(log)
        finally:
            log.close()
        broker.clear()
        named = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "SECRET_KEY": SECRET,
            "DATABASE_URL": _fresh(database), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip
        with served(Path(folder), **named) as ours:
            whole = post_to_webhook(ours)
    tick()
    return latencies("latency_kafka", whole, bare)


def _rate(broker: Kafka, database: Postgres, rules: int) -> float:
    broker.clear()
    with tempfile.TemporaryDirectory() as folder:
        return COUNT / catch_up(_settings(Path(folder), broker, database), rules, COUNT, [])


def _settings(folder: Path, broker: Kafka, database: Postgres) -> Settings:
    return load_settings(
        data_dir=folder, clock="log", log_retention="3650d", secret_key=SECRET,
        kafka_bootstrap_servers=broker.bootstrap_servers, database_url=_fresh(database),
    )  # fmt: skip


def _fresh(database: Postgres) -> str:
    return database.create_database(f"bench_{uuid.uuid4().hex[:12]}")


def _bare(broker: Kafka) -> float:
    """Records a second that a consumer polls and counts, nothing else."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False)
    try:
        places = [
            TopicPartition(EVENTS, number) for number in sorted(consumer.partitions_for_topic(EVENTS) or ())
        ]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        goal, count = sum(consumer.end_offsets(places).values()), 0
        started = time.perf_counter()
        while count < goal:
            count += sum(len(part) for part in consumer.poll(200, max_records=20_000).values())
        return count / (time.perf_counter() - started)
    finally:
        consumer.close()
