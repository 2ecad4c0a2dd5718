"""A real Apache Kafka: one KRaft node, broker and controller in one, on free ports of 127.0.0.1.

By hand: `python -m deploy.local.kafka [--data DIR] [--port N]`, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.local.jars import kafka_jars
from deploy.local.ports import free_port, port_is_open
from deploy.local.process import Child, LocalError, tail, wait_until

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=4
"""

_LOGGING = """<Configuration status="ERROR"><Appenders><Console name="out">
<PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""

START_S = 180.0  # a limit for a machine under load; a start takes some five seconds


@dataclass(frozen=True)
class Listener:
    """A further way into the broker, on a free port of 127.0.0.1 beside the plain one.

    `properties` stand under `listener.name.<name>.`; `scram` is users and their passwords, for that mechanism.
    """

    name: str
    protocol: str  # SSL, SASL_SSL, SASL_PLAINTEXT
    properties: Mapping[str, str]
    scram: Mapping[str, str] = field(default_factory=dict)
    mechanism: str = "SCRAM-SHA-512"
    port: int = field(default_factory=free_port)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, as TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS takes it."""
        return f"127.0.0.1:{self.port}"


class Kafka:
    """One broker; a context manager. Without a `folder` its data are temporary and go at the end.

    `quick` starts it in half the time, without Java's optimising compiler: for tests, not for benchmarks.
    """

    def __init__(
        self,
        folder: Path | None = None,
        port: int | None = None,
        heap: str = "384m",
        quick: bool = False,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._quick = quick
        self._listeners = listeners
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="touchline-kafka-"))
        self._folder = self._folder.resolve()
        self._heap = heap
        self.port = port or free_port()
        self._controller = free_port()
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, as TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def log(self) -> Path:
        return self._folder / "kafka.log"

    def launch(self) -> None:
        """Format the storage if it is new, and start the broker anew without waiting for it."""
        config = self._configure()
        data = self._folder / "data"
        if not (data / "meta.properties").is_file():
            self._run(
                "-XX:TieredStopAtLevel=1",
                "kafka.tools.StorageTool",
                "format",
                "-t",
                _cluster_id(),
                "-c",
                str(config),
                *self._users(),
            )
        if self._child is not None:
            self._child.stop()
        compiler = ["-XX:TieredStopAtLevel=1"] if self._quick else []
        self._child = Child("Kafka", self._java(*compiler, "kafka.Kafka", str(config)), self.log)
        self._child.start()

    def start(self) -> Kafka:
        """Launch the broker, and wait until it answers."""
        self.launch()
        wait_until("Kafka starts", lambda: port_is_open(self.port), START_S, self._child)
        wait_until("Kafka answers", self._answers, START_S, self._child)
        return self

    def stop(self) -> None:
        """Stop the broker; a temporary folder is removed."""
        if self._child is not None:
            self._child.stop()
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill9(self) -> None:
        """kill -9; the data stay."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop if it runs, and start again on the same port and data."""
        self.start()

    def clear(self, timeout_s: float = 30.0) -> None:
        """Delete every topic and consumer group, and wait until they are gone."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            clear_topics(admin, timeout_s)
        finally:
            admin.close()

    def __enter__(self) -> Kafka:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configure(self) -> Path:
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (self._folder / "log4j2.xml").write_text(_LOGGING)
        config = self._folder / "server.properties"
        more = self._listeners
        text = _PROPERTIES.format(
            port=self.port,
            controller=self._controller,
            data=data,
            listeners="".join(f",{each.name}://{each.bootstrap_servers}" for each in more),
            protocols="".join(f",{each.name}:{each.protocol}" for each in more),
        )
        for each in more:
            lines = (f"listener.name.{each.name.lower()}.{k}={v}\n" for k, v in each.properties.items())
            text += "".join(lines)
        config.write_text(text)
        return config

    def _users(self) -> list[str]:
        """The arguments that tell StorageTool of the listeners' users."""
        users = [
            f"{each.mechanism}=[name={name},password={password}]"
            for each in self._listeners
            for name, password in each.scram.items()
        ]
        return [word for user in users for word in ("--add-scram", user)]

    def _java(self, *arguments: str) -> list[str]:
        java = shutil.which("java")
        if java is None:
            raise LocalError("Java is not on PATH (Debian: apt-get install default-jre-headless)")
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.xml'}"
        return [
            java,
            f"-Xmx{self._heap}",
            "-Xms64m",
            "-XX:+UseSerialGC",
            logging,
            "-cp",
            f"{kafka_jars()}/*",
            *arguments,
        ]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            self._java(*arguments), capture_output=True, text=True, timeout=START_S, check=False
        )
        if done.returncode != 0:
            raise LocalError(
                f"Kafka's storage could not be formatted:\n{(done.stdout + done.stderr)[-1500:]}"
            )

    def _answers(self) -> bool:
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000)
        except (KafkaError, OSError):
            return False
        try:
            admin.list_topics()
        except (KafkaError, OSError):
            return False
        else:
            return True
        finally:
            admin.close()


def clear_topics(admin: KafkaAdminClient, timeout_s: float = 30.0) -> None:
    """Delete every topic that is not Kafka's own, and wait until none is listed."""

    def ours() -> list[str]:
        return [name for name in admin.list_topics() if not name.startswith("__")]

    if names := ours():
        admin.delete_topics(names)
    wait_until("Kafka's topics go", lambda: not ours(), timeout_s)


def _cluster_id() -> str:
    """What `StorageTool random-uuid` would print: 22 characters that do not begin with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def main() -> None:
    """Run a broker until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="keep its data here (default: a temporary folder)")
    parser.add_argument("--port", type=int, help="default: a free one")
    options = parser.parse_args()
    with Kafka(options.data, options.port) as kafka:
        print(f"TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}", flush=True)
        try:
            while kafka.alive:
                time.sleep(0.5)
            print(tail(kafka.log))
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
