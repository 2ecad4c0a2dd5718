"""Kafka's batches are unpacked here as kafka-python unpacks them, record by record."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from backbone.log.kafka.batches import unpacked
from backbone.log.records import Record

NONE, GZIP, LZ4 = 0, 1, 3
ATTRIBUTES, APPEND_TIME = 21, 8  # where a batch says what it is; the broker stamps its records

keys = st.none() | st.binary(max_size=80)
values = st.none() | st.binary(max_size=300) | st.just(b"long" * 5_000)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=200)), max_size=3)
written = st.lists(st.tuples(st.integers(0, 10**6), keys, values, headers), min_size=1, max_size=70)


def made(records: list[Any], codec: int = NONE, first: int = 0) -> bytes:
    builder = MemoryRecordsBuilder(2, codec, 64 << 20, offset=first)
    for stamp, key, value, heads in records:
        builder.append(1_700_000_000_000 + stamp, key, value, heads)
    builder.close()
    return bytes(builder.buffer())


def theirs(data: bytes) -> list[Record]:
    found = []
    for raw in MemoryRecords(data).next_batch():
        key = None if raw.key is None else raw.key.decode("utf-8", "backslashreplace")
        found.append(Record("t", 3, raw.offset, key, raw.value or b"", raw.timestamp * 1000, raw.headers))
    return found


def ours(data: bytes) -> list[Record]:
    found = unpacked(MemoryRecords(data).next_batch(), "t", 3)
    return [
        Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, list(r.headers)) for r in found
    ]


@given(written, st.sampled_from([NONE, GZIP, LZ4]), st.integers(0, 2**30))
def test_any_batch_is_read_as_kafka_python_reads_it(records: list[Any], codec: int, first: int) -> None:
    data = made(records, codec, first)
    assert ours(data) == theirs(data)


def test_the_brokers_stamp_holds_for_the_whole_batch() -> None:
    data = bytearray(made([(n, b"k", b"v", []) for n in range(5)]))
    data[ATTRIBUTES + 1] |= APPEND_TIME
    assert {record.timestamp for record in ours(bytes(data))} == {1_700_000_000_004_000}
    assert ours(bytes(data)) == theirs(bytes(data))


def test_a_header_that_is_no_utf_8_is_read_with_escapes_as_a_key_is() -> None:
    """Kafka takes any bytes; a batch that could not be read would stop its partition."""
    data = made([(0, b"k", b"v", [("name", b"\xff")])]).replace(b"name", b"n\xff\xfee")
    assert ours(data)[0].headers == [("n\\xff\\xfee", b"\xff")]


def test_thousands_of_records_have_offsets_of_every_length() -> None:
    data = made([(0, b"k%d" % n, b"v", []) for n in range(20_000)], LZ4)
    assert [record.offset for record in ours(data)] == list(range(20_000))


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_batch_cut_short_is_refused(cut: int) -> None:
    data = bytearray(made([(0, b"key", b"value" * 10, [])] * 3)[:-cut])
    struct.pack_into(">i", data, 8, len(data) - 12)
    with pytest.raises(CorruptRecordError):
        ours(bytes(data))
