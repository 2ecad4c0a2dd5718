"""What all our Kafka clients share: the cluster's address, how to authenticate, and which topics must exist."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from kafka import errors
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.net.compat import KafkaNetClient
from kafka.protocol.metadata import MetadataRequest

from backbone.log.kafka.security import explained, security_of, shake_hands
from backbone.log.kafka.sockets import DIRECT
from backbone.log.records import MAX_HEADER_BYTES, MAX_RECORD_BYTES, TOPICS, LogUnavailable, PartitionsChanged
from backbone.settings import Settings

MAX_REQUEST_BYTES = 2 * (MAX_RECORD_BYTES + MAX_HEADER_BYTES)
BOOTSTRAP_MS = 2_000
PROBE_S = 0.5  # to open a connection to one server
KNOCK_MS = 2_000  # for one server to authenticate us
RECHECK_S = 10.0  # for which topics that were found right are not checked again
STAMPS, IN_SYNC = "message.timestamp.type", "min.insync.replicas"

Client = TypeVar("Client")
_log = structlog.get_logger(__name__)


@dataclass
class Cluster:
    """A Kafka cluster and our topics on it. May be used from any thread."""

    servers: list[str]
    partitions: int
    replication: int = 1
    retention: int | None = None  # microseconds; None keeps all
    security: dict[str, Any] = field(default_factory=dict)
    session_s: float = 10.0  # without a heartbeat, after which a member of a group is given up
    prefix: str = ""  # of topic and group names; several installations, or tests, can share a cluster
    _checked: float = -RECHECK_S
    _fit: bool = False  # whether the last try authenticated us and found the topics right
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def config(self) -> dict[str, Any]:
        """What every client is made with."""
        return {
            "bootstrap_servers": self.servers,
            "client_id": "touchline",
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "reconnect_backoff_max_ms": 1_000,
            "metadata_max_age_ms": 30_000,
            "proxy_url": DIRECT,
            **self.security,
        }

    def connect(self, make: Callable[..., Client], **config: Any) -> Client:
        """A client; with what its constructor started stopped again if it fails. Raises `LogUnavailable`."""
        self._knock()
        started: list[KafkaNetClient] = []

        def remembered(**settings: Any) -> KafkaNetClient:
            started.append(KafkaNetClient(**settings))
            return started[-1]

        try:
            with translated("connect"):
                return make(**self.config(), kafka_client=remembered, **config)
        except BaseException:
            self._fit = False
            for client in started:
                with suppress(Exception):
                    client.close()
            raise

    def reachable(self) -> bool:
        """Whether one of the servers takes connections."""
        return any(_open(server) for server in self.servers)

    def ready(self) -> bool:
        """Whether a server takes connections and authenticates us, and our topics are as they must be.

        Only the connection is tried every time. One caller at a time checks the rest, and the others do not wait.
        """
        if not self.reachable():
            return False
        if not self._fit and self._lock.acquire(blocking=False):
            try:
                with suppress(LogUnavailable, PartitionsChanged):
                    self._check()
            finally:
                self._lock.release()
        return self._fit

    def _knock(self) -> None:
        """Check that a server authenticates us. kafka-python's clients retry until time is up, and give no reason."""
        reasons = []
        for server in filter(_open, self.servers):
            try:
                self._greet(server)
            except (errors.KafkaError, OSError, RuntimeError) as error:
                reasons.append(f"Kafka at {server}: {explained(error, self.security)}")
            else:
                return
        self._fit = False
        raise LogUnavailable(
            reasons[0] if reasons else f"no Kafka server can be reached at {', '.join(self.servers)}"
        )

    def _greet(self, server: str) -> None:
        with socket.create_connection(_host(server), KNOCK_MS / 1000) as connection:
            shake_hands(connection, _host(server)[0], self.security)
        client = KafkaNetClient(**{**self.config(), "bootstrap_servers": [server]})
        try:
            (node,) = client.cluster.bootstrap_brokers()
            answer = client.send(node.node_id, MetadataRequest(topics=[]))
            client.poll(timeout_ms=KNOCK_MS, future=answer)
            if not answer.is_done:
                raise errors.KafkaTimeoutError(f"no answer within {KNOCK_MS / 1000:g} s")
            if answer.failed():
                raise answer.exception
        finally:
            client.close()

    def check_topics(self) -> None:
        """Create topics that are missing, see that all fit. Raises `PartitionsChanged`, `LogUnavailable`."""
        with self._lock:
            if time.monotonic() - self._checked >= RECHECK_S:
                self._check()

    def _check(self) -> None:
        """Under the lock."""
        self._fit = False
        admin = self.connect(KafkaAdminClient, request_timeout_ms=5_000)
        try:
            with translated("prepare the topics"):
                self._prepare(admin)
        finally:
            admin.close()
        self._checked, self._fit = time.monotonic(), True

    def recheck(self) -> None:
        """Let the next `check_topics`, and the next `ready`, look again."""
        self._checked, self._fit = -RECHECK_S, False

    def _prepare(self, admin: KafkaAdminClient) -> None:
        names = [self.prefix + topic for topic in TOPICS]
        if missing := [name for name, count in _counts(admin, names).items() if count == 0]:
            # Another process may be creating them too, which is no error: what is there afterwards counts.
            answer = admin.create_topics({name: self._new_topic() for name in missing}, raise_errors=False)
            _refused(answer)
            admin.wait_for_topics(names)
        for name, count in _counts(admin, names).items():
            self.check_count(name, count)
        for name in names:
            if name not in missing:
                self._look_over(admin, name)

    def check_count(self, name: str, count: int) -> None:
        """Raises `PartitionsChanged` unless a topic has the partitions it should have.

        Raises `LogUnavailable` for a topic of which nothing is known just now, as while a broker starts.
        """
        if count == 0:
            raise LogUnavailable(f"Kafka does not tell the partitions of {name}")
        if count != self.partitions:
            raise PartitionsChanged(
                f"the topic {name} has {count} partitions, TOUCHLINE_PARTITIONS says {self.partitions}. "
                "Accounts would change partition: set it back, or start with new topics"
            )

    def _new_topic(self) -> dict[str, Any]:
        configs = {
            STAMPS: "LogAppendTime",
            "retention.ms": str(-1 if self.retention is None else max(1, self.retention // 1000)),
            IN_SYNC: str(self.replication // 2 + 1),  # a majority: 1 of 1, 2 of 3
            "max.message.bytes": str(MAX_REQUEST_BYTES),
        }
        return {"num_partitions": self.partitions, "replication_factor": self.replication, "configs": configs}

    def _look_over(self, admin: KafkaAdminClient, name: str) -> None:
        """Check the times and acknowledgements of a topic, which others may have made."""
        try:
            with translated(f"read the configuration of {name}"):
                asked = ConfigResource("TOPIC", name, [STAMPS, IN_SYNC])
                found = admin.describe_configs([asked], config_filter="all")["topic"][name]
                (topic,) = admin.describe_topics([name])
                self._stamp_on_receipt(admin, name, found[STAMPS]["value"])
                self._warn_of_few(name, len(topic["partitions"][0]["replica_nodes"]), found[IN_SYNC]["value"])
        except (LogUnavailable, KeyError, TypeError) as error:
            _log.warning("log.topic_unchecked", topic=name, error=error)

    def _stamp_on_receipt(self, admin: KafkaAdminClient, name: str, value: str) -> None:
        """With the wall clock, time is the broker's receipt time."""
        if value != "LogAppendTime":
            admin.alter_configs([ConfigResource("TOPIC", name, {STAMPS: "LogAppendTime"})])
            _log.warning("log.topic_reconfigured", topic=name, setting=STAMPS, value="LogAppendTime")

    def _warn_of_few(self, name: str, replicas: int, in_sync: str) -> None:
        """An acknowledged event survives a broker only where a majority had to have it."""
        if int(in_sync) < max(replicas, self.replication) // 2 + 1:
            _log.warning(
                "log.topic_weak",
                topic=name,
                replicas=replicas,
                min_insync_replicas=int(in_sync),
                expected_replicas=self.replication,
                meaning="an acknowledged event can be lost with a broker",
            )


def _host(server: str) -> tuple[str, int]:
    """Of `host:port`, `[address]:port`."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _open(server: str) -> bool:
    """Whether a server takes connections."""
    with suppress(OSError), socket.create_connection(_host(server), PROBE_S):
        return True
    return False


def cluster_of(settings: Settings) -> Cluster:
    """The cluster that the settings name."""
    # It reports every retry as an error; we report outcomes.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    return Cluster(
        servers=[server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()],
        partitions=settings.partitions,
        replication=settings.kafka_replication_factor,
        retention=settings.log_retention,
        security=security_of(settings),
        session_s=settings.kafka_session_timeout,
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """kafka-python's errors, and what its event loop throws when it ends, as `LogUnavailable`."""
    try:
        yield
    except (errors.KafkaError, OSError, RuntimeError, ValueError) as error:
        raise LogUnavailable(f"Kafka: cannot {what}: {type(error).__name__}: {error}") from error


def _counts(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Partitions by topic, 0 for one that is not there."""
    counts = dict.fromkeys(names, 0)
    for topic in admin.describe_topics(names):
        error = errors.for_code(topic["error_code"])
        if error not in (errors.NoError, errors.UnknownTopicOrPartitionError):
            raise error(topic["name"])
        counts[topic["name"]] = len(topic["partitions"] or ())
    return counts


def _refused(answer: dict[str, Any]) -> None:
    for topic in answer["topics"]:
        error = errors.for_code(topic["error_code"])
        if error not in (errors.NoError, errors.TopicAlreadyExistsError):
            setting = (
                " (TOUCHLINE_KAFKA_REPLICATION_FACTOR)"
                if error is errors.InvalidReplicationFactorError
                else ""
            )
            raise error(f"{topic['name']}: {topic.get('error_message') or error.__name__}{setting}")
