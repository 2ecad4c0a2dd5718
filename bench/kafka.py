"""The rules worker on Kafka and PostgreSQL, against a bare kafka-python poll loop on the same topic."""

import os
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import uvloop
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from backbone.log import EVENTS
from backbone.settings import Settings, load_settings
from bench.durable import Bench, catch_up
from bench.http import bare_log, in_turn, latencies
from bench.measure import RULES, SCALE, Result, paired
from bench.served import Served, served
from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from deploy.local.process import wait_until
from services.rules.worker import GROUP

COUNT = int(100_000 * SCALE)
FLEET_RULES = 100
SECRET = "a key for benchmarks"
PATIENCE_S = 120.0


def kafka(tick: Callable[[], None]) -> list[Result]:
    """Events a second of one worker, by number of rules; both servers are on this machine, and take their share."""
    results = []
    with Kafka() as broker, Postgres() as database:
        for rules in RULES:
            # ours first: the bare loop reads what our side wrote
            ours, base, raw = paired(
                partial(_rate, broker, database, rules), partial(_bare, broker), ours_first=True
            )
            results.append(Result("kafka", ours, "events/s", rules, base, raw))
            tick()
    return results


def two_workers(tick: Callable[[], None]) -> list[Result]:
    """Two `touchline serve rules` against one, each catching up with the same backlog."""
    with Kafka() as broker, Postgres() as database:
        costs: dict[int, list[float]] = {1: [], 2: []}
        two, one = (partial(_fleet, broker, database, count, costs[count]) for count in (2, 1))
        ours, base, raw = paired(two, one, repeats=2)
    tick()
    raw |= {"ours_cpu_us": costs[2], "floor_cpu_us": costs[1]}
    note = (
        f"{os.cpu_count()} cores for the workers, the broker and the database; {statistics.median(costs[1]):.0f} µs of"
        f" CPU time an event with one worker, {statistics.median(costs[2]):.0f} with two"
    )
    return [Result("kafka_two_workers", ours, "events/s", FLEET_RULES, base, raw, note)]


def latency_kafka(tick: Callable[[], None]) -> list[Result]:
    """From POST to webhook at 100 events a second on Kafka and PostgreSQL, beyond a bare append-and-poll."""
    with Kafka() as broker, Postgres() as database, tempfile.TemporaryDirectory() as folder:
        named = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "SECRET_KEY": SECRET,
            "DATABASE_URL": _fresh(database), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip
        with (
            served(Path(folder), **named) as ours,
            bare_log(_settings(Path(folder, "bare"), broker, database)) as bare,
        ):
            rounds = uvloop.run(in_turn(ours, bare))
    tick()
    return latencies("latency_kafka", rounds)


def _rate(broker: Kafka, database: Postgres, rules: int) -> float:
    broker.clear()
    with tempfile.TemporaryDirectory() as folder:
        return COUNT / catch_up(_settings(Path(folder), broker, database), rules, COUNT, [])


def _fleet(broker: Kafka, database: Postgres, workers: int, costs: list[float]) -> float:
    """Events a second of so many worker processes, which stand still while the backlog is written.

    The microseconds of CPU time that an event took of all of them are added to `costs`.
    """
    broker.clear()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        settings = _settings(Path(folder), broker, database)
        bench = Bench(settings, FLEET_RULES, working=False)
        stack.callback(bench.close)
        bench.append_accounts()
        named = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "SECRET_KEY": SECRET, "CLOCK": "log",
            "LOG_RETENTION": "3650d", "DATABASE_URL": settings.database_url,
        }  # fmt: skip
        fleet = [stack.enter_context(served(Path(folder), "rules", **named)) for _ in range(workers)]
        _share(broker, workers)
        wait_until("the accounts are known", lambda: bench.done() >= bench.goal(), PATIENCE_S)
        wait_until("nothing is on its way", _Quiet(bench), PATIENCE_S)
        with _standing_still(fleet):
            bench.append_events(COUNT)
            goal = bench.goal()
            before = sum(one.cpu_seconds() for one in fleet)
        started = time.perf_counter()
        wait_until("the backlog is worked off", lambda: bench.done() >= goal, PATIENCE_S)
        taken = time.perf_counter() - started
        costs.append(round(1e6 * (sum(one.cpu_seconds() for one in fleet) - before) / COUNT, 1))
        return COUNT / taken


class _Quiet:
    """Whether nothing has been written for a second: a process may then stand still without missing an answer."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._seen, self._since = bench, -1, time.monotonic()

    def __call__(self) -> bool:
        written = self._bench.goal() + self._bench.told()
        if written != self._seen:
            self._seen, self._since = written, time.monotonic()
        return time.monotonic() - self._since > 1.0


@contextmanager
def _standing_still(fleet: list[Served]) -> Iterator[None]:
    for one in fleet:
        os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in fleet:
            os.kill(one.pid, signal.SIGCONT)


def _share(broker: Kafka, workers: int) -> None:
    """Wait until the group has so many members, each with partitions."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)

    def shared() -> bool:
        try:
            group = admin.describe_groups([GROUP])[GROUP]
        except KafkaError:  # the coordinator is not there yet
            return False
        held = [
            member["member_assignment"] for member in group["members"]
        ]  # "" while they are being shared out
        return len(held) == workers and all(each and each["assigned_partitions"] for each in held)

    try:
        wait_until("the workers share the partitions", shared, PATIENCE_S)
    finally:
        admin.close()


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
