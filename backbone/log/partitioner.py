"""Kafka's default partitioner, on every backend, so that a history lies in the same partitions everywhere.

`murmur2` is org.apache.kafka.common.utils.Utils.murmur2; a key's partition is its lower 31 bits modulo the count.
"""

from functools import lru_cache
from struct import unpack_from

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit hash of `data`."""
    length = len(data)
    h = _SEED ^ length
    for k in unpack_from(f"<{length // 4}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ (((k ^ (k >> 24)) * _M) & _MASK)
    if length % 4:
        h = ((h ^ int.from_bytes(data[length & ~3 :], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65536)
def partition_for(key: str, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, in which Kafka's default partitioner puts `key` (UTF-8)."""
    return (murmur2(key.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) % partitions
