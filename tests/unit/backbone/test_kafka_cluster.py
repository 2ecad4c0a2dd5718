"""What we make of the answers of a Kafka cluster."""

import pytest

from backbone.log.kafka_cluster import Cluster
from backbone.log.records import LogUnavailable, PartitionsChanged


def test_a_topic_of_which_nothing_is_known_just_now_has_not_changed() -> None:
    """A broker that starts may not know it yet; `PartitionsChanged` would stop the worker for good."""
    cluster = Cluster(["x:1"], 8)
    cluster.check_count("t", 8)
    with pytest.raises(PartitionsChanged, match="has 6 partitions"):
        cluster.check_count("t", 6)
    with pytest.raises(LogUnavailable):
        cluster.check_count("t", 0)
