"""A chunk of the embedded log as a blob: MessagePack, LZ4 where that saves space, and a checksum over all of it.

The checksum (CRC-32C) covers the chunk's place, its number of records, their receipt time, and the blob
before it, so that a byte that changed on the disk is noticed in any of them. Chunks of format 1 have none.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import lz4.block
import msgspec
from crc32c import crc32c

from backbone.log.records import Entry, Headers

Body = tuple[list[str | None], list[bytes], Sequence[Headers]]  # keys, values, headers

_COMPRESS_FROM = 512  # bytes; below that LZ4 gains little
_ACCELERATION = 4  # LZ4's: a fifth less time than 1 for a twentieth more space
# Bits of a blob's first byte: compressed; one set of headers; a checksum at the end.
_LZ4, _ALIKE, _SUMMED = 1, 2, 4
_SUM = struct.Struct("<I")
_ROW = struct.Struct("<qqq")  # place, count, timestamp

_Heads = tuple[tuple[str, bytes], ...]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[list[str | None], list[bytes], list[_Heads] | None]).decode
_unpack_alike = msgspec.msgpack.Decoder(tuple[list[str | None], list[bytes], _Heads]).decode


class DamagedChunk(Exception):
    """A chunk that is not what was written."""


def encode(entries: Sequence[Entry], place: int, timestamp: int) -> bytes:
    """The blob of a chunk that is to stand at `place`, received at `timestamp`."""
    headers = [e.headers for e in entries]
    alike = headers.count(headers[0]) == len(headers)
    body = _pack(([e.key for e in entries], [e.value for e in entries], headers[0] if alike else headers))
    kind = _SUMMED | (_ALIKE if alike else 0)
    if len(body) >= _COMPRESS_FROM:
        kind |= _LZ4
        body = lz4.block.compress(body, mode="fast", acceleration=_ACCELERATION)
    first = bytes((kind,))
    summed = crc32c(body, crc32c(first, _crc_of_row(place, len(entries), timestamp)))
    return b"".join((first, body, _SUM.pack(summed)))


def decode(blob: bytes, place: int, count: int, timestamp: int, *, summed: bool) -> Body:
    """What `encode` was given. `summed`: there has to be a checksum. Raises `DamagedChunk`."""
    if not (isinstance(blob, bytes) and isinstance(count, int) and isinstance(timestamp, int)):
        raise DamagedChunk("its row holds other things than a chunk")
    view = memoryview(blob)
    if summed:
        if len(view) < 1 + _SUM.size or not view[0] & _SUMMED:
            raise DamagedChunk("it has no checksum")
        view, (expected,) = view[: -_SUM.size], _SUM.unpack(view[-_SUM.size :])
        if crc32c(view, _crc_of_row(place, count, timestamp)) != expected:
            raise DamagedChunk("its checksum does not fit")
    try:
        keys, values, headers = _opened(view)
    except (ValueError, IndexError, MemoryError, msgspec.MsgspecError, lz4.block.LZ4BlockError) as error:
        raise DamagedChunk(f"it cannot be read: {error}") from None
    if not count == len(keys) == len(values) == len(headers):
        raise DamagedChunk("it has another number of records")
    return keys, values, headers


def _opened(view: memoryview) -> Body:
    packed = lz4.block.decompress(view[1:]) if view[0] & _LZ4 else view[1:]
    if view[0] & _ALIKE:
        keys, values, shared = _unpack_alike(packed)
        return keys, values, [shared] * len(keys)
    keys, values, headers = _unpack(packed)
    return keys, values, headers if headers is not None else [()] * len(keys)


def _crc_of_row(place: int, count: int, timestamp: int) -> int:
    return int(crc32c(_ROW.pack(place, count, timestamp)))
