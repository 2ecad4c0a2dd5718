"""Event ids in few bytes: canonical UUIDs as 16 bytes each, anything else as it is, in order of arrival."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.rules.engine.account_state import AccountState, EventKey

UUID_BYTES = 16
FEW = 3  # ids up to which one by one is quicker
_OTHER = b"\x00" * UUID_BYTES  # stands where the next of the other ids comes; the nil UUID is one of these


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
    """Many at once, a tenth of the time of one by one; None unless all are canonical UUIDs."""
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
        and _OTHER not in packed  # the nil UUID, or what looks like it from one to the next
    )
    return packed if whole else None


def pack_ids(state: "AccountState") -> tuple[bytes, list[Any]]:
    """The ids an account has sent: packed bytes, and the others. Packs only what came since the last time."""
    keys = list(state.seen)
    count = state.packed_count
    # An id may have gone and come back at the end: then those behind it have moved, the last packed one too.
    if count > len(keys) or (count and bytes(state.packed[-UUID_BYTES:]) != _uuid(keys[count - 1])):
        state.packed.clear()
        state.packed_count = 0
    fresh = keys[state.packed_count :]
    many = _uuids(fresh) if len(fresh) > FEW else None
    if many is not None:
        state.packed += many
    else:
        for key in fresh:
            state.packed += _uuid(key) or _OTHER
    state.packed_count = len(keys)
    packed = bytes(state.packed)
    if _OTHER not in packed:
        return packed, []
    others = [k for i, k in enumerate(keys) if packed[i * UUID_BYTES : (i + 1) * UUID_BYTES] == _OTHER]
    return packed, others


def unpack_ids(packed: bytes, others: list[Any]) -> Iterator["EventKey"]:
    """The ids back, in order."""
    rest = iter(others)
    for place in range(0, len(packed), UUID_BYTES):
        one = packed[place : place + UUID_BYTES]
        if one != _OTHER:
            yield _text(one)
        else:
            key = next(rest)
            yield tuple(key) if isinstance(key, list) else key
