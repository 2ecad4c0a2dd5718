"""What we make of the answers of a Kafka cluster."""

import socket

import kafka.net.inet
import pytest
from kafka import KafkaProducer, errors

from backbone.log.kafka.cluster import Cluster, cluster_of
from backbone.log.records import LogUnavailable, PartitionsChanged
from backbone.settings import load_settings
from deploy.local.ports import free_port


def test_a_topic_of_which_nothing_is_known_just_now_has_not_changed() -> None:
    """A broker that starts may not know it yet; `PartitionsChanged` would stop the worker for good."""
    cluster = Cluster(["x:1"], 8)
    cluster.check_count("t", 8)
    with pytest.raises(PartitionsChanged, match="has 6 partitions"):
        cluster.check_count("t", 6)
    with pytest.raises(LogUnavailable):
        cluster.check_count("t", 0)


def test_what_the_settings_say_of_the_topics_is_what_they_are_made_with() -> None:
    cluster = cluster_of(
        load_settings(
            kafka_bootstrap_servers="a:1, b:2,",
            partitions=12,
            kafka_replication_factor=3,
            log_retention="30d",
            kafka_session_timeout=45,
        )
    )
    assert (cluster.servers, cluster.session_s) == (["a:1", "b:2"], 45)
    made = cluster._new_topic()
    assert (made["num_partitions"], made["replication_factor"]) == (12, 3)
    assert made["configs"]["retention.ms"] == str(30 * 86_400_000)
    assert made["configs"]["min.insync.replicas"] == "2"


def test_what_does_not_connect_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not left to the collector, which comes rarely: Kafka may be away for days."""
    made: list[socket.socket] = []

    class Remembered(socket.socket):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            made.append(self)

    nobody = Cluster([f"127.0.0.1:{free_port()}"], 8)
    monkeypatch.setattr(kafka.net.inet.socket, "socket", Remembered)
    with pytest.raises(errors.KafkaError):
        KafkaProducer(**nobody.config())
    tried = [each.fileno() for each in made if each.family == socket.AF_INET]
    for each in made:  # those by which a client wakes its thread: Cluster.connect closes them
        each.close()
    assert set(tried) == {-1}
