"""The log on Apache Kafka, through kafka-python. Nothing waits for the cluster before a call needs it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from backbone.log.kafka.cluster import Cluster, cluster_of
from backbone.log.kafka.consumer import GroupConsumer
from backbone.log.kafka.producer import QUEUE_BYTES, Appender
from backbone.log.kafka.reader import KafkaReader
from backbone.log.records import Entry, Place, Record
from backbone.settings import Settings


class KafkaLog(KafkaReader):
    """See `backbone.log.Log`. If the cluster is away or unfit, the calls fail until it is back."""

    def __init__(self, cluster: Cluster, *, queue_bytes: int = QUEUE_BYTES) -> None:
        super().__init__(cluster)
        self._cluster = cluster
        self._appender = Appender(cluster, queue_bytes)

    def append(
        self, topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
    ) -> Future[list[Place]]:
        """See `Log.append`. Fails within 10 s where Kafka does not acknowledge."""
        return self._appender.append(topic, entries, after=after)

    def pick(self, topic: str, partition: int, offsets: Sequence[int]) -> list[Record]:
        """See `Log.pick`."""
        return self._reader.pick(topic, partition, offsets)

    def consumer(self, group: str, topics: Sequence[str]) -> GroupConsumer:
        """See `Log.consumer`."""
        return GroupConsumer(self._cluster, group, topics)

    def ready(self) -> bool:
        """Whether a server takes connections and authenticates us, and our topics are as they must be."""
        return self._cluster.ready()

    def close(self) -> None:
        """See `Log.close`."""
        self._appender.close()
        super().close()


def open_kafka(settings: Settings) -> KafkaLog:
    """The log on the cluster that the settings name."""
    return KafkaLog(cluster_of(settings))
