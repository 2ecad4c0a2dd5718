"""Stores event ids in few bytes, in order of arrival: canonical UUIDs as 16 bytes each, any others as they are."""

from collections.abc import Iterable, Iterator
from typing import Any

# id, or (source, id) if the source is not the account's first; for three parts see `dedup`
EventKey = str | tuple[str, str] | tuple[str, str, int]
UUID_BYTES = 16
FEW = 3  # up to this many ids, packing one by one is quicker
_OTHER = b"\x00" * UUID_BYTES  # stands for the next of the other ids; the nil UUID counts as one of these


def _uuid(key: Any) -> bytes | None:
    if type(key) is not str or len(key) != 36:
        return None
    try:
        packed = bytes.fromhex(digits := key.replace("-", ""))
    except ValueError:
        return None
    canonical = (
        key[8] == key[13] == key[18] == key[23] == "-" and len(digits) == 32 and packed.hex() == digits
    )
    return packed if canonical and packed != _OTHER else None


def _text(packed: bytes) -> str:
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _uuids(keys: list[Any]) -> bytes | None:
    """Pack many ids at once, in a tenth of the time of one by one; None unless all are canonical UUIDs."""
    try:
        text = "".join(keys)
        digits = text.replace("-", "")
        packed = bytes.fromhex(digits)
    except (TypeError, ValueError):
        return None
    dashes = "-" * len(keys)
    whole = (
        set(map(len, keys)) == {36}
        and len(digits) == 32 * len(keys)
        and all(text[place::36] == dashes for place in (8, 13, 18, 23))
        and packed.hex() == digits
        and _OTHER not in packed  # the nil UUID, or bytes across two ids that look like it
    )
    return packed if whole else None


def pack_ids(seen: Iterable[EventKey], known: bytearray, count: int) -> tuple[bytes, list[Any], int]:
    """The ids of an account in order of arrival: the packed bytes, the other ids, and the number of all.

    Packs only the ids that are new: `known` holds the first `count` ids, packed, and is brought up to date.
    """
    keys = list(seen)
    # An id may have gone and come back at the end. Then those behind it have moved, the last packed one too.
    if count > len(keys) or (count and bytes(known[-UUID_BYTES:]) != _uuid(keys[count - 1])):
        known.clear()
        count = 0
    fresh = keys[count:]
    many = _uuids(fresh) if len(fresh) > FEW else None
    if many is not None:
        known += many
    else:
        for key in fresh:
            known += _uuid(key) or _OTHER
    packed = bytes(known)
    if _OTHER not in packed:
        return packed, [], len(keys)
    others = [k for i, k in enumerate(keys) if packed[i * UUID_BYTES : (i + 1) * UUID_BYTES] == _OTHER]
    return packed, others, len(keys)


def unpack_ids(packed: bytes, others: list[Any]) -> Iterator[EventKey]:
    """The ids, unpacked, in order of arrival."""
    rest = iter(others)
    for place in range(0, len(packed), UUID_BYTES):
        one = packed[place : place + UUID_BYTES]
        if one != _OTHER:
            yield _text(one)
        else:
            key = next(rest)
            yield tuple(key) if isinstance(key, list) else key
