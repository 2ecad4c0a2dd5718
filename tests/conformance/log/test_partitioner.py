"""Our murmur2 is Kafka's: kafka-python's gives the same, and so do the values in Kafka's own tests."""

from __future__ import annotations

import random

import pytest
from kafka.partitioner.default import murmur2 as kafkas

from backbone.log import murmur2, partition_for

# org.apache.kafka.common.utils.UtilsTest.testMurmur2; signed there
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "signed"), KNOWN.items())
def test_known_values(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


def test_the_same_as_kafka_python() -> None:
    dice = random.Random(7)
    for length in [*range(40), 255, 256, 1000]:
        for _ in range(20):
            data = dice.randbytes(length)
            assert murmur2(data) == kafkas(data)


def test_a_keys_partition() -> None:
    for key in ("acme", "", "Ünïcode 漢字", "x" * 256):
        for partitions in (1, 8, 12, 1000):
            assert partition_for(key, partitions) == (kafkas(key.encode()) & 0x7FFFFFFF) % partitions
